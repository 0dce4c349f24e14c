"""Normalisation by statistics of the batch, of each example, or of neighbouring channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

from cortex.build import Build
from cortex.compute import ops
from cortex.compute.errors import ShapeError
from cortex.compute.program import Op, Value
from cortex.compute.spec import Shape, Spec
from cortex.initialisers import Ones, Zeros
from cortex.layers.base import AXIS, Base, register
from cortex.protocols import Parameter
from cortex.rules import COUNT, NUMBER, POSITIVE, SHARE, check, one_of, tuple_of


@register
@dataclass(frozen=True)
class BatchNormalisation(Base):
    """y = scale (x - mean) / sqrt(variance + epsilon) + bias with the statistics of the batch.

    They are taken per channel (axis 1) or per element of an example. Training also refreshes the
    running ones, which inference uses: running = momentum running + (1 - momentum) batch, the
    variance of the batch being the unbiased one, with n / (n - 1). Where several processes train
    together, the batch is that of all of them. Ioffe and Szegedy 2015, algorithms 1 and 2.
    """

    momentum: float = 0.9
    epsilon: float = 1e-4
    per: Literal["channel", "element"] = "channel"

    def __post_init__(self) -> None:
        check(self, momentum=SHARE, epsilon=POSITIVE, per=one_of("channel", "element"))

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """Scale, bias, running_mean and running_variance: [C] or [*shape of an example]."""
        x = self.one(inputs, 2, "batch, channels, ...")
        shape = x.shape[1:2] if self.per == "channel" else x.shape[1:]
        return {
            "scale": Parameter(shape, Ones()),
            "bias": Parameter(shape, Zeros()),
            "running_mean": Parameter(shape, Zeros(), trainable=False),
            "running_variance": Parameter(shape, Ones(), trainable=False),
        }

    def forward(
        self,
        build: Build,
        x: Value,
        *,
        scale: Value,
        bias: Value,
        running_mean: Value,
        running_variance: Value,
    ) -> Value:
        """[N, C, ...]; the shape stays."""
        axes = (0, *range(2, x.spec.rank)) if self.per == "channel" else (0,)
        if not build.training:
            still = ops.Normalisation(axes, self.epsilon)
            return build.apply(still, x, running_mean, running_variance, scale, bias)
        count = build.total(x.shape[0]) * prod(x.shape[1:]) // max(1, scale.spec.size)
        op: Op = ops.BatchNormalisation(axes, self.epsilon)
        if build.share is not None:
            op = ops.SharedBatchNormalisation(axes, self.epsilon, count)
        y, mean, variance = build.apply(op, x, scale, bias)
        old, new = self.momentum, 1 - self.momentum
        unbiased = new * count / max(1, count - 1)
        build.update(running_mean, build.map(lambda r, b: old * r + new * b, running_mean, mean))
        moved = build.map(lambda r, b: old * r + unbiased * b, running_variance, variance)
        build.update(running_variance, moved)
        return y


class _PerExample(Base):
    """What layer and root-mean-square normalisation share: the axes of their statistics."""

    axes: tuple[int, ...]
    epsilon: float

    def _check(self) -> None:
        if isinstance(self.axes, int):
            object.__setattr__(self, "axes", (self.axes,))
        check(self, axes=tuple_of(AXIS, least=1), epsilon=POSITIVE)

    def _shape(self, inputs: tuple[Spec, ...]) -> Shape:
        x = self.one(inputs, 2, "batch, features, ...")
        axes = self._axes(x)
        if len(set(axes)) < len(axes) or any(not 0 < a < x.rank for a in axes):
            raise ShapeError(
                f"{type(self).__name__}: axes {self.axes} must be different axes of {x} "
                "other than the batch"
            )
        return tuple(x.shape[a] for a in axes)

    def _axes(self, x: Spec) -> tuple[int, ...]:
        return tuple(sorted(a + x.rank if a < 0 else a for a in self.axes))


@register
@dataclass(frozen=True)
class LayerNormalisation(_PerExample):
    """y = scale (x - mean) / sqrt(variance + epsilon) + bias over `axes` (-1: features).

    Ba, Kiros and Hinton 2016, equation 4.
    """

    axes: tuple[int, ...] = (-1,)
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        self._check()

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """Scale and bias, of the extents of the axes."""
        shape = self._shape(inputs)
        return {"scale": Parameter(shape, Ones()), "bias": Parameter(shape, Zeros())}

    def forward(self, build: Build, x: Value, *, scale: Value, bias: Value) -> Value:
        """Any shape; it stays."""
        op = ops.LayerNormalisation(self._axes(x.spec), self.epsilon)
        return build.apply(op, x, scale, bias)


@register
@dataclass(frozen=True)
class RmsNormalisation(_PerExample):
    """y = scale x / sqrt(mean of x^2 + epsilon) over `axes` of each example (-1: its features).

    Zhang and Sennrich 2019, equation 4.
    """

    axes: tuple[int, ...] = (-1,)
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        self._check()

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """Scale, of the extents of the axes."""
        return {"scale": Parameter(self._shape(inputs), Ones())}

    def forward(self, build: Build, x: Value, *, scale: Value) -> Value:
        """Any shape; it stays."""
        op = ops.RmsNormalisation(self._axes(x.spec), self.epsilon)
        return build.apply(op, x, scale)


@register
@dataclass(frozen=True)
class LocalResponseNormalisation(Base):
    """y = x / (k + alpha / size sum of x^2)^beta, the sum over `size` channels.

    The window of a channel begins floor((size - 1) / 2) channels before it; channels outside count
    as 0. Krizhevsky, Sutskever and Hinton 2012, section 3.3, with alpha divided by the size as
    Caffe does.
    """

    size: int = 5
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75

    def __post_init__(self) -> None:
        check(self, size=COUNT, k=POSITIVE, alpha=NUMBER, beta=NUMBER)

    def forward(self, build: Build, x: Value) -> Value:
        """[N, C, ...]; the shape stays."""
        op = ops.LocalResponseNormalisation(self.size, self.k, self.alpha, self.beta)
        return build.apply(op, x)
