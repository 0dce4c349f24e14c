"""`Build`: what a layer or a loss sees while a network is traced into a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cortex.compute.errors import ShapeError
from cortex.compute.ops.random import random
from cortex.compute.program import Op, Program, Value


@dataclass
class Build:
    """A program under construction, and whether it is for training or for inference.

    `program` may be used directly for whatever is not repeated here; arithmetic on values and the functions of
    `cortex.compute.math` need no builder at all.
    """

    program: Program
    training: bool = False
    dtype: str = "float32"
    statistics: dict[Value, Value] = field(
        default_factory=dict
    )  # parameter value -> its value after the run
    penalties: list[Value] = field(default_factory=list)  # scalars that training adds to the loss

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
        """Return random numbers, new ones each run and the same for the same seed, step and place in the network."""
        return random(self.program, kind, tuple(shape), self.dtype)

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

        Raises:
            ShapeError: the value is not one float.
        """
        if value.shape != () or not value.spec.is_float:
            raise ShapeError(f"Build.penalty: expected one float, given {value.spec}")
        self.penalties.append(value)
