"""Batch, layer and root-mean-square normalisation: statistics, scale and bias in one op."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .. import math as m
from ..errors import ShapeError
from ..program import Cotangents, Op, Program, Value, Values
from ..spec import Shape, Spec, common_float
from .checks import need_float, need_spec, normal_axes
from .map import broadcast_to
from .reduce import mean, reduce_axes, reduced_shape, reshape_to


@dataclass(frozen=True)
class BatchNormalisation(Op):
    """y = scale (x - mean) / sqrt(variance + epsilon) + bias with the statistics of x over `axes`.

    Inputs: x, scale, bias; outputs: y, mean, variance (biased, that is divided by the number of
    elements). Scale, bias, mean and variance have the shape of x without `axes`: [N, C, H, W] over
    axes (0, 2, 3) gives [C]; they are float32 where x has 16 bits. Ioffe and Szegedy 2015, algorithm 1.
    """

    axes: tuple[int, ...]
    epsilon: float

    def infer(self, x: Spec, scale: Spec, bias: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """[N, C, *S], [C] and [C] give [N, C, *S], [C] and [C], where all axes but 1 are reduced."""
        axes = _check("BatchNormalisation", self.axes, self.epsilon, x)
        shape = reduced_shape(x.shape, axes, False)
        for name, given in (("scale", scale), ("bias", bias)):
            need_spec("BatchNormalisation", name, given, shape, Spec(x.shape, common_float(x)))
        return x, scale, scale

    def decompose(  # type: ignore[override]
        self, build: Program, x: Value, scale: Value, bias: Value
    ) -> tuple[Value, ...]:
        """Two passes: the mean, then the mean square of the differences."""
        kept = _kept(self.axes, x)
        mu, variance = _moments(build, x, self.axes)
        factor = reshape_to(build, scale, kept) / m.sqrt(variance + self.epsilon)
        shift = reshape_to(build, bias, kept)
        y = build.map(lambda x, mu, f, b: (x - mu) * f + b, x, mu, factor, shift, dtype=x.dtype)
        return y, reshape_to(build, mu, scale.shape), reshape_to(build, variance, scale.shape)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Those of `BatchNormalisationGradient`.

        Cotangents of the mean and the variance add 1/n and 2 (x - mean) / n times themselves.
        """
        x, scale, _ = inputs
        dy, dmean, dvariance = cotangents
        kept = _kept(self.axes, x)
        count = _count(x, scale)
        dx, dscale, dbias = None, None, None
        if dy is not None:
            op = BatchNormalisationGradient(self.axes, self.epsilon)
            dx, dscale, dbias = build.apply(op, dy, x, scale, *outputs[1:])
        if dmean is not None:
            spread = reshape_to(build, dmean, kept) * (1 / count)
            dx = _plus(dx, broadcast_to(build, spread, x.shape))
        if dvariance is not None:
            mu = reshape_to(build, outputs[1], kept)
            dx = _plus(dx, reshape_to(build, dvariance, kept) * (x - mu) * (2 / count))
        return dx, dscale, dbias


