"""`Reduce`: sums, extrema, products and the position of the maximum along axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import ShapeError, near
from ..program import Cotangents, Op, Program, Value, Values
from ..spec import Shape, Spec, common_float

KINDS = ("sum", "max", "min", "prod", "argmax")


@dataclass(frozen=True)
class Reduce(Op):
    """Reduce `axes` (non-negative, ascending) by `kind`; `keep` leaves them with extent 1.

    `argmax` takes one axis and gives int32, the first of equal maxima. A sum of bools or small integers gives int64,
    one of 16-bit floats float32. An empty axis sums to 0 and multiplies to 1.
    """

    kind: Literal["sum", "max", "min", "prod", "argmax"]
    axes: tuple[int, ...]
    keep: bool = False

    def infer(self, x: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """Drop the axes, or keep them with extent 1."""
        if self.kind not in KINDS:
            raise ShapeError(f"Reduce: unknown kind {self.kind!r}{near(self.kind, KINDS)}")
        if list(self.axes) != sorted(set(self.axes)) or any(not 0 <= a < x.rank for a in self.axes):
            raise ShapeError(
                f"Reduce {self.kind}: axes {self.axes} must ascend within 0..{x.rank - 1} of {x}"
            )
        if self.kind == "argmax" and len(self.axes) != 1:
            raise ShapeError(f"Reduce argmax: expected one axis, given {self.axes}")
        if self.kind in ("max", "min", "argmax") and any(x.shape[a] == 0 for a in self.axes):
            raise ShapeError(f"Reduce {self.kind}: the reduced axes {self.axes} of {x} are empty")
        dtype = x.dtype
        if self.kind == "argmax":
            dtype = "int32"
        elif self.kind in ("sum", "prod"):
            dtype = common_float(x) if x.is_float else "int64"
        return (Spec(reduced_shape(x.shape, self.axes, self.keep), dtype),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Spread the cotangent; extrema share it equally among ties."""
        from .map import broadcast_to

        x, c = inputs[0], cotangents[0]
        if c is None or self.kind == "argmax" or not x.spec.is_float:
            return (None,)
        kept = reduced_shape(x.shape, self.axes, True)
        c, y = reshape_to(build, c, kept), reshape_to(build, outputs[0], kept)
        if self.kind == "sum":
            return (broadcast_to(build, c, x.shape),)
        if self.kind == "prod":
            return (_product_gradient(build, x, c, self.axes),)
        from ..math import equal, where

        hit = where(equal(x, y), 1.0, 0.0)
        ties = build.apply(Reduce("sum", self.axes, True), hit)
        return (hit * (c / ties),)


def _product_gradient(build: Program, x: Value, c: Value, axes: tuple[int, ...]) -> Value:
    """d prod / d x_i = the product of the others: exact with zeros, by counting them."""
    from ..math import equal, where

    zero = where(equal(x, 0), 1.0, 0.0)
    zeros = build.apply(Reduce("sum", axes, True), zero)
    others = build.apply(Reduce("prod", axes, True), where(equal(x, 0), 1.0, x))
    return c * where(equal(zeros, 0), others / x, where(equal(zeros, 1) & equal(x, 0), others, 0.0))


def reduced_shape(shape: Shape, axes: Sequence[int], keep: bool) -> Shape:
    """Return `shape` without `axes`, or with extent 1 there."""
    if keep:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def reshape_to(build: Program, value: Value, shape: Shape) -> Value:
    """Record a reshape, or nothing where the shape is the same already."""
    from .movement import Reshape

    return value if value.shape == tuple(shape) else build.apply(Reshape(tuple(shape)), value)


def sum_to(build: Program, value: Value, shape: Shape) -> Value:
    """Sum `value` over the axes along which `shape` was broadcast to it."""
    extra = value.spec.rank - len(shape)
    axes = tuple(range(extra)) + tuple(
        i + extra for i, n in enumerate(shape) if n == 1 and value.shape[i + extra] != 1
    )
    if axes:
        value = build.apply(Reduce("sum", axes, True), value)
    return reshape_to(build, value, shape)


def reduce_axes(
    build: Program, kind: str, value: Value, axes: int | Sequence[int] | None, keep: bool = False
) -> Value:
    """Record a reduction; axes may be negative, one integer, or None for all."""
    rank = value.spec.rank
    chosen = range(rank) if axes is None else (axes,) if isinstance(axes, int) else axes
    normal = tuple(sorted({a % rank if rank and -rank <= a < rank else a for a in chosen}))
    return build.apply(Reduce(kind, normal, keep), value)  # type: ignore[arg-type]


def mean(
    build: Program, value: Value, axes: int | Sequence[int] | None = None, keep: bool = False
) -> Value:
    """Record the mean over `axes` (None: all)."""
    total = reduce_axes(build, "sum", value, axes, keep)
    return total * (total.spec.size / max(1, value.spec.size)) if value.spec.size else total
