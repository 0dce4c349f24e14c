"""Values and gradients of functions, and how far a gradient is from differences: a rating per entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex.protocols import Vector

from .function import function

# a rating below the number has the class; 10 and above would be better than differences can tell
CLASSES = ((2, "very bad"), (4, "bad"), (7, "maybe okay"), (np.inf, "good"))
WORST, BEST = 0, 20


def value(of: Any, params: Any) -> float:
    """Return the value of a function (in any form that `function` takes) at a vector [n]."""
    return float(function(of).value(np.asarray(params, np.float64)))


def gradient(of: Any, params: Any) -> Vector:
    """Return the gradient [n] of a function at a vector [n], as the function claims it."""
    return np.asarray(function(of).gradient(np.asarray(params, np.float64)), np.float64)


def numerical_gradient(of: Any, params: Any, h: float = 1e-5) -> Vector:
    """Return the gradient [n] by symmetric differences, (f(x + h e_i) - f(x - h e_i)) / 2h.

    `of` is a function or, since no gradient is needed, its value alone. Costs 2 n values.
    """
    evaluate = of if callable(of) and not hasattr(of, "value") else function(of).value
    x = np.array(params, np.float64)
    slopes = np.empty_like(x)
    for i, middle in enumerate(x.tolist()):
        x[i] = middle + h
        above = float(evaluate(x))
        x[i] = middle - h
        slopes[i] = (above - float(evaluate(x))) / (2 * h)
        x[i] = middle
    return slopes


def random_point(
    generator: np.random.Generator, dims: int, center: Any = 0.0, dist: float = 1.0
) -> Vector:
    """Return center + a uniformly random direction times dist times a uniform number of [0, 1).

    `center` is a number or a vector [dims]. Points are denser near the centre than far from it.
    """
    direction = generator.standard_normal(dims)
    direction /= np.linalg.norm(direction)
    return np.asarray(center, np.float64) + direction * (dist * generator.uniform())


def rating(claimed: Any, measured: Any) -> np.ndarray:
    """Return how many digits two gradients share: -floor(log10(relative error)), from 0 to 20.

    The relative error is |a - b| / max(|a|, |b|); equal numbers rate 20, NaN and infinity 0.
    """
    a, b = np.broadcast_arrays(np.asarray(claimed, np.float64), np.asarray(measured, np.float64))
    with np.errstate(all="ignore"):
        digits = -np.floor(np.log10(relative_error(a, b)))
    return np.clip(np.nan_to_num(digits, nan=WORST, posinf=BEST), WORST, BEST).astype(np.int64)


def relative_error(a: Any, b: Any) -> np.ndarray:
    """Return |a - b| / max(|a|, |b|), elementwise; 0 where both are equal."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    with np.errstate(all="ignore"):
        found = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
    return np.where(a == b, 0.0, found)


def rating_class(digits: float) -> str:
    """Return what a rating means, in a word or two."""
    return next(word for below, word in CLASSES if digits < below)


@dataclass(frozen=True)
class GradientRating:
    """How a gradient compares with differences: one error and one rating per point and dimension."""

    errors: np.ndarray  # relative, [points * dims]
    ratings: np.ndarray

    @property
    def average(self) -> float:
        """The mean rating."""
        return float(self.ratings.mean())

    @property
    def verdict(self) -> str:
        """The class of the mean rating."""
        return rating_class(self.average)

    @property
    def classes(self) -> dict[str, int]:
        """How many of the entries belong to each class."""
        found = [rating_class(r) for r in self.ratings.tolist()]
        return {word: found.count(word) for _, word in CLASSES}

    def __str__(self) -> str:
        parts = ", ".join(f"{count} {word}" for word, count in self.classes.items() if count)
        return f"{self.verdict}: {self.average:.1f} digits on average of {len(self.ratings)} slopes ({parts})"


def check_gradient(
    of: Any,
    dims: int,
    *,
    center: Any = 0.0,
    dist: float = 1.0,
    points: int = 100,
    h: float = 1e-5,
    seed: int = 0,
) -> GradientRating:
    """Compare a function's gradient with differences at random points, and rate every slope.

    Points are drawn around `center` [dims] within `dist` (see `random_point`); `h` is the step of the
    differences. The result has points * dims errors and ratings; a right gradient of a smooth
    function rates 8 to 12 on average, a wrong one below 4. For a verdict along random directions
    that raises, see `cortex.gradient_check`.
    """
    checked, generator = function(of), np.random.default_rng(seed)
    claimed, measured = [], []
    for _ in range(points):
        x = random_point(generator, dims, center, dist)
        claimed.append(gradient(checked, x))
        measured.append(numerical_gradient(checked, x, h))
    errors = relative_error(np.array(claimed), np.array(measured)).reshape(-1)
    return GradientRating(errors, rating(claimed, measured).reshape(-1))
