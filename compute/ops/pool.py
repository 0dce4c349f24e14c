"""`Pool` and `PoolGradient`: maxima and means of sliding windows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..errors import NotDifferentiable, ShapeError
from ..program import Cotangents, Op, Program, Values
from ..spec import Shape, Spec
from .window import Window


@dataclass(frozen=True)
class Pool(Op):
    """Pool x [N, C, *S] to [N, C, *T].

    `max`: outputs (y, index); padding counts as minus infinity, the first of equal maxima wins; the index is the
    position inside the window, row-major (uint8 for windows of at most 255 cells, else int32).
    `average`: output y; the sum of the real cells divided by their number or, with `count_padding`, by the number of
    cells of the window that lie inside the padded input.
    """

    kind: Literal["max", "average"]
    window: Window
    count_padding: bool = False

    def infer(self, x: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """[N, C, *S] gives [N, C, *T] (and the index)."""
        _check("Pool", self.kind, self.window, x)
        y = Spec((*x.shape[:2], *self.window.output("Pool", x.shape[2:])), x.dtype)
        return (y, Spec(y.shape, index_dtype(self.window))) if self.kind == "max" else (y,)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """By `PoolGradient`."""
        c = cotangents[0]
        if c is None:
            return (None,)
        op = PoolGradient(self.kind, self.window, inputs[0].shape[2:], self.count_padding)
        return (build.apply(op, c, *outputs[1:]),)


@dataclass(frozen=True)
class PoolGradient(Op):
    """dx [N, C, *extents] from dy [N, C, *T] (and, for `max`, the index)."""

    kind: Literal["max", "average"]
    window: Window
    extents: Shape
    count_padding: bool = False

    def infer(self, dy: Spec, *index: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """[N, C, *T] gives [N, C, *extents]."""
        x = Spec((*dy.shape[:2], *self.extents), dy.dtype)
        _check("PoolGradient", self.kind, self.window, x)
        expected = (*x.shape[:2], *self.window.output("PoolGradient", self.extents))
        wanted = [Spec(expected, index_dtype(self.window))] if self.kind == "max" else []
        if dy.shape != expected or list(index) != wanted:
            listed = ", ".join(map(str, (dy, *index)))
            raise ShapeError(
                f"PoolGradient {self.kind}: expected dy of shape {expected} and {wanted}, given {listed}"
            )
        return (x,)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """The average is linear: pool the cotangent. The maximum has no second derivative here."""
        if self.kind == "max":
            raise NotDifferentiable(
                "PoolGradient max: a second derivative of max pooling is not available"
            )
        c = cotangents[0]
        return (
            None if c is None else build.apply(Pool("average", self.window, self.count_padding), c),
        )


def index_dtype(window: Window) -> str:
    """Return the dtype of the position inside a window."""
    return "uint8" if math.prod(window.size) <= 255 else "int32"


def _check(operation: str, kind: str, window: Window, x: Spec) -> None:
    if kind not in ("max", "average"):
        raise ShapeError(f"{operation}: unknown kind {kind!r}; known: average, max")
    if x.rank != window.rank + 2 or not x.is_float:
        raise ShapeError(
            f"{operation}: expected floats of rank {window.rank + 2} (batch, channels, {window.rank} spatial), "
            f"given {x}"
        )
    if any(d != 1 for d in window.dilation):
        raise ShapeError(
            f"{operation}: dilation {window.dilation} is not supported, expected 1 along every axis"
        )
    for axis, (k, (low, high)) in enumerate(zip(window.size, window.padding, strict=True)):
        if low >= k or high >= k:
            raise ShapeError(
                f"{operation}: padding {(low, high)} along spatial axis {axis} must be below the window's extent {k}, "
                "or windows would see padding alone"
            )
