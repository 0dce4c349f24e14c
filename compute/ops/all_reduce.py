"""`AllReduce`: the sum over processes, and batch normalisation with statistics over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .. import math as m
from ..errors import ShapeError
from ..program import Cotangents, Op, Program, Value, Values
from ..spec import Spec
from .normalisation import BatchNormalisation
from .reduce import reduce_axes, reshape_to
from .scan import Scan


@dataclass(frozen=True)
class AllReduce(Op):
    """y = the sum of x over all processes of the group; the same bits in each. In one process: x.

    A composite, so that no backend must bind it: it decomposes into nothing. A backend with
    `capabilities.collectives` keeps it where it was joined to a group.

    Differentiation: each process has a share of the loss, and the loss is the sum of the shares. So
    the cotangent of x is the sum of the cotangents of y over the processes.
    """

    def infer(self, x: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """The spec stays."""
        if x.dtype not in ("float32", "float64", "int32", "int64"):
            raise ShapeError(
                f"AllReduce: expected float32, float64, int32 or int64, given {x}; convert it first"
            )
        return (x,)

    def decompose(self, build: Program, x: Value) -> tuple[Value, ...]:  # type: ignore[override]
        """Nothing to compute in one process: the value itself."""
        return (x,)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """The sum of the cotangents over the processes."""
        c = cotangents[0]
        return (None if c is None else all_reduce(build, c),)


@dataclass(frozen=True)
class SharedBatchNormalisation(Op):
    """`BatchNormalisation` with statistics over the `count` elements per channel that all processes have together.

    Inputs and outputs as there. A process may have no example at all.
    """

    axes: tuple[int, ...]
    epsilon: float
    count: int

    def infer(self, x: Spec, scale: Spec, bias: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """As `BatchNormalisation`."""
        if self.count < 1:
            raise ShapeError(
                f"SharedBatchNormalisation: expected a count of at least 1, given {self.count}"
            )
        return BatchNormalisation(self.axes, self.epsilon).infer(x, scale, bias)

    def decompose(  # type: ignore[override]
        self, build: Program, x: Value, scale: Value, bias: Value
    ) -> tuple[Value, ...]:
        """Two passes as there, and a sum over the processes after each."""
        mu = self._mean(build, x)
        variance = self._mean(build, build.map(lambda x, mu: (x - mu) * (x - mu), x, mu))
        factor = reshape_to(build, scale, mu.shape) / m.sqrt(variance + self.epsilon)
        shift = reshape_to(build, bias, mu.shape)
        y = build.map(lambda x, mu, f, b: (x - mu) * f + b, x, mu, factor, shift)
        return y, reshape_to(build, mu, scale.shape), reshape_to(build, variance, scale.shape)

    def _mean(self, build: Program, x: Value) -> Value:
        total = reduce_axes(build, "sum", x, self.axes, keep=True)
        return all_reduce(build, total) * (1 / self.count)


def all_reduce(build: Program, value: Value) -> Value:
    """Record the sum of a value over the processes."""
    total: Value = build.apply(AllReduce(), value)
    return total


def all_reduce_together(build: Program, values: Sequence[Value]) -> list[Value]:
    """Record the sums of several values of one dtype over the processes: one message for all of them."""
    from .movement import Concatenate, Slice

    if len(values) == 1:
        return [all_reduce(build, values[0])]
    flat = [reshape_to(build, v, (v.spec.size,)) for v in values]
    whole = all_reduce(build, build.apply(Concatenate(0), *flat))
    found, start = [], 0
    for value in values:
        stop = start + value.spec.size
        piece = build.apply(Slice((start,), (stop,)), whole)
        found.append(reshape_to(build, piece, value.shape))
        start = stop
    return found


def sums_inside(program: Program) -> bool:
    """Return whether a program, or the body of a scan in it, sums over processes."""
    return any(
        isinstance(s.op, (AllReduce, SharedBatchNormalisation))
        or (isinstance(s.op, Scan) and sums_inside(s.op.body))
        for s in program.steps
    )
