"""Stochastic gradient descent, with momentum and Nesterov's look-ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cortex.optimise.schedules import Scheduled, or_schedule, value_at
from cortex.protocols import State
from cortex.rules import BELOW_ONE, FLAG, NOT_NEGATIVE, check

from .state import zeros


@dataclass(frozen=True)
class Sgd:
    """Steps against the gradient: v <- mu v - eta g, p <- p + v.

    With `nesterov` the step looks ahead: p <- p + mu v - eta g with the new v (Sutskever et al.
    2013, equations 3 and 4, in the variables of Bengio et al. 2013). Momentum 0 keeps no velocity:
    p - eta g.

    State: num_steps, and velocity where there is momentum.
    """

    step_size: Scheduled = 0.1
    momentum: Scheduled = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        check(
            self,
            step_size=or_schedule(NOT_NEGATIVE),
            momentum=or_schedule(BELOW_ONE),
            nesterov=FLAG,
        )

    def initialise(self, count: int) -> State:
        """Return zeros."""
        return zeros(count, *(["velocity"] if self.momentum else []))

    def update(self, state: State, parameters: Any, gradient: Any) -> tuple[Any, State]:
        """Return the parameters and the state after a step."""
        t = state["num_steps"]
        eta, mu = value_at(self.step_size, t), value_at(self.momentum, t)
        push = eta * gradient
        if not self.momentum:
            return parameters - push, {"num_steps": t + 1}
        v = mu * state["velocity"] - push
        moved = parameters + (mu * v - push if self.nesterov else v)
        return moved, {"velocity": v, "num_steps": t + 1}
