"""Adam and its relatives: AdamW, Nadam, AMSGrad, Lion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex.compute import math as m
from cortex.optimise.schedules import Scheduled, or_schedule, value_at
from cortex.protocols import State
from cortex.rules import BELOW_ONE, NOT_NEGATIVE, POSITIVE, check

from .state import zeros

_RULES = {
    "step_size": or_schedule(NOT_NEGATIVE),
    "first_decay": BELOW_ONE,
    "second_decay": BELOW_ONE,
    "epsilon": POSITIVE,
}


def _mix(decay: float, old: Any, new: Any) -> Any:
    """Return the running average with the weight `decay` on the old one."""
    return decay * old + (1 - decay) * new


def _unbias(decay: float, t: Any) -> Any:
    """Return 1 / (1 - decay^t), which makes up for an average that starts at 0."""
    return 1 / (1 - m.power(decay, t))


@dataclass(frozen=True)
class Adam:
    """Running averages of the gradient over the root of that of its square.

    t <- t + 1,  m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2
    p <- p - eta (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)

    Kingma and Ba 2015, algorithm 1. beta1 is `first_decay`, beta2 `second_decay`.
    State: first_moment, second_moment, num_steps.
    """

    step_size: Scheduled = 0.001
    first_decay: float = 0.9
    second_decay: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        check(self, **_RULES)

    def initialise(self, count: int) -> State:
        """Return zeros."""
        return zeros(count, "first_moment", "second_moment")

    def update(self, state: State, parameters: Any, gradient: Any) -> tuple[Any, State]:
        """Return the parameters and the state after a step."""
        direction, new = self._direction(state, gradient)
        return parameters - value_at(self.step_size, state["num_steps"]) * direction, new

    def _direction(self, state: State, g: Any) -> tuple[Any, State]:
        # Products with reciprocals, in this order, give the published logs to the last digit.
        t = state["num_steps"] + 1
        first = _mix(self.first_decay, state["first_moment"], g)
        second = _mix(self.second_decay, state["second_moment"], g * g)
        root = m.sqrt(second * _unbias(self.second_decay, t))
        direction = (first * _unbias(self.first_decay, t)) / (root + self.epsilon)
        return direction, {"first_moment": first, "second_moment": second, "num_steps": t}


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: p <- p - eta (Adam's direction + weight_decay p).

    Loshchilov and Hutter 2019, algorithm 2, with the decay multiplied by the step size.
    State: as Adam.
    """

    weight_decay: Scheduled = 0.01

    def __post_init__(self) -> None:
        check(self, **_RULES, weight_decay=or_schedule(NOT_NEGATIVE))

    def update(self, state: State, parameters: Any, gradient: Any) -> tuple[Any, State]:
        """Return the parameters and the state after a step."""
        t = state["num_steps"]
        direction, new = self._direction(state, gradient)
        direction = direction + value_at(self.weight_decay, t) * parameters
        return parameters - value_at(self.step_size, t) * direction, new


@dataclass(frozen=True)
class AmsGrad(Adam):
    """Adam whose second moment never falls: v^ <- max(v^, v), and v^ takes the place of v.

    Reddi, Kale and Kumar 2018, algorithm 2, with Adam's corrections of the bias.
    State: as Adam, and max_second_moment.
    """

    def initialise(self, count: int) -> State:
        """Return zeros."""
        return zeros(count, "first_moment", "second_moment", "max_second_moment")

    def update(self, state: State, parameters: Any, gradient: Any) -> tuple[Any, State]:
        """Return the parameters and the state after a step."""
        t = state["num_steps"] + 1
        first = _mix(self.first_decay, state["first_moment"], gradient)
        second = _mix(self.second_decay, state["second_moment"], gradient * gradient)
        largest = m.maximum(state["max_second_moment"], second)
        root = m.sqrt(largest * _unbias(self.second_decay, t))
        direction = (first * _unbias(self.first_decay, t)) / (root + self.epsilon)
        new = {
            "first_moment": first,
            "second_moment": second,
            "max_second_moment": largest,
            "num_steps": t,
        }
        return parameters - value_at(self.step_size, state["num_steps"]) * direction, new


@dataclass(frozen=True)
class Nadam(Adam):
    """Adam with Nesterov's momentum. Dozat 2016, algorithm 2.

    mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2), and with P_t the product of mu_1 .. mu_t
    m^ = mu_{t+1} m / (1 - P_{t+1}) + (1 - mu_t) g / (1 - P_t)
    p <- p - eta m^ / (sqrt(v / (1 - beta2^t)) + epsilon)

    State: as Adam, and momentum_product (P, a scalar).
    """

    step_size: Scheduled = 0.002
    momentum_decay: float = 0.004

    def __post_init__(self) -> None:
        check(self, **_RULES, momentum_decay=NOT_NEGATIVE)

    def initialise(self, count: int) -> State:
        """Return zeros, and the empty product 1."""
        return {**zeros(count, "first_moment", "second_moment"), "momentum_product": np.ones(())}

    def update(self, state: State, parameters: Any, gradient: Any) -> tuple[Any, State]:
        """Return the parameters and the state after a step."""
        t = state["num_steps"] + 1
        mu, following = self._momentum(t), self._momentum(t + 1)
        product = state["momentum_product"] * mu
        first = _mix(self.first_decay, state["first_moment"], gradient)
        second = _mix(self.second_decay, state["second_moment"], gradient * gradient)
        root = m.sqrt(second * _unbias(self.second_decay, t))
        ahead = first * (following / (1 - product * following))
        direction = (ahead + gradient * ((1 - mu) / (1 - product))) / (root + self.epsilon)
        new = {
            "first_moment": first,
            "second_moment": second,
            "num_steps": t,
            "momentum_product": product,
        }
        return parameters - value_at(self.step_size, state["num_steps"]) * direction, new

    def _momentum(self, t: Any) -> Any:
        return self.first_decay * (1 - 0.5 * m.power(0.96, t * self.momentum_decay))


@dataclass(frozen=True)
class Lion:
    """The sign of an average: p <- p - eta (sign(beta1 m + (1 - beta1) g) + weight_decay p).

    Then m <- beta2 m + (1 - beta2) g. Chen et al. 2023, algorithm 2. Every entry moves by eta, so
    the step size is three to ten times below Adam's. State: first_moment, num_steps.
    """

    step_size: Scheduled = 1e-4
    first_decay: float = 0.9
    second_decay: float = 0.99
    weight_decay: Scheduled = 0.0

    def __post_init__(self) -> None:
        check(
            self,
            step_size=or_schedule(NOT_NEGATIVE),
            first_decay=BELOW_ONE,
            second_decay=BELOW_ONE,
            weight_decay=or_schedule(NOT_NEGATIVE),
        )

    def initialise(self, count: int) -> State:
        """Return zeros."""
        return zeros(count, "first_moment")

    def update(self, state: State, parameters: Any, gradient: Any) -> tuple[Any, State]:
        """Return the parameters and the state after a step."""
        t, old = state["num_steps"], state["first_moment"]
        direction = m.sign(_mix(self.first_decay, old, gradient))
        if self.weight_decay:
            direction = direction + value_at(self.weight_decay, t) * parameters
        new = {"first_moment": _mix(self.second_decay, old, gradient), "num_steps": t + 1}
        return parameters - value_at(self.step_size, t) * direction, new