@dataclass(frozen=True)
class BatchNormalisationGradient(Op):
    """dx, dscale and dbias of `BatchNormalisation` from dy, x, scale and the statistics that it returned.

    With z the normalised x: dx = scale / sigma (dy - mean dy - z mean(dy z)), dscale and dbias the sums of dy z and dy.
    """

    axes: tuple[int, ...]
    epsilon: float

    def infer(  # type: ignore[override]
        self, dy: Spec, x: Spec, scale: Spec, mean: Spec, variance: Spec
    ) -> tuple[Spec, ...]:
        """[N, C, *S] twice and [C] three times give [N, C, *S], [C] and [C]."""
        name = "BatchNormalisationGradient"
        axes = _check(name, self.axes, self.epsilon, x)
        need_spec(name, "dy", dy, x.shape, x)
        shape = reduced_shape(x.shape, axes, False)
        vector = Spec(x.shape, common_float(x))
        for which, given in (("scale", scale), ("mean", mean), ("variance", variance)):
            need_spec(name, which, given, shape, vector)
        return x, scale, scale

    def decompose(  # type: ignore[override]
        self, build: Program, dy: Value, x: Value, scale: Value, mean: Value, variance: Value
    ) -> tuple[Value, ...]:
        """Two sums over the batch, then one map."""
        kept, count = _kept(self.axes, x), _count(x, scale)
        mu, variance = (reshape_to(build, v, kept) for v in (mean, variance))
        inverse = 1 / m.sqrt(variance + self.epsilon)
        z = build.map(lambda x, mu, i: (x - mu) * i, x, mu, inverse)
        sum_c = reduce_axes(build, "sum", dy, self.axes, keep=True)
        sum_cz = reduce_axes(build, "sum", dy * z, self.axes, keep=True)
        factor = reshape_to(build, scale, kept) * inverse
        dx = build.map(
            lambda f, c, s, z, t: f * (c - s * (1 / count) - z * (t * (1 / count))),
            *(factor, dy, sum_c, z, sum_cz),
            dtype=x.dtype,
        )
        return dx, reshape_to(build, sum_cz, scale.shape), reshape_to(build, sum_c, scale.shape)


@dataclass(frozen=True)
class Normalisation(Op):
    """y = scale (x - mean) / sqrt(variance + epsilon) + bias with given statistics.

    The form of batch normalisation in inference. Inputs: x, mean, variance, scale, bias; all but x
    have the shape of x without `axes`.
    """

    axes: tuple[int, ...]
    epsilon: float

    def infer(  # type: ignore[override]
        self, x: Spec, mean: Spec, variance: Spec, scale: Spec, bias: Spec
    ) -> tuple[Spec, ...]:
        """The spec of x stays."""
        axes = _check("Normalisation", self.axes, self.epsilon, x)
        shape = reduced_shape(x.shape, axes, False)
        named = {"mean": mean, "variance": variance, "scale": scale, "bias": bias}
        for name, given in named.items():
            need_spec("Normalisation", name, given, shape, x)
        return (x,)

    def decompose(  # type: ignore[override]
        self, build: Program, x: Value, mean: Value, variance: Value, scale: Value, bias: Value
    ) -> tuple[Value, ...]:
        """One factor per statistic, then one multiplication and addition per element."""
        kept = _kept(self.axes, x)
        factor = scale / m.sqrt(variance + self.epsilon)
        mu, f, b = (reshape_to(build, v, kept) for v in (mean, factor, bias))
        return (build.map(lambda x, mu, f, b: (x - mu) * f + b, x, mu, f, b),)


