"""Layers that move numbers or scale them by constants: flatten, reshape, identity, scale, split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex.build import Build
from cortex.compute import ops
from cortex.compute.errors import DescriptionError, ShapeError
from cortex.compute.ops.reduce import reshape_to
from cortex.compute.program import Value
from cortex.compute.spec import Shape, Spec
from cortex.layers.base import AXIS, Base, register
from cortex.protocols import Parameter
from cortex.rules import COUNT, Rule, check, is_integer, is_number, tuple_of


@register
@dataclass(frozen=True)
class Identity(Base):
    """The input as it is."""

    def forward(self, build: Build, x: Value) -> Value:
        """Any shape; it stays."""
        return x


@register
@dataclass(frozen=True)
class Flatten(Base):
    """Each example as one row: [N, *S] gives [N, product of S]."""

    def forward(self, build: Build, x: Value) -> Value:
        """[N, *S] gives [N, product of S]."""
        return reshape_to(build.program, x, (x.shape[0], math.prod(x.shape[1:])))


@register
@dataclass(frozen=True)
class Reshape(Base):
    """Each example in another `shape`, row-major; one extent may be -1: the rest."""

    shape: Shape

    def __post_init__(self) -> None:
        if isinstance(self.shape, int):
            object.__setattr__(self, "shape", (self.shape,))
        extent = Rule("an integer >= 1, or -1 for the rest", lambda v: is_integer(v, 1) or v == -1)
        check(self, shape=tuple_of(extent))
        if self.shape.count(-1) > 1:
            raise DescriptionError(
                "Reshape", [f"shape: only one extent may be -1, given {self.shape}"]
            )

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """Return none; raise `ShapeError` where the numbers of elements differ."""
        x = self.one(inputs, 1, "batch, ...")
        have, want = math.prod(x.shape[1:]), math.prod(n for n in self.shape if n != -1)
        if have % want if -1 in self.shape else have != want:
            raise ShapeError(
                f"Reshape: an example of {x} has {have} elements, the shape {self.shape} asks for "
                + (f"a multiple of {want}" if -1 in self.shape else f"{want}")
            )
        return {}

    def forward(self, build: Build, x: Value) -> Value:
        """[N, *S] gives [N, *shape]."""
        known = math.prod(n for n in self.shape if n != -1)
        rest = math.prod(x.shape[1:]) // known
        return reshape_to(
            build.program, x, (x.shape[0], *(rest if n == -1 else n for n in self.shape))
        )


@register
@dataclass(frozen=True)
class Transpose(Base):
    """Axis i of the result is axis `axes[i - 1]` of the input; the batch, axis 0, stays.

    `Transpose((2, 1))` turns sequences [N, time, features] into series [N, channels, time] and back.
    """

    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        wanted = "a tuple with each of the axes 1, 2, ... once"
        check(self, axes=Rule(wanted, _is_permutation))

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """Return none; raise `ShapeError` for another number of axes."""
        x = self.one(inputs)
        if x.rank != len(self.axes) + 1:
            raise ShapeError(
                f"Transpose: axes {self.axes} need {len(self.axes) + 1} axes, given {x}"
            )
        return {}

    def forward(self, build: Build, x: Value) -> Value:
        """[N, *S] gives [N, *T], T a permutation of S."""
        return build.apply(ops.Transpose((0, *self.axes)), x)


@register
@dataclass(frozen=True)
class Scale(Base):
    """y = factor x + constant; both a number, or a nested tuple that broadcasts to an example."""

    factor: Any
    constant: Any = 0.0

    def __post_init__(self) -> None:
        numbers = Rule("a number or a regular nested tuple of numbers", _is_regular)
        check(self, factor=numbers, constant=numbers)

    def forward(self, build: Build, x: Value) -> Value:
        """[N, *S]; the shape stays."""
        factor, constant = (self._operand(build, x, v) for v in (self.factor, self.constant))
        y: Value = build.map(lambda x, f, c: x * f + c, x, factor, constant)
        if y.shape != x.shape:
            raise ShapeError(f"Scale: factor and constant must broadcast to an example of {x.spec}")
        return y

    @staticmethod
    def _operand(build: Build, x: Value, numbers: Any) -> Any:
        return (
            build.constant(np.asarray(numbers, x.dtype)) if isinstance(numbers, tuple) else numbers
        )


@register
@dataclass(frozen=True)
class Split(Base):
    """Cut the input along `axis` into pieces of `widths`; without widths, the input itself.

    To send one value to several layers no split is needed: any number of nodes may name it as their
    parent, and their gradients add up.
    """

    widths: tuple[int, ...] = ()
    axis: int = 1

    def __post_init__(self) -> None:
        check(self, widths=tuple_of(COUNT), axis=AXIS)

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """Return none; raise `ShapeError` where the widths do not add up to the extent."""
        x = self.one(inputs)
        axis = normal_axis("Split", self.axis, x)
        if self.widths and sum(self.widths) != x.shape[axis]:
            raise ShapeError(
                f"Split: the widths {self.widths} add up to {sum(self.widths)}, "
                f"axis {self.axis} of {x} has extent {x.shape[axis]}"
            )
        return {}

    def forward(self, build: Build, x: Value) -> Value | tuple[Value, ...]:
        """[N, ...] gives one piece for each width."""
        axis = normal_axis("Split", self.axis, x.spec)
        pieces, start = [], 0
        for width in self.widths:
            pieces.append(columns(build, x, axis, start, start + width))
            start += width
        return tuple(pieces) if pieces else x


def columns(build: Build, x: Value, axis: int, start: int, stop: int) -> Value:
    """Return the elements from `start` up to `stop` along `axis`."""
    low, high = [0] * x.spec.rank, list(x.shape)
    low[axis], high[axis] = start, stop
    return build.apply(ops.Slice(tuple(low), tuple(high)), x)


def normal_axis(name: str, axis: int, x: Spec) -> int:
    """Return an axis, which may be negative, as one behind the batch axis of `x`.

    Raises:
        ShapeError: it is not among them.
    """
    normal = axis + x.rank if axis < 0 else axis
    if not 0 < normal < x.rank:
        raise ShapeError(f"{name}: axis {axis} is not among the axes of {x} behind the batch")
    return normal


def _is_permutation(value: Any) -> bool:
    whole = isinstance(value, tuple) and all(map(is_integer, value))
    return whole and sorted(value) == list(range(1, len(value) + 1))


def _is_regular(value: Any) -> bool:
    if not isinstance(value, tuple):
        return is_number(value)
    shapes = {np.shape(v) if _is_regular(v) else None for v in value}
    return len(shapes) == 1 and None not in shapes
