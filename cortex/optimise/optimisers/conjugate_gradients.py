"""Non-linear conjugate gradients, preconditioned by a short memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex.optimise.line_search import LineSearch, StrongWolfe
from cortex.protocols import State
from cortex.rules import Rule, check, is_integer, one_of

from .solvers import register, remembered, searched, two_loops

FORMULAS = ("fletcher_reeves", "polak_ribiere", "hestenes_stiefel", "dai_yuan", "hager_zhang")

# these go on with tiny steps once they make one, unless they start again where successive gradients
# are far from orthogonal (Powell 1977, equation 18)
_STALLING = ("fletcher_reeves", "dai_yuan")


@register
@dataclass(frozen=True)
class ConjugateGradients:
    """d <- -P g + beta d, p <- p + a d, with a from a line search.

    `formula` says what beta is; with y the change of g, and P the preconditioner:

    | formula | beta | source |
    |---|---|---|
    | fletcher_reeves | g.Pg / g_old.Pg_old | Fletcher and Reeves 1964 |
    | polak_ribiere | max(0, y.Pg / g_old.Pg_old) | Polak and Ribière 1969; Powell 1984 |
    | hestenes_stiefel | max(0, y.Pg / d.y) | Hestenes and Stiefel 1952 |
    | dai_yuan | g.Pg / d.y | Dai and Yuan 1999 |
    | hager_zhang | max(y.Pg / d.y - 2 y.Py d.g / (d.y)^2, ...) | Hager and Zhang 2005, equations 1.3 and 1.6 |

    P is the inverse Hessian that BFGS makes of the last `memory` steps (Buckley 1978; Hager and Zhang
    2013); memory 0 is the plain method. The direction starts again from -P g where it would rise.
    State: direction, last_gradient, moves and gradient_changes [k, n], step_size, num_steps.
    """

    formula: str = "polak_ribiere"
    memory: int = 10
    search: LineSearch = StrongWolfe(curvature=0.4)

    def __post_init__(self) -> None:
        whole = Rule("an integer >= 0", lambda v: is_integer(v, 0))
        check(self, formula=one_of(*FORMULAS), memory=whole)

    def initialise(self, count: int) -> State:
        """Return no direction yet."""
        none = np.zeros((0, count))
        return {
            "direction": np.zeros(count), "last_gradient": np.zeros(count), "moves": none,
            "gradient_changes": none, "step_size": np.zeros(()), "num_steps": np.zeros(()),
        }  # fmt: skip

    def advance(self, state: State, point: Any) -> tuple[Any, State] | None:
        """Return the next point and the state after it, or None where nothing is better."""
        g, old, d = point.gradient(), state["last_gradient"], state["direction"]
        moves, changes = state["moves"], state["gradient_changes"]
        direction = conditioned = -two_loops(g, moves, changes)
        if d.any():
            direction = conditioned + self._beta(g, old, d, moves, changes) * d
            if not g @ direction < -1e-10 * np.sqrt((g @ g) * (direction @ direction)):
                direction = conditioned
        there = searched(self.search, point, direction, self._first(state, g, direction))
        if there is None:
            direction, moves, changes = -g, moves[:0], changes[:0]
            there = searched(self.search, point, direction, 1 / max(1.0, float(np.linalg.norm(g))))
            if there is None:
                return None
        move = there.params - point.params
        held = {"moves": moves, "gradient_changes": changes}
        moves, changes = remembered(held, self.memory, move, there.gradient() - g)
        new = {
            "direction": direction, "last_gradient": g, "moves": moves, "gradient_changes": changes,
            "step_size": np.sqrt((move @ move) / (direction @ direction)),
            "num_steps": state["num_steps"] + 1,
        }  # fmt: skip
        return there, new

    def _first(self, state: State, g: np.ndarray, direction: np.ndarray) -> float:
        if not state["direction"].any():
            return 1 / max(1.0, float(np.linalg.norm(g)))
        if len(state["moves"]):
            return 1.0
        # the change of the value along the line is about that of the last step
        before = state["last_gradient"] @ state["direction"]
        return float(state["step_size"] * min(10.0, before / (g @ direction)))

    def _beta(
        self, g: np.ndarray, old: np.ndarray, d: np.ndarray, moves: np.ndarray, changes: np.ndarray
    ) -> float:
        y = g - old

        def p(v: np.ndarray) -> np.ndarray:
            return two_loops(v, moves, changes)

        if self.formula in _STALLING and abs(g @ p(old)) >= 0.2 * (g @ p(g)):
            return 0.0
        if self.formula == "fletcher_reeves":
            return float(g @ p(g) / (old @ p(old)))
        if self.formula == "polak_ribiere":
            return max(0.0, float(y @ p(g) / (old @ p(old))))
        curvature = float(d @ y)
        if curvature <= 0:
            return 0.0
        if self.formula == "hestenes_stiefel":
            return max(0.0, float(y @ p(g)) / curvature)
        if self.formula == "dai_yuan":
            return float(g @ p(g)) / curvature
        beta = (float(y @ p(g)) - 2 * float(y @ p(y)) * float(d @ g) / curvature) / curvature
        least = -1 / (np.linalg.norm(d) * min(0.01, float(np.linalg.norm(old)) or 0.01))
        return max(beta, float(least))