@dataclass(frozen=True)
class LayerNormalisation(Op):
    """y = scale (x - mean) / sqrt(variance + epsilon) + bias, statistics over `axes` per example.

    Inputs: x, scale, bias; scale and bias have the shape of those axes: [N, T, D] over axes (2,)
    takes [D]. Ba, Kiros and Hinton 2016, equations 3 and 4.
    """

    axes: tuple[int, ...]
    epsilon: float

    def infer(self, x: Spec, scale: Spec, bias: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """The spec of x stays."""
        axes = _check("LayerNormalisation", self.axes, self.epsilon, x)
        shape = tuple(x.shape[a] for a in axes)
        for name, given in (("scale", scale), ("bias", bias)):
            need_spec("LayerNormalisation", name, given, shape, x)
        return (x,)

    def decompose(  # type: ignore[override]
        self, build: Program, x: Value, scale: Value, bias: Value
    ) -> tuple[Value, ...]:
        """Normalise each example, then scale and shift."""
        z, _ = self._standardised(build, x)
        g, b = (reshape_to(build, v, _spread(self.axes, x)) for v in (scale, bias))
        return (build.map(lambda z, g, b: z * g + b, z, g, b),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """With z the normalised x and e = c scale: dx = (e - mean e - z mean(e z)) / sigma."""
        (x, scale, _), c = inputs, cotangents[0]
        if c is None:
            return None, None, None
        z, inverse = self._standardised(build, x)
        e = c * reshape_to(build, scale, _spread(self.axes, x))
        mean_e, mean_ez = (mean(build, v, self.axes, keep=True) for v in (e, e * z))
        dx = build.map(lambda i, e, s, z, t: i * (e - s - z * t), *(inverse, e, mean_e, z, mean_ez))
        others = _others(self.axes, x)
        return dx, _sum(build, c * z, others), _sum(build, c, others)

    def _standardised(self, build: Program, x: Value) -> tuple[Value, Value]:
        mu, variance = _moments(build, x, self.axes)
        inverse = 1 / m.sqrt(variance + self.epsilon)
        return build.map(lambda x, mu, i: (x - mu) * i, x, mu, inverse), inverse


@dataclass(frozen=True)
class RmsNormalisation(Op):
    """y = scale x / sqrt(mean of x^2 + epsilon), the mean over `axes` of each example.

    Inputs: x, scale; the scale has the shape of those axes. Zhang and Sennrich 2019, equation 4.
    """

    axes: tuple[int, ...]
    epsilon: float

    def infer(self, x: Spec, scale: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """The spec of x stays."""
        axes = _check("RmsNormalisation", self.axes, self.epsilon, x)
        need_spec("RmsNormalisation", "scale", scale, tuple(x.shape[a] for a in axes), x)
        return (x,)

    def decompose(self, build: Program, x: Value, scale: Value) -> tuple[Value, ...]:  # type: ignore[override]
        """One factor per example, then two multiplications per element."""
        g = reshape_to(build, scale, _spread(self.axes, x))
        return (build.map(lambda x, i, g: x * i * g, x, self._inverse(build, x), g),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """With r the root mean square, z = x / r and e = c scale: dx = (e - z mean(e z)) / r."""
        (x, scale), c = inputs, cotangents[0]
        if c is None:
            return None, None
        inverse = self._inverse(build, x)
        z, e = x * inverse, c * reshape_to(build, scale, _spread(self.axes, x))
        mean_ez = mean(build, e * z, self.axes, keep=True)
        dx = build.map(lambda i, e, z, t: i * (e - z * t), inverse, e, z, mean_ez)
        return dx, _sum(build, c * z, _others(self.axes, x))

    def _inverse(self, build: Program, x: Value) -> Value:
        inverse: Value = 1 / m.sqrt(mean(build, x * x, self.axes, keep=True) + self.epsilon)
        return inverse


def _check(operation: str, axes: Sequence[int], epsilon: float, x: Spec) -> tuple[int, ...]:
    need_float(operation, x)
    if not epsilon >= 0:
        raise ShapeError(f"{operation}: epsilon must be at least 0, given {epsilon}")
    return normal_axes(operation, axes, x)


def _kept(axes: Sequence[int], x: Value) -> Shape:
    """Return the shape of x with extent 1 along `axes`: how a statistic is broadcast."""
    return reduced_shape(x.shape, normal_axes("", axes, x.spec), True)


def _count(x: Value, scale: Value) -> float:
    """Return from how many elements each statistic is taken."""
    return max(1, x.spec.size) / max(1, scale.spec.size)


def _others(axes: Sequence[int], x: Value) -> tuple[int, ...]:
    normal = normal_axes("", axes, x.spec)
    return tuple(a for a in range(x.spec.rank) if a not in normal)


def _spread(axes: Sequence[int], x: Value) -> Shape:
    """Return the shape of x with extent 1 along the other axes: how its scale is broadcast."""
    return reduced_shape(x.shape, _others(axes, x), True)


def _moments(build: Program, x: Value, axes: Sequence[int]) -> tuple[Value, Value]:
    mu = mean(build, x, axes, keep=True)
    square = build.map(lambda x, mu: (x - mu) * (x - mu), x, mu)
    return mu, mean(build, square, axes, keep=True)


def _sum(build: Program, value: Value, axes: Sequence[int]) -> Value:
    return reduce_axes(build, "sum", value, axes) if axes else value


def _plus(a: Value | None, b: Value) -> Value:
    return b if a is None else a + b
