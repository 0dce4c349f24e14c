"""Softmax, its logarithm, and the fused cross-entropy of logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import math as m
from ..errors import ShapeError
from ..program import Cotangents, Op, Program, Value, Values
from ..spec import Spec
from .checks import need_float, need_probability, normal_axes
from .gather import INDEX_DTYPES
from .reduce import reduce_axes, reduced_shape, reshape_to


@dataclass(frozen=True)
class Softmax(Op):
    """y = exp(x) / sum of exp(x) along `axis`, computed from x - max, so it never overflows."""

    axis: int = -1

    def infer(self, x: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """The spec stays."""
        return (_same("Softmax", self.axis, x),)

    def decompose(self, build: Program, x: Value) -> tuple[Value, ...]:  # type: ignore[override]
        """exp(x - max) over its sum."""
        power = m.exp(x - reduce_axes(build, "max", x, self.axis, keep=True))
        return (power / reduce_axes(build, "sum", power, self.axis, keep=True),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """dx = y (c - sum of c y): the true Jacobian."""
        y, c = outputs[0], cotangents[0]
        if c is None:
            return (None,)
        return (y * (c - reduce_axes(build, "sum", c * y, self.axis, keep=True)),)


@dataclass(frozen=True)
class LogSoftmax(Op):
    """y = x - log of the sum of exp(x) along `axis`, computed from x - max."""

    axis: int = -1

    def infer(self, x: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """The spec stays."""
        return (_same("LogSoftmax", self.axis, x),)

    def decompose(self, build: Program, x: Value) -> tuple[Value, ...]:  # type: ignore[override]
        """z - log(sum of exp z) with z = x - max."""
        z = x - reduce_axes(build, "max", x, self.axis, keep=True)
        return (z - m.log(reduce_axes(build, "sum", m.exp(z), self.axis, keep=True)),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """dx = c - exp(y) times the sum of c."""
        y, c = outputs[0], cotangents[0]
        if c is None:
            return (None,)
        return (c - m.exp(y) * reduce_axes(build, "sum", c, self.axis, keep=True),)


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Op):
    """The cross-entropy -sum of q log softmax(x) along `axis`, one term per other position.

    Inputs: logits [N, K, ...] and either integer labels [N, ...] (q is 1 at the label; a label
    below 0 is missing and its term is 0, a label of K or above gives NaN) or a distribution q [N,
    K, ...] in the dtype of the logits. With `label_smoothing` s, q becomes (1 - s) q + s / K
    (Szegedy et al. 2016, section 7). Output: terms [N, ...].
    """

    axis: int = 1
    label_smoothing: float = 0.0

    def infer(self, x: Spec, target: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """[N, K, ...] with [N, ...] integers or [N, K, ...] floats gives [N, ...]."""
        name = "SoftmaxCrossEntropy"
        need_probability(name, "label_smoothing", self.label_smoothing)
        axis = normal_axes(name, (self.axis,), _same(name, self.axis, x))
        terms = Spec(reduced_shape(x.shape, axis, False), x.dtype)
        if target != x and not (target.dtype in INDEX_DTYPES and target.shape == terms.shape):
            raise ShapeError(
                f"{name}: for logits {x} with classes along axis {axis[0]} expected integer labels "
                f"of shape {terms.shape} ({', '.join(INDEX_DTYPES)}) or a distribution {x}, "
                f"given {target}"
            )
        return (terms,)

    def decompose(self, build: Program, x: Value, target: Value) -> tuple[Value, ...]:  # type: ignore[override]
        """-sum of q log p; where q is 0 the term is 0, even for an infinite logit."""
        log_p = build.apply(LogSoftmax(self.axis), x)
        q = self._distribution(build, x, target)
        parts = build.map(lambda q, z: m.where(m.equal(q, 0), 0, -q * z), q, log_p)
        terms = reduce_axes(build, "sum", parts, self.axis)
        return (terms if target.spec.is_float else _masked(build, target, terms, self._classes(x)),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """dx = c (p sum(q) - q), for labels c (p - q); dq = -(1 - s) c log p."""
        (x, target), c = inputs, cotangents[0]
        if c is None:
            return None, None
        kept = reduced_shape(x.shape, normal_axes("", (self.axis,), x.spec), True)
        p, q = build.apply(Softmax(self.axis), x), self._distribution(build, x, target)
        if not target.spec.is_float:
            c = reshape_to(build, _masked(build, target, c, self._classes(x)), kept)
            return build.map(lambda c, p, q: c * (p - q), c, p, q), None
        c, total = reshape_to(build, c, kept), reduce_axes(build, "sum", q, self.axis, keep=True)
        dx = build.map(lambda c, p, q, t: c * (p * t - q), c, p, q, total)
        return dx, c * build.apply(LogSoftmax(self.axis), x) * (self.label_smoothing - 1)

    def _classes(self, x: Value) -> int:
        return x.shape[self.axis]

    def _distribution(self, build: Program, x: Value, target: Value) -> Value:
        """Return q with the shape of the logits, smoothed."""
        classes, s = self._classes(x), self.label_smoothing
        if target.spec.is_float:
            return target if s == 0 else target * (1 - s) + s / classes
        (axis,) = normal_axes("", (self.axis,), x.spec)
        numbers = np.arange(classes, dtype=np.int32).reshape(-1, *[1] * (x.spec.rank - axis - 1))
        labels = reshape_to(build, target, reduced_shape(x.shape, (axis,), True))
        low = s / classes
        q: Value = build.map(
            lambda label, n: m.where(m.equal(label, n), 1 - s + low, low),
            labels,
            build.constant(numbers),
            dtype=x.dtype,
        )
        return q


def _same(operation: str, axis: int, x: Spec) -> Spec:
    need_float(operation, x)
    (normal,) = normal_axes(operation, (axis,), x)
    if x.shape[normal] == 0:
        raise ShapeError(f"{operation}: axis {axis} of {x} is empty")
    return x


def _masked(build: Program, labels: Value, terms: Value, classes: int) -> Value:
    """Return terms, 0 where the label is missing and NaN where there is no such class."""
    masked: Value = build.map(
        lambda label, t: m.where(label < 0, 0, m.where(label < classes, t, float("nan"))),
        labels,
        terms,
        dtype=terms.dtype,
    )
    return masked
