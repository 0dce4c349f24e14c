"""The Newton-secant method of the original: a running regression of the gradient on the parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex.compute import math as m
from cortex.optimise.schedules import Scheduled, or_schedule, value_at
from cortex.protocols import State
from cortex.rules import NOT_NEGATIVE, POSITIVE, SHARE, check


@dataclass(frozen=True)
class NewtonSecant:
    """Each parameter steps by Newton's rule with the slope of a running regression of g on x.

    With E the running means of x, g, x^2 and x g (the new sample weighs `decay`):
    slope = (E[x g] - E[x] E[g]) / (E[x^2] - E[x]^2), the curvature of the parameter, and
    x <- x - clip(step_ratio g / |slope|, at most `limit` standard deviations of x)

    E[x^2] and E[x g] start at 1, so that the first slope is about 1. Where the slope is 0 the step is
    the largest one, against the gradient. State: mean_parameter, mean_gradient, mean_square,
    mean_product, num_steps. Source: the optimiser of the Clojure cortex (2016), by its behaviour.
    """

    step_ratio: Scheduled = 0.1
    decay: float = 0.1
    limit: float = 2.0

    def __post_init__(self) -> None:
        check(self, step_ratio=or_schedule(NOT_NEGATIVE), decay=SHARE, limit=POSITIVE)

    def initialise(self, count: int) -> State:
        """Return means of 0, and of 1 for the square and the product."""
        zero, one = np.zeros(count), np.ones(count)
        return {
            "mean_parameter": zero, "mean_gradient": zero, "mean_square": one, "mean_product": one,
            "num_steps": np.zeros(()),
        }  # fmt: skip

    def update(self, state: State, parameters: Any, gradient: Any) -> tuple[Any, State]:
        """Return the parameters and the state after a step."""
        x, g, new = parameters, gradient, self.decay
        mean_x = state["mean_parameter"] + new * (x - state["mean_parameter"])
        mean_g = state["mean_gradient"] + new * (g - state["mean_gradient"])
        square = state["mean_square"] + new * (x * x - state["mean_square"])
        product = state["mean_product"] + new * (x * g - state["mean_product"])
        variance = m.maximum(square - mean_x * mean_x, 0)  # rounding can make it negative
        covariance = m.absolute(product - mean_x * mean_g)
        largest = self.limit * m.sqrt(variance)
        # g / slope without dividing by 0: a slope of 0 asks for more than the largest step
        wished = value_at(self.step_ratio, state["num_steps"]) * m.absolute(g) * variance
        short = wished < largest * covariance
        size = m.where(short, wished / m.where(short, covariance, 1), largest)
        moved = x - m.sign(g) * size
        means = {
            "mean_parameter": mean_x, "mean_gradient": mean_g, "mean_square": square,
            "mean_product": product, "num_steps": state["num_steps"] + 1,
        }  # fmt: skip
        return moved, means
