"""Solvers: optimisers that search along a line, and so need the function and not only its gradient.

    advance(state, point) -> (the next point, the next state), or None where no better one is found

`point` has `params`, `value()`, `gradient()` and `at(params)`. State is as that of other
optimisers, and may hold tables [k, n] as well. Solvers drive `descent`; a network in training has
no line to search along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from cortex.description import Registry
from cortex.optimise.line_search import LineSearch
from cortex.protocols import State

SOLVERS = Registry("solver")
register = SOLVERS.register


class Solver(Protocol):
    """What `descent.steps` asks of a solver."""

    def initialise(self, count: int) -> State:
        """Return the state before the first step for `count` parameters."""
        ...

    def advance(self, state: State, point: Any) -> tuple[Any, State] | None:
        """Return the next point and state, or None where no better place is found."""
        ...


def two_loops(gradient: np.ndarray, moves: np.ndarray, changes: np.ndarray) -> np.ndarray:
    """Return H g for the inverse Hessian H that BFGS makes of moves s [k, n] and changes y [k, n].

    Nocedal 1980; Nocedal and Wright 2006, algorithm 7.4, with H_0 = s.y / y.y of the last pair.
    """
    if not len(moves):
        return gradient
    products = np.einsum("kn,kn->k", moves, changes)
    q, weights = gradient.copy(), np.empty(len(moves))
    for i in range(len(moves) - 1, -1, -1):
        weights[i] = moves[i] @ q / products[i]
        q -= weights[i] * changes[i]
    q *= products[-1] / (changes[-1] @ changes[-1])
    for s, y, p, w in zip(moves, changes, products, weights, strict=True):
        q += s * (w - y @ q / p)
    return q


def remembered(state: Mapping[str, Any], memory: int, move: np.ndarray, change: np.ndarray) -> Any:
    """Return the tables of moves and changes with one more row, the oldest dropped.

    A pair with no positive curvature is left out: it would make H indefinite.
    """
    moves, changes = state["moves"], state["gradient_changes"]
    if memory and move @ change > 1e-14 * np.sqrt((move @ move) * (change @ change)):
        moves = np.concatenate([moves, move[None]])[-memory:]
        changes = np.concatenate([changes, change[None]])[-memory:]
    return moves, changes


def searched(search: LineSearch, point: Any, direction: np.ndarray, first: float) -> Any | None:
    """Return the place a search finds along a direction, or None, also where the direction rises."""
    slope = float(point.gradient() @ direction)
    if not np.isfinite(slope) or slope >= 0:
        return None
    return search.search(point, direction, slope, first)
