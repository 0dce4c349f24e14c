"""Scaled dot-product attention of several heads, and its gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import math as m
from ..errors import ShapeError
from ..program import Cotangents, Op, Program, Value, Values
from ..spec import Spec
from .checks import need_float, need_spec
from .matmul import MatMul
from .movement import Transpose
from .reduce import reduce_axes, reshape_to
from .softmax import Softmax

HEADS_FIRST = (0, 2, 1, 3)  # [batch, time, heads, width] to [batch, heads, time, width], and back


@dataclass(frozen=True)
class Attention(Op):
    """o = softmax(scale q k^T) v for each head; with `causal`, query i sees the keys 0 to i.

    Inputs: q [batch, queries, heads, width], k and v [batch, keys, heads, width]. Outputs: o like q, and the logarithm
    of each softmax's sum [batch, heads, queries], from which a gradient makes the weights again. `scale` None is
    1 / sqrt(width). Vaswani et al. 2017, equation 1.

    Heads stand behind time, because that is how a linear layer over [batch, time, features] writes them: its result is
    reshaped, not moved. cuDNN reads this order at full speed; the products of the decomposition take one transpose of
    each operand, 1 / (2 keys) of their work.
    """

    causal: bool = False
    scale: float | None = None

    def infer(self, q: Spec, k: Spec, v: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """[B, T, H, D] with [B, S, H, D] twice gives [B, T, H, D] and [B, H, T]."""
        return q, _check("Attention", q, k, v)

    def decompose(  # type: ignore[override]
        self, build: Program, q: Value, k: Value, v: Value
    ) -> tuple[Value, ...]:
        """Two products and a softmax between them."""
        q, k, v = (_turned(build, a) for a in (q, k, v))
        scores = self._scores(build, q, k)
        o = build.apply(MatMul(), build.apply(Softmax(), scores), v)
        most = reduce_axes(build, "max", scores, -1, keep=True)
        total = reduce_axes(build, "sum", m.exp(scores - most), -1, keep=True)
        return _turned(build, o), reshape_to(build, m.log(total) + most, q.shape[:-1])

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Those of `AttentionGradient`; where the logarithms have a cotangent too, those of the decomposition."""
        do, dlogarithms = cotangents
        if do is None or dlogarithms is not None:
            return super().gradient(build, inputs, outputs, cotangents)
        o, logarithms = outputs
        op = AttentionGradient(self.causal, self.scale)
        found: Cotangents = build.apply(op, *inputs, o, do, logarithms)
        return found

    def _scores(self, build: Program, q: Value, k: Value) -> Value:
        """Return what the softmax is taken of [batch, heads, queries, keys]: minus infinity where nothing is seen."""
        factor = _factor(self.scale, q.shape[-1])
        products = build.apply(MatMul(transpose_b=True), q, k)
        if not self.causal:
            return products * factor
        row, column = (np.arange(n, dtype=np.int32) for n in products.shape[-2:])
        seen: Value = build.map(
            lambda s, i, j: m.where(i < j, float("-inf"), s * factor),
            *(products, build.constant(row[:, None]), build.constant(column)),
        )
        return seen


@dataclass(frozen=True)
class AttentionGradient(Op):
    """dq, dk and dv of `Attention`, from what it read and returned and from the cotangent of o.

    Inputs: q, k, v, o, do, logarithms. With p the weights: dv = p^T do, ds = p (do v^T - sum(do o)), dq = scale ds k,
    dk = scale ds^T q. Dao et al. 2022, algorithm 4.
    """

    causal: bool = False
    scale: float | None = None

    def infer(  # type: ignore[override]
        self, q: Spec, k: Spec, v: Spec, o: Spec, do: Spec, logarithms: Spec
    ) -> tuple[Spec, ...]:
        """The specs of q, k and v."""
        name = "AttentionGradient"
        wanted = _check(name, q, k, v)
        for which, given in (("o", o), ("do", do)):
            need_spec(name, which, given, q.shape, q)
        need_spec(name, "logarithms", logarithms, wanted.shape, q)
        return q, k, v

    def decompose(  # type: ignore[override]
        self, build: Program, q: Value, k: Value, v: Value, o: Value, do: Value, logarithms: Value
    ) -> tuple[Value, ...]:
        """Four products; scores and weights are recorded as they are forward, so that they are the same steps."""
        shift = _turned(build, reduce_axes(build, "sum", do * o, -1, keep=True))
        q, k, v, do = (_turned(build, a) for a in (q, k, v, do))
        p = build.apply(Softmax(), Attention(self.causal, self.scale)._scores(build, q, k))
        dv = build.apply(MatMul(transpose_a=True), p, do)
        dp = build.apply(MatMul(transpose_b=True), do, v)
        factor = _factor(self.scale, q.shape[-1])
        ds = build.map(lambda p, dp, t: p * (dp - t) * factor, p, dp, shift)
        dq = build.apply(MatMul(), ds, k)
        dk = build.apply(MatMul(transpose_a=True), ds, q)
        return _turned(build, dq), _turned(build, dk), _turned(build, dv)


def _check(operation: str, q: Spec, k: Spec, v: Spec) -> Spec:
    """Return the spec of the logarithms, or raise `ShapeError`."""
    need_float(operation, q, "q")
    if q.rank != 4 or not q.shape[3]:
        raise ShapeError(
            f"{operation}: expected q [batch, queries, heads, width] of a width of at least 1, given {q}"
        )
    batch, queries, heads, width = q.shape
    keys = k.shape[1] if k.rank == 4 else 1
    if not keys:
        raise ShapeError(f"{operation}: expected at least one key, given k {k}")
    for name, given in (("k", k), ("v", v)):
        if given != Spec((batch, keys, heads, width), q.dtype):
            raise ShapeError(
                f"{operation}: for q {q} expected k and v [{batch}, keys, {heads}, {width}] of one number of keys "
                f"and of {q.dtype}, given {name} {given}"
            )
    return Spec((batch, heads, queries), q.dtype)


def _factor(scale: float | None, width: int) -> float:
    return float(width**-0.5) if scale is None else scale


def _turned(build: Program, value: Value) -> Value:
    """Record the exchange of time and heads."""
    turned: Value = build.apply(Transpose(HEADS_FIRST), value)
    return turned
