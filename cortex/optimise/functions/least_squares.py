"""Sums of squares of residuals: the form of the classic test problems and of every curve fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from cortex.protocols import Function, Vector

from .derived import Derived
from .function import Pair


def least_squares(residuals: Callable[[Any], Any], name: str = "") -> Derived:
    """Return f(x) = sum r_i(x)^2 for residuals r: [n] -> [m]; its gradient is derived."""
    return Derived(lambda x: np.sum(residuals(x) ** 2), name or "least_squares")


@dataclass(frozen=True)
class Problem:
    """A function with the start from which everybody begins, and the values where runs may end.

    `minima` are the known local minima, the global one first; `source` is the equation of the paper.
    """

    name: str
    source: str
    residuals: Callable[[Any], Any] = field(repr=False)
    start: tuple[float, ...]
    minima: tuple[float, ...] = (0.0,)
    slopes: Callable[[Vector], Vector] | None = field(default=None, repr=False)

    @cached_property
    def function(self) -> Function:
        """The sum of squares of the residuals."""
        made = least_squares(self.residuals, self.name)
        return made if self.slopes is None else Pair(made.value, self.slopes, self.name)

    def value(self, params: Vector) -> float:
        """Return the value at a vector [n]."""
        return self.function.value(params)

    def gradient(self, params: Vector) -> Vector:
        """Return the gradient [n] at a vector [n]."""
        return self.function.gradient(params)
