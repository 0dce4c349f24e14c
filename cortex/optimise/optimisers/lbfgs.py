"""L-BFGS: a quasi-Newton method that remembers its last few steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex.optimise.line_search import LineSearch, StrongWolfe
from cortex.protocols import State
from cortex.rules import COUNT, check

from .solvers import register, remembered, searched, two_loops


@register
@dataclass(frozen=True)
class LBfgs:
    """p <- p - a H g, H the inverse Hessian of the last `memory` steps, a from a line search.

    Liu and Nocedal 1989. The first step tries the length min(1, 1/|g|), later ones a = 1. Where the
    search finds nothing, the memory is dropped and the gradient itself is tried.
    State: moves and gradient_changes [k, n], num_steps.
    """

    memory: int = 10
    search: LineSearch = StrongWolfe()

    def __post_init__(self) -> None:
        check(self, memory=COUNT)

    def initialise(self, count: int) -> State:
        """Return an empty memory."""
        none = np.zeros((0, count))
        return {"moves": none, "gradient_changes": none, "num_steps": np.zeros(())}

    def advance(self, state: State, point: Any) -> tuple[Any, State] | None:
        """Return the next point and the state after it, or None where nothing is better."""
        g = point.gradient()
        moves, changes = state["moves"], state["gradient_changes"]
        while True:
            direction = -two_loops(g, moves, changes)
            first = 1.0 if len(moves) else 1 / max(1.0, float(np.linalg.norm(g)))
            there = searched(self.search, point, direction, first)
            if there is not None:
                break
            if not len(moves):
                return None
            moves = changes = moves[:0]
        old = {"moves": moves, "gradient_changes": changes}
        moves, changes = remembered(
            old, self.memory, there.params - point.params, there.gradient() - g
        )
        new = {"moves": moves, "gradient_changes": changes, "num_steps": state["num_steps"] + 1}
        return there, new
