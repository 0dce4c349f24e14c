"""Optimisers that divide the gradient by a running measure of its size:

Adagrad, ADADELTA, RMSProp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex.compute import math as m
from cortex.optimise.schedules import Scheduled, or_schedule, value_at
from cortex.protocols import State
from cortex.rules import BELOW_ONE, FLAG, NOT_NEGATIVE, POSITIVE, check

from .state import zeros


@dataclass(frozen=True)
class Adagrad:
    """a <- a + g^2, p <- p - eta g / (sqrt(a) + epsilon). Duchi, Hazan and Singer 2011, section
    1.1.

    State: acc_gradient (a, which starts at `initial`), num_steps.
    """

    step_size: Scheduled = 0.01
    epsilon: float = 1e-10
    initial: float = 0.0

    def __post_init__(self) -> None:
        size = or_schedule(NOT_NEGATIVE)
        check(self, step_size=size, epsilon=POSITIVE, initial=NOT_NEGATIVE)

    def initialise(self, count: int) -> State:
        """Return the accumulator filled with `initial`."""
        return {"acc_gradient": np.full(count, float(self.initial)), "num_steps": np.zeros(())}

    def update(self, state: State, parameters: Any, gradient: Any) -> tuple[Any, State]:
        """Return the parameters and the state after a step."""
        t = state["num_steps"]
        a = state["acc_gradient"] + gradient * gradient
        step = value_at(self.step_size, t) * (gradient / (m.sqrt(a) + self.epsilon))
        return parameters - step, {"acc_gradient": a, "num_steps": t + 1}


@dataclass(frozen=True)
class Adadelta:
    """Steps of the size of earlier steps, in units of the parameters. Zeiler 2012, algorithm 1.

    E[g^2] <- rho E[g^2] + (1 - rho) g^2
    dx = -sqrt(E[dx^2] + epsilon) / sqrt(E[g^2] + epsilon) g
    E[dx^2] <- rho E[dx^2] + (1 - rho) dx^2,  p <- p + step_size dx

    `decay` (rho) is the weight of the old average. State: acc_gradient, acc_step, num_steps.
    """

    decay: Scheduled = 0.95
    epsilon: float = 1e-6
    step_size: Scheduled = 1.0

    def __post_init__(self) -> None:
        check(
            self,
            decay=or_schedule(BELOW_ONE),
            epsilon=POSITIVE,
            step_size=or_schedule(NOT_NEGATIVE),
        )

    def initialise(self, count: int) -> State:
        """Return zeros."""
        return zeros(count, "acc_gradient", "acc_step")

    def update(self, state: State, parameters: Any, gradient: Any) -> tuple[Any, State]:
        """Return the parameters and the state after a step."""
        t, g = state["num_steps"], gradient
        rho = value_at(self.decay, t)
        acc_gradient = rho * state["acc_gradient"] + (1 - rho) * (g * g)
        ratio = m.sqrt(state["acc_step"] + self.epsilon) / m.sqrt(acc_gradient + self.epsilon)
        dx = -(ratio * g)
        acc_step = rho * state["acc_step"] + (1 - rho) * (dx * dx)
        moved = parameters + value_at(self.step_size, t) * dx
        return moved, {"acc_gradient": acc_gradient, "acc_step": acc_step, "num_steps": t + 1}


@dataclass(frozen=True)
class RmsProp:
    """The gradient over the root of its mean square. Tieleman and Hinton 2012, lecture 6.5.

    v <- rho v + (1 - rho) g^2,  p <- p - eta g / sqrt(v + epsilon)

    `centred` takes the running mean off, sqrt(v - m^2) with m <- rho m + (1 - rho) g (Graves 2013,
    equations 38 to 45, which also have the momentum: d <- mu d - eta g / (...), p <- p + d). There
    epsilon must stand under the root: for a steady gradient v - m^2 tends to 0, and beside the root
    an epsilon of 1e-8 would leave the step to rounding.
    State: second_moment, num_steps; first_moment where centred; velocity where there is momentum.
    """

    step_size: Scheduled = 0.01
    decay: Scheduled = 0.9
    epsilon: float = 1e-7
    momentum: Scheduled = 0.0
    centred: bool = False

    def __post_init__(self) -> None:
        check(
            self,
            step_size=or_schedule(NOT_NEGATIVE),
            decay=or_schedule(BELOW_ONE),
            epsilon=POSITIVE,
            momentum=or_schedule(BELOW_ONE),
            centred=FLAG,
        )

    def initialise(self, count: int) -> State:
        """Return zeros."""
        extra = ["first_moment"] * self.centred + ["velocity"] * bool(self.momentum)
        return zeros(count, "second_moment", *extra)

    def update(self, state: State, parameters: Any, gradient: Any) -> tuple[Any, State]:
        """Return the parameters and the state after a step."""
        t, g = state["num_steps"], gradient
        rho = value_at(self.decay, t)
        v = rho * state["second_moment"] + (1 - rho) * (g * g)
        new = {"second_moment": v, "num_steps": t + 1}
        if self.centred:
            mean = new["first_moment"] = rho * state["first_moment"] + (1 - rho) * g
            v = m.maximum(v - mean * mean, 0)  # rounding can make it negative
        push = value_at(self.step_size, t) * (g / m.sqrt(v + self.epsilon))
        if not self.momentum:
            return parameters - push, new
        new["velocity"] = value_at(self.momentum, t) * state["velocity"] - push
        return parameters + new["velocity"], new
