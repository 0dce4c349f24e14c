"""Random layers: they act in training and are the identity in inference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cortex.build import Build
from cortex.compute import math as m
from cortex.compute import ops
from cortex.compute.ops.random import random_state
from cortex.compute.program import Value
from cortex.layers.base import Base, register
from cortex.rules import BELOW_ONE, NOT_NEGATIVE, SHARE, check, one_of


@register
@dataclass(frozen=True)
class Dropout(Base):
    """In training, drop each number with `probability` p and divide the others by 1 - p.

    With distribution "gaussian", multiply by N(1, p / (1 - p)) instead, noise of the same variance.
    Srivastava et al. 2014, sections 4 and 10.
    """

    probability: float
    distribution: Literal["bernoulli", "gaussian"] = "bernoulli"

    def __post_init__(self) -> None:
        check(self, probability=BELOW_ONE, distribution=one_of("bernoulli", "gaussian"))

    def forward(self, build: Build, x: Value) -> Value:
        """Any shape; it stays."""
        if not build.training or self.probability == 0:
            return x
        number, first = build.program.next_random(), build.first(x.shape)
        op = ops.Dropout(self.probability, number, self.distribution, first)
        return build.apply(op, x, *random_state(build.program))


@register
@dataclass(frozen=True)
class GaussianNoise(Base):
    """In training, add normal noise of mean 0 and standard deviation `sd`."""

    sd: float

    def __post_init__(self) -> None:
        check(self, sd=NOT_NEGATIVE)

    def forward(self, build: Build, x: Value) -> Value:
        """Any shape; it stays."""
        if not build.training or self.sd == 0:
            return x
        return x + self.sd * build.random("normal", x.shape)


@register
@dataclass(frozen=True)
class MultiplicativeNoise(Base):
    """In training, multiply each number, with `probability`, by normal noise N(1, sd^2)."""

    probability: float
    sd: float

    def __post_init__(self) -> None:
        check(self, probability=SHARE, sd=NOT_NEGATIVE)

    def forward(self, build: Build, x: Value) -> Value:
        """Any shape; it stays."""
        if not build.training or self.probability == 0 or self.sd == 0:
            return x
        chance = build.random("uniform", x.shape)
        normal = build.random("normal", x.shape)
        p, sd = self.probability, self.sd
        noisy = build.map(lambda x, u, n: x * m.where(u < p, 1 + sd * n, 1), x, chance, normal)
        return noisy
