"""Line searches: how far to go in a direction. Parts of solvers, and of use on their own.

A search is a frozen dataclass with one method,

    search(point, direction, slope, first) -> the place it chose, or None where it found no better one

`point` knows its value and gradient (`descent.Point`), `slope` < 0 is that of the value along the
direction, `first` the step to try first, in units of the direction. To add one, write a registered
dataclass.
"""

from __future__ import annotations

from typing import Any, Protocol

from cortex.optimise.functions import Vector

from .backtracking import Backtracking
from .registry import SEARCHES, register
from .wolfe import StrongWolfe


class LineSearch(Protocol):
    """What a solver asks of a line search."""

    def search(self, point: Any, direction: Vector, slope: float, first: float) -> Any | None:
        """Return a better place along the direction, or None."""
        ...


__all__ = ["SEARCHES", "Backtracking", "LineSearch", "StrongWolfe", "register"]
