"""Products with a bias and an activation in one op: what backends fuse."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import ShapeError
from ..expression import Expression, derivative, substitute
from ..program import Cotangents, Op, Program, Value, Values
from ..spec import Spec
from .checks import need_float, need_spec
from .convolution import Convolution
from .matmul import MatMul
from .reduce import reduce_axes, reshape_to
from .window import Window


@dataclass(frozen=True)
class Linear(Op):
    """y = activation(x w^T + b): x [..., I], w [O, I], b [O] give [..., O].

    `activation` is an expression of symbol 0, or None for the identity.
    """

    activation: Expression | None = None

    def infer(self, x: Spec, w: Spec, b: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """[..., I], [O, I] and [O] give [..., O]."""
        need_float("Linear", x)
        _check_activation("Linear", self.activation)
        if x.rank < 1 or w.rank != 2 or w.shape[1] != x.shape[-1] or w.dtype != x.dtype:
            raise ShapeError(
                f"Linear: expected x [..., inputs] and w [outputs, inputs] of one dtype, "
                f"given x {x} and w {w}"
            )
        need_spec("Linear", "b", b, (w.shape[0],), x)
        return (Spec((*x.shape[:-1], w.shape[0]), x.dtype),)

    def decompose(self, build: Program, x: Value, w: Value, b: Value) -> tuple[Value, ...]:  # type: ignore[override]
        """One product of matrices with all leading axes as rows, then one map."""
        y = _biased(build, build.apply(MatMul(False, True), _rows(build, x), w), b, self.activation)
        return (reshape_to(build, y, (*x.shape[:-1], w.shape[0])),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """dx = d w, dw = d^T x, db = the sum of d, where d = c activation'(x w^T + b)."""
        (x, w, b), c = inputs, cotangents[0]
        if c is None:
            return None, None, None
        if self.activation is not None:
            c = _sloped(build, c, build.apply(Linear(), x, w, b), self.activation)
        rows, d = _rows(build, x), _rows(build, c)
        dx = reshape_to(build, build.apply(MatMul(), d, w), x.shape)
        return dx, build.apply(MatMul(True), d, rows), reduce_axes(build, "sum", d, 0)


@dataclass(frozen=True)
class BiasedConvolution(Op):
    """y = activation(x * w + b): x [N, C, *S], w [O, C/groups, *K], b [O] give [N, O, *T].

    `activation` is an expression of symbol 0, or None for the identity.
    """

    window: Window
    groups: int = 1
    activation: Expression | None = None

    def infer(self, x: Spec, w: Spec, b: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """As `Convolution`, with one bias per kernel."""
        _check_activation("BiasedConvolution", self.activation)
        (y,) = Convolution(self.window, self.groups).infer(x, w)
        need_spec("BiasedConvolution", "b", b, (w.shape[0],), x)
        return (y,)

    def decompose(self, build: Program, x: Value, w: Value, b: Value) -> tuple[Value, ...]:  # type: ignore[override]
        """The convolution, then one map."""
        y = build.apply(Convolution(self.window, self.groups), x, w)
        return (_biased(build, y, self._column(build, b), self.activation),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Those of the convolution for d = c activation'(x * w + b); db = the sum of d."""
        (x, w, b), c = inputs, cotangents[0]
        if c is None:
            return None, None, None
        plain = Convolution(self.window, self.groups)
        if self.activation is not None:
            z = build.apply(BiasedConvolution(self.window, self.groups), x, w, b)
            c = _sloped(build, c, z, self.activation)
        dx, dw = plain.gradient(build, (x, w), (), (c,))
        axes = [a for a in range(c.spec.rank) if a != 1]
        return dx, dw, reduce_axes(build, "sum", c, axes)

    def _column(self, build: Program, b: Value) -> Value:
        return reshape_to(build, b, (b.shape[0], *[1] * self.window.rank))


def _check_activation(operation: str, activation: Expression | None) -> None:
    if activation is not None and activation.symbols != frozenset({0}):
        raise ShapeError(
            f"{operation}: an activation is an expression of symbol 0 alone, given {activation}"
        )


def _rows(build: Program, x: Value) -> Value:
    return reshape_to(build, x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _biased(build: Program, y: Value, b: Value, activation: Expression | None) -> Value:
    if activation is None:
        return y + b
    result: Value = build.map(lambda y, b: substitute(activation, [y + b]), y, b)
    return result


def _sloped(build: Program, c: Value, z: Value, activation: Expression) -> Value:
    """Return the cotangent before the activation."""
    slope = derivative(activation, 0)
    sloped: Value = build.map(lambda c, z: c * substitute(slope, [z]), c, z)
    return sloped
