"""Functions to study: what a function is, how to make one, and the collections of test functions.

| to have | use |
|---|---|
| a function of two callables, or of one whose gradient is derived | `function`, `derived`, `least_squares` |
| a function that takes a seed per step, of random rows | `stochastic`, `minibatches` |
| its value, its gradient, its gradient by differences | `value`, `gradient`, `numerical_gradient` |
| a rating of a gradient | `check_gradient`, `rating` |
| the objectives of the original | `OBJECTIVES`, `de_jong`, `rosenbrock`, `ackley`, ... |
| the problems of Moré, Garbow and Hillstrom | `classics()` |

    from cortex.optimise import functions

    bowl = functions.function(lambda x: (x**2).sum())
    functions.gradient(bowl, [1, 2, 3])  # [2, 4, 6]
"""

from __future__ import annotations

from cortex.protocols import Function, Vector

from .checking import (
    GradientRating,
    check_gradient,
    gradient,
    numerical_gradient,
    random_point,
    rating,
    rating_class,
    relative_error,
    value,
)
from .derived import Derived, derived
from .function import Pair, Seed, Stochastic, function, minibatches, stochastic
from .least_squares import Problem, least_squares
from .more_garbow_hillstrom import classics
from .objectives import (
    OBJECTIVES,
    Objective,
    ackley,
    axis_parallel_hyper_ellipsoid,
    branin,
    cross_paraboloid,
    de_jong,
    different_powers,
    easom,
    griewangk,
    michalewicz,
    moved_axis_parallel_hyper_ellipsoid,
    objective,
    rastrigin,
    rosenbrock,
    rotated_hyper_ellipsoid,
    schwefel,
    six_hump_camel,
)

__all__ = [
    "OBJECTIVES", "Derived", "Function", "GradientRating", "Objective", "Pair", "Problem", "Seed",
    "Stochastic", "Vector", "ackley", "axis_parallel_hyper_ellipsoid", "branin", "check_gradient",
    "classics", "cross_paraboloid", "de_jong", "derived", "different_powers", "easom", "function",
    "gradient", "griewangk", "least_squares", "michalewicz", "minibatches",
    "moved_axis_parallel_hyper_ellipsoid", "numerical_gradient", "objective", "random_point",
    "rastrigin", "rating", "rating_class", "relative_error", "rosenbrock",
    "rotated_hyper_ellipsoid", "schwefel", "six_hump_camel", "stochastic", "value",
]  # fmt: skip
