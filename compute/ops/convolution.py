"""`Convolution` and its two gradients: closed under differentiation, 1-D and 2-D.

Layouts: x [N, C, *S], kernels w [O, C/groups, *K], y [N, O, *T]. A convolution here is a cross-correlation, as in all
neural-network libraries: y[n, o, t] = sum over c, k of w[o, c, k] x[n, c, t stride - padding + k dilation].
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ShapeError
from ..program import Cotangents, Op, Program, Values
from ..spec import Shape, Spec, common_float
from .window import Window


@dataclass(frozen=True)
class Convolution(Op):
    """y = x * w."""

    window: Window
    groups: int = 1

    def infer(self, x: Spec, w: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """[N, C, *S] and [O, C/groups, *K] give [N, O, *T]."""
        _check("Convolution", self.window, self.groups, x, w)
        out = self.window.output("Convolution", x.shape[2:])
        return (Spec((x.shape[0], w.shape[0], *out), x.dtype),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """By the two gradient ops."""
        x, w = inputs
        c = cotangents[0]
        if c is None:
            return None, None
        dx = build.apply(ConvolutionInputGradient(self.window, x.shape[2:], self.groups), c, w)
        dw = build.apply(ConvolutionKernelGradient(self.window, self.groups), x, c)
        return dx, dw


@dataclass(frozen=True)
class ConvolutionInputGradient(Op):
    """dx from dy [N, O, *T] and w [O, C/groups, *K], for an input of spatial `extents`; a transposed convolution."""

    window: Window
    extents: Shape
    groups: int = 1

    def infer(self, dy: Spec, w: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """[N, O, *T] and [O, C/groups, *K] give [N, C, *extents]."""
        x = Spec(
            (
                dy.shape[0] if dy.rank else 0,
                (w.shape[1] if w.rank > 1 else 0) * self.groups,
                *self.extents,
            ),
            dy.dtype,
        )
        _check("ConvolutionInputGradient", self.window, self.groups, x, w)
        expected = (
            x.shape[0],
            w.shape[0],
            *self.window.output("ConvolutionInputGradient", self.extents),
        )
        if dy.shape != expected:
            raise ShapeError(
                f"ConvolutionInputGradient: expected dy of shape {expected}, given {dy}"
            )
        return (x,)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Linear in both operands."""
        dy, _ = inputs
        c = cotangents[0]
        if c is None:
            return None, None
        back = build.apply(Convolution(self.window, self.groups), c, inputs[1])
        dw = build.apply(ConvolutionKernelGradient(self.window, self.groups), c, dy)
        return back, dw


@dataclass(frozen=True)
class ConvolutionKernelGradient(Op):
    """dw from x [N, C, *S] and dy [N, O, *T], summed over the batch; float32 where these have 16 bits."""

    window: Window
    groups: int = 1

    def infer(self, x: Spec, dy: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """[N, C, *S] and [N, O, *T] give [O, C/groups, *K]."""
        if x.rank < 2 or dy.rank < 2 or x.shape[1] % self.groups:
            raise ShapeError(
                f"ConvolutionKernelGradient: x {x} and dy {dy} do not fit {self.groups} groups"
            )
        w = Spec((dy.shape[1], x.shape[1] // self.groups, *self.window.size), x.dtype)
        _check("ConvolutionKernelGradient", self.window, self.groups, x, w)
        expected = (
            x.shape[0],
            dy.shape[1],
            *self.window.output("ConvolutionKernelGradient", x.shape[2:]),
        )
        if dy.shape != expected or dy.dtype != x.dtype:
            raise ShapeError(
                f"ConvolutionKernelGradient: expected dy of shape {expected} like {x}, given {dy}"
            )
        return (Spec(w.shape, common_float(w)),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Linear in both operands."""
        x, dy = inputs
        c = cotangents[0]
        if c is None:
            return None, None
        dx = build.apply(ConvolutionInputGradient(self.window, x.shape[2:], self.groups), dy, c)
        return dx, build.apply(Convolution(self.window, self.groups), x, c)


def _check(operation: str, window: Window, groups: int, x: Spec, w: Spec) -> None:
    rank = window.rank + 2
    if x.rank != rank or w.rank != rank:
        raise ShapeError(
            f"{operation}: expected input and kernels of rank {rank} (batch or kernels, channels, "
            f"{window.rank} spatial), given {x} and {w}"
        )
    if x.dtype != w.dtype or not x.is_float:
        raise ShapeError(f"{operation}: expected one float dtype, given {x} and {w}")
    if w.shape[2:] != window.size:
        raise ShapeError(
            f"{operation}: the kernels {w} do not have the window's size {window.size}"
        )
    if groups < 1 or x.shape[1] != w.shape[1] * groups or w.shape[0] % groups:
        raise ShapeError(
            f"{operation}: {groups} groups need input channels = groups x {w.shape[1]} and a number of kernels that "
            f"is a multiple of it, given {x.shape[1]} channels and {w.shape[0]} kernels"
        )
