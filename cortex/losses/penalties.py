"""Penalties on parameters (or on outputs): one number that is added to the loss of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cortex.build import Build
from cortex.compute import math as m
from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.program import Value
from cortex.description import Registry
from cortex.rules import NOT_NEGATIVE, check

REGULARISERS = Registry("regulariser")


class Regulariser(Protocol):
    """A frozen dataclass: what a value costs by itself."""

    def penalty(self, build: Build, value: Value) -> Value:
        """Return a 0-d number to add to the loss; it is not divided by the size of the batch."""
        ...


@REGULARISERS.register
@dataclass(frozen=True)
class L1Regulariser:
    """factor * sum |w|; the gradient is factor * sign(w), and 0 at 0."""

    factor: float = 1e-3

    def __post_init__(self) -> None:
        check(self, factor=NOT_NEGATIVE)

    def penalty(self, build: Build, value: Value) -> Value:
        """Return factor * sum |w|."""
        return self.factor * reduce_axes(build.program, "sum", m.absolute(value), None)


@REGULARISERS.register
@dataclass(frozen=True)
class L2Regulariser:
    """factor / 2 * sum w^2; the gradient is factor * w."""

    factor: float = 1e-3

    def __post_init__(self) -> None:
        check(self, factor=NOT_NEGATIVE)

    def penalty(self, build: Build, value: Value) -> Value:
        """Return factor / 2 * sum w^2."""
        return 0.5 * self.factor * reduce_axes(build.program, "sum", m.square(value), None)
