"""`Build`: what a layer or a loss sees while a network is traced into a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

from cortex.compute.errors import ShapeError
from cortex.compute.group import Share
from cortex.compute.ops.all_reduce import all_reduce
from cortex.compute.ops.random import random
from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.program import Op, Program, Value


@dataclass
class Build:
    """A program under construction, and whether it is for training or for inference.

    `program` may be used directly for whatever is not repeated here; arithmetic on values and the functions of
    `cortex.compute.math` need no builder at all.

    Where several processes train together, `share` says which examples of a batch the program has. What a layer or
    loss takes from the batch as a whole must then go through `across`, `mean`, `total` and `first`; in one process
    these do nothing special.
    """

    program: Program
    training: bool = False
    dtype: str = "float32"
    statistics: dict[Value, Value] = field(
        default_factory=dict
    )  # parameter value -> its value after the run
    penalties: list[Value] = field(default_factory=list)  # scalars that training adds to the loss
    share: Share | None = None  # None: all examples

    def apply(self, op: Op, *inputs: Value) -> Any:
        """Record an op; return its output or the tuple of its outputs."""
        return self.program.apply(op, *inputs)

    def map(self, function: Callable[..., Any], *args: Any, dtype: str | None = None) -> Any:
        """Apply a scalar function elementwise."""
        return self.program.map(function, *args, dtype=dtype)

    def constant(self, array: Any) -> Value:
        """Return a constant in the dtype of the build (integers and bools keep theirs)."""
        import numpy as np

        data = np.asarray(array)
        return self.program.constant(data.astype(self.dtype) if data.dtype.kind == "f" else data)

    def random(self, kind: Literal["uniform", "normal"], shape: Sequence[int]) -> Value:
        """Return random numbers, new ones each run and the same for the same seed, step and place in the network.

        The first axis of `shape` is the batch.
        """
        return random(self.program, kind, tuple(shape), self.dtype, self.first(shape))

    def first(self, shape: Sequence[int]) -> int:
        """Return the number that the first element of a value [batch, ...] has among those of the whole batch."""
        return 0 if self.share is None else self.share.first * prod(shape[1:])

    def total(self, examples: int) -> int:
        """Return how many examples the whole batch has, of which the program has `examples`."""
        return examples if self.share is None else self.share.total

    def across(self, value: Value) -> Value:
        """Return the sum of a value over all processes."""
        return value if self.share is None else all_reduce(self.program, value)

    def mean(self, value: Value) -> Value:
        """Return the mean [...] of a value [batch, ...] over the examples of the whole batch."""
        sums = self.across(reduce_axes(self.program, "sum", value, 0))
        return sums * (1 / max(1, self.total(value.shape[0])))

    def update(self, parameter: Value, value: Value) -> None:
        """Give a statistic (a parameter that is not trainable) its next value; takes effect after the run.

        Raises:
            ShapeError: the specs differ.
        """
        if parameter.spec != value.spec:
            raise ShapeError(f"Build.update: expected {parameter.spec}, given {value.spec}")
        self.statistics[parameter] = value

    def penalty(self, value: Value) -> None:
        """Add a scalar to the loss of training, such as the reconstruction error of an autoencoder.

        It must be a mean over the examples that the program has (or not depend on them at all): where several processes
        train together, the penalty of the whole batch is the mean of theirs, weighted by their examples.

        Raises:
            ShapeError: the value is not one float.
        """
        if value.shape != () or not value.spec.is_float:
            raise ShapeError(f"Build.penalty: expected one float, given {value.spec}")
        self.penalties.append(value)
