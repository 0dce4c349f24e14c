"""`Normaliser`: running standardisation that pulls its input towards mean 0, deviation 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cortex.build import Build
from cortex.compute import math as m
from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.program import Value
from cortex.compute.spec import Spec
from cortex.initialisers import Ones, Zeros
from cortex.layers.base import Base, register
from cortex.protocols import Parameter
from cortex.rules import NOT_NEGATIVE, POSITIVE, SHARE, check


@register
@dataclass(frozen=True)
class Normaliser(Base):
    """y = (x - mean) / sd, element by element of an example, with running statistics in both modes.

    Training moves the running mean and mean of squares by `learn_rate` towards those of the batch,
    and adds to the gradient of each x the pull `factor` (mean + (sd - 1) (x - mean) / sd), divided
    by the number of examples: layers below learn to send mean 0 and deviation 1. The pull is that
    of the penalty factor (mean x + (sd - 1) / (2 sd) (x - mean)^2), summed over elements, averaged
    over the batch, in which the statistics are constants. `epsilon` is the least variance.
    """

    learn_rate: float = 0.001
    factor: float = 0.001
    epsilon: float = 1e-4

    def __post_init__(self) -> None:
        check(self, learn_rate=SHARE, factor=NOT_NEGATIVE, epsilon=POSITIVE)

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """running_mean and running_square (the mean of squares), of the shape of an example."""
        shape = self.one(inputs, 1, "batch, ...").shape[1:]
        return {
            "running_mean": Parameter(shape, Zeros(), trainable=False),
            "running_square": Parameter(shape, Ones(), trainable=False),
        }

    def forward(
        self, build: Build, x: Value, *, running_mean: Value, running_square: Value
    ) -> Value:
        """Any shape; it stays."""
        mu = running_mean
        sd = build.map(
            lambda mu, s: m.sqrt(m.maximum(s - mu * mu, self.epsilon)), mu, running_square
        )
        if build.training:
            for old, batch in ((mu, x), (running_square, x * x)):
                new = build.mean(batch)
                build.update(old, build.map(lambda o, n: o + self.learn_rate * (n - o), old, new))
            if self.factor:
                build.penalty(self._pull(build, x, mu, sd))
        return build.map(lambda x, mu, sd: (x - mu) / sd, x, mu, sd)

    def _pull(self, build: Build, x: Value, mu: Value, sd: Value) -> Value:
        energy = build.map(
            lambda x, mu, sd: mu * x + (sd - 1) / (2 * sd) * ((x - mu) * (x - mu)), x, mu, sd
        )
        total = reduce_axes(build.program, "sum", energy, None)
        return total * (self.factor / max(1, x.shape[0]))
