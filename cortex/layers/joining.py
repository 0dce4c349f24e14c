"""Layers of several inputs, and functions of your own of one value or of several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar, Literal

from cortex.build import Build
from cortex.compute import ops
from cortex.compute.errors import ShapeError
from cortex.compute.program import Value
from cortex.compute.spec import Spec
from cortex.description import function_of
from cortex.layers.activation import check_function
from cortex.layers.base import AXIS, Base, outputs_of, register
from cortex.layers.shape import columns, normal_axis
from cortex.protocols import Parameter
from cortex.rules import check, one_of


@register
@dataclass(frozen=True)
class Concatenate(Base):
    """The inputs side by side along `axis`, in their order; their other extents are equal."""

    axis: int = 1
    several: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(self, axis=AXIS)

    def forward(self, build: Build, *inputs: Value) -> Value:
        """[N, a, ...], [N, b, ...], ... give [N, a + b + ..., ...]."""
        axis = normal_axis("Concatenate", self.axis, inputs[0].spec)
        return build.apply(ops.Concatenate(axis), *inputs)


@register
@dataclass(frozen=True)
class Join(Base):
    """The sum ("+") or product ("*") of the inputs, element by element.

    Along axis 1 the extents may differ: a sum adds where there is something to add and is as wide
    as the widest input, a product is as wide as the narrowest.
    """

    operation: Literal["+", "*"] = "+"
    several: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(self, operation=one_of("+", "*"))

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """Return none; raise `ShapeError` where extents other than those of axis 1 differ."""
        super().parameters(*inputs)
        if len({(s.shape[:1], s.shape[2:], s.dtype) for s in inputs}) > 1:
            listed = ", ".join(map(str, inputs))
            raise ShapeError(f"Join {self.operation!r}: only axis 1 may differ, given {listed}")
        return {}

    def forward(self, build: Build, *inputs: Value) -> Value:
        """[N, a, ...], [N, b, ...], ... give [N, the largest or the smallest of them, ...]."""
        if len({v.shape for v in inputs}) > 1:
            widths = [v.shape[1] for v in inputs]
            if self.operation == "+":
                inputs = tuple(self._widened(build, v, max(widths)) for v in inputs)
            else:
                inputs = tuple(columns(build, v, 1, 0, min(widths)) for v in inputs)
        add = self.operation == "+"
        fold = lambda *xs: reduce(lambda a, b: a + b if add else a * b, xs)  # noqa: E731
        return build.map(fold, *inputs)

    @staticmethod
    def _widened(build: Build, x: Value, width: int) -> Value:
        low, high = [0] * x.spec.rank, [0] * x.spec.rank
        high[1] = width - x.shape[1]
        return build.apply(ops.Pad(tuple(low), tuple(high)), x) if high[1] else x


@register
@dataclass(frozen=True)
class Function(Base):
    """Your own function of a value: operators, `cortex.compute.math`, `value.program`.

    It is differentiated like everything else. A `gradient`, also a function of the value, gives
    another elementwise derivative in place of the true one, for example that of a smooth
    neighbour. To store a network that contains it, give it a name:
    `cortex.layers.register_function`.
    """

    function: str | Callable[..., Any]
    gradient: str | Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        check_function(self, "function", *(["gradient"] if self.gradient is not None else []))

    def forward(self, build: Build, *inputs: Value) -> Value | tuple[Value, ...]:
        """Any shape; what the function makes of it."""
        result = function_of(self.function)(*inputs)
        name = type(self).__name__
        if not all(isinstance(v, Value) for v in outputs_of(result)):
            given = type(result).__name__
            raise ShapeError(
                f"{name}: the function must return a value or a tuple of them, given {given}"
            )
        if self.gradient is None:
            return result
        slopes = outputs_of(function_of(self.gradient)(*inputs))
        if len(slopes) != len(inputs) or any(v.shape != result.shape for v in (*slopes, *inputs)):
            raise ShapeError(
                f"{name}: a gradient is elementwise: expected {len(inputs)} derivatives of the "
                f"shape {result.shape} of inputs and output, given {', '.join(map(str, slopes))}"
            )
        return _with_slopes(build, result, inputs, slopes)


@register
@dataclass(frozen=True)
class Combine(Function):
    """Your own function of several values; a `gradient` returns one derivative for each of them."""

    several: ClassVar[bool] = True


def _with_slopes(
    build: Build, result: Value, inputs: Sequence[Value], slopes: Sequence[Value]
) -> Value:
    """Return the result with other derivatives: x - stop(x) is zero, and its derivative is one."""
    stop = ops.StopGradient()
    total: Value = build.apply(stop, result)
    for x, slope in zip(inputs, slopes, strict=True):
        total = total + build.apply(stop, slope) * (x - build.apply(stop, x))
    return total
