"""Constraints on parameters, by projection after a step, and clipping of gradients before it.

Each is a function of a builder (a `Program`, or the `Build` of a layer) that records ops on values.
Those that are elementwise, `bounds` and `non_negative`, also compute on NumPy arrays, with None as
builder. `Box` and `Ball` are projections of the plain vector of a descent
(`descent.study(..., project=Box(0, 1))`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex.build import Build
from cortex.compute import math as m
from cortex.compute.errors import DescriptionError
from cortex.compute.ops.reduce import Reduce
from cortex.compute.program import Program, Value
from cortex.rules import is_number

Builder = Program | Build


def max_norm(build: Builder, weights: Value, limit: float) -> Value:
    """Return weights [O, ...] with each row longer than `limit` rescaled to that length.

    The row of an output is all that leads to it: w <- w min(1, limit / |w|_2). Srebro and Shraibman
    2005; Srivastava et al. 2014, section 5.1. A row of zeros stays.

    Raises:
        DescriptionError: the limit is not a number > 0, or the weights have no row axis.
    """
    _check("max_norm", "limit", limit)
    if weights.spec.rank < 2:
        problem = f"expected weights [outputs, ...], given {weights.spec}"
        raise DescriptionError("max_norm", [problem])
    axes = tuple(range(1, weights.spec.rank))
    norm = m.sqrt(build.apply(Reduce("sum", axes, keep=True), weights * weights))
    return _shortened(weights, norm, limit)


def bounds(build: Builder | None, value: Any, low: Any = None, high: Any = None) -> Any:
    """Return the values limited to [low, high]; None leaves a side open.

    `low` and `high` are numbers, or arrays or values that broadcast to `value`.

    Raises:
        DescriptionError: both are numbers and low is above high.
    """
    if is_number(low) and is_number(high) and low > high:
        raise DescriptionError("bounds", [f"expected low <= high, given {low} and {high}"])
    if low is not None:
        value = m.maximum(value, low)
    return value if high is None else m.minimum(value, high)


def non_negative(build: Builder | None, value: Any) -> Any:
    """Return the values with 0 in place of what is below 0."""
    return bounds(build, value, low=0)


def clip_by_value(build: Builder | None, gradient: Any, limit: float) -> Any:
    """Return a gradient with each entry limited to [-limit, limit].

    Raises:
        DescriptionError: the limit is not a number > 0.
    """
    _check("clip_by_value", "limit", limit)
    return bounds(build, gradient, -limit, limit)


def clip_by_global_norm(
    build: Builder, gradients: Sequence[Value], limit: float
) -> tuple[tuple[Value, ...], Value]:
    """Return gradients rescaled so that all together are not longer than `limit`, and their norm.

    g <- g min(1, limit / |g|_2), with the norm over all of them as it was before (0-d). Pascanu,
    Mikolov and Bengio 2013, algorithm 1.

    Raises:
        DescriptionError: the limit is not a number > 0, or there are no gradients.
    """
    _check("clip_by_global_norm", "limit", limit)
    if not gradients:
        raise DescriptionError(
            "clip_by_global_norm", ["expected at least one gradient, given none"]
        )
    total: Any = 0.0
    for g in gradients:
        total = total + build.apply(Reduce("sum", tuple(range(g.spec.rank))), g * g)
    norm = m.sqrt(total)
    return tuple(_shortened(g, norm, limit) for g in gradients), norm


def _shortened(value: Value, norm: Value, limit: float) -> Value:
    """Return value min(1, limit / norm); the comparison keeps a norm of 0 out of the division."""
    scale: Value = m.where(norm > limit, limit / m.maximum(norm, limit), 1.0)
    return value * scale


def _check(what: str, name: str, limit: Any) -> None:
    if not is_number(limit) or limit <= 0:
        raise DescriptionError(what, [f"{name}: expected a number > 0, given {limit!r}"])


@dataclass(frozen=True)
class Box:
    """The projection of a vector [n] onto low <= x <= high; each a number, a vector [n], or None for open.

    Raises:
        DescriptionError: low is above high somewhere.
    """

    low: Any = None
    high: Any = None

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, np.array(getattr(self, name), np.float64))
        if self.low is not None and self.high is not None and (self.low > self.high).any():
            problem = f"expected low <= high, given {self.low.tolist()} and {self.high.tolist()}"
            raise DescriptionError("Box", [problem])

    def __call__(self, params: np.ndarray) -> np.ndarray:
        """Return the nearest vector in the box."""
        return np.array(bounds(None, params, self.low, self.high))


@dataclass(frozen=True)
class Ball:
    """The projection of a vector [n] onto |x| <= limit.

    Raises:
        DescriptionError: the limit is not a number > 0.
    """

    limit: float

    def __post_init__(self) -> None:
        _check("Ball", "limit", self.limit)

    def __call__(self, params: np.ndarray) -> np.ndarray:
        """Return the nearest vector in the ball."""
        length = float(np.linalg.norm(params))
        return params * (self.limit / length) if length > self.limit else np.array(params)
