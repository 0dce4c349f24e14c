"""Backtracking: shorter and shorter steps until one lowers the value enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex.optimise.functions import Vector
from cortex.rules import BELOW_ONE, COUNT, check

from .registry import register


@register
@dataclass(frozen=True)
class Backtracking:
    """The first step a with f(x + a d) <= f(x) + sufficient a g.d (Armijo 1966).

    After a refusal a is the minimum of the parabola through both values and the slope, but not below
    0.1 a nor above `shrink` a (Nocedal and Wright 2006, section 3.5). Costs values only.
    """

    sufficient: float = 1e-4
    shrink: float = 0.5
    limit: int = 40

    def __post_init__(self) -> None:
        check(self, sufficient=BELOW_ONE, shrink=BELOW_ONE, limit=COUNT)

    def search(self, point: Any, direction: Vector, slope: float, first: float) -> Any | None:
        """Return the place of the first step that is good enough, or None after `limit` steps."""
        start, a = point.value(), first
        for _ in range(self.limit):
            there = point.at(point.params + a * direction)
            value = there.value()
            if value <= start + self.sufficient * a * slope and value < start:
                return there
            bend = value - start - a * slope
            vertex = -slope * a * a / (2 * bend) if np.isfinite(bend) and bend > 0 else 0.0
            a = min(max(vertex, 0.1 * a), self.shrink * a)
        return None
