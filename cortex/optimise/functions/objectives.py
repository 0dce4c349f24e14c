"""Test functions with known minima: the collection of the original, for any number of dimensions.

Sources, unless said: Molga and Smutnicki 2005, "Test functions for optimization needs"; De Jong
1975. Every gradient is finite wherever the function is defined: where only one-sided derivatives
exist (0 of Schwefel, Ackley, different powers) it takes their mean. Entries are counted from 1 in
formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import e, pi
from typing import Any

import numpy as np

from cortex.compute.errors import DescriptionError, near
from cortex.protocols import Vector

Ends = float | tuple[float, ...]


@dataclass(frozen=True)
class Objective:
    """A function with its usual domain and what is known of its minimum.

    `low` and `high` bound each entry (a number, or one per entry); `dims` is the number of
    entries, None for any. `minimum` and `minimiser` give the least value on the domain and a place
    where it is reached, as functions of the number of dimensions; None where it is not known in
    closed form.
    """

    name: str
    value: Callable[[Vector], float] = field(repr=False)
    gradient: Callable[[Vector], Vector] = field(repr=False)
    low: Ends = -np.inf
    high: Ends = np.inf
    minimum: Callable[[int], float] | None = field(default=lambda n: 0.0, repr=False)
    minimiser: Callable[[int], Vector] | None = field(default=np.zeros, repr=False)
    dims: int | None = None
    formula: str = ""

    def domain(self, count: int) -> tuple[Vector, Vector]:
        """Return the lowest and the highest corner of the domain in `count` dimensions.

        Raises:
            DescriptionError: the function has another number of dimensions.
        """
        if self.dims not in (None, count):
            problem = f"expected {self.dims} dimensions, given {count}"
            raise DescriptionError(self.name, [problem])
        return (
            np.broadcast_to(np.asarray(self.low, np.float64), count),
            np.broadcast_to(np.asarray(self.high, np.float64), count),
        )


def _numbers(x: Vector) -> Vector:
    return np.arange(1.0, len(x) + 1)


def _cross_gradient(x: Vector) -> Vector:
    return 4 * x + 2 * np.roll(x, 1) + 2 * np.roll(x, -1)


def _cross(x: Vector) -> float:
    return float(np.sum((x + np.roll(x, -1)) ** 2))


def _rotated(x: Vector) -> float:
    return float(np.sum(np.cumsum(x) ** 2))


def _rotated_gradient(x: Vector) -> Vector:
    return 2 * np.cumsum(np.cumsum(x)[::-1])[::-1]


def _rosenbrock(x: Vector) -> float:
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def _rosenbrock_gradient(x: Vector) -> Vector:
    g, bend = np.zeros_like(x), x[1:] - x[:-1] ** 2
    g[:-1] = -400 * x[:-1] * bend - 2 * (1 - x[:-1])
    g[1:] += 200 * bend
    return g


def _rastrigin(x: Vector) -> float:
    return float(10 * len(x) + np.sum(x * x - 10 * np.cos(2 * pi * x)))


def _schwefel(x: Vector) -> float:
    return float(np.sum(-x * np.sin(np.sqrt(np.abs(x)))))


def _schwefel_gradient(x: Vector) -> Vector:
    root = np.sqrt(np.abs(x))  # x / root * root' = root / 2 by size: nothing to divide at 0
    return -np.sin(root) - 0.5 * root * np.cos(root)


def _griewangk(x: Vector) -> float:
    return float(np.sum(x * x) / 4000 - np.prod(np.cos(x / np.sqrt(_numbers(x)))) + 1)


def _griewangk_gradient(x: Vector) -> Vector:
    roots = np.sqrt(_numbers(x))
    cosines = np.cos(x / roots)
    return x / 2000 + np.sin(x / roots) / roots * _others(cosines)


def _others(x: Vector) -> Vector:
    """Return the product of all entries but the i-th, without dividing by it."""
    left = np.concatenate([[1.0], np.cumprod(x[:-1])])
    right = np.concatenate([[1.0], np.cumprod(x[:0:-1])])[::-1]
    return left * right


def _powers(x: Vector) -> float:
    return float(np.sum(np.abs(x) ** (_numbers(x) + 1)))


def _powers_gradient(x: Vector) -> Vector:
    i = _numbers(x)
    return (i + 1) * np.abs(x) ** i * np.sign(x)


def _ackley(x: Vector) -> float:
    radius = np.sqrt(np.mean(x * x))
    return float(20 + e - 20 * np.exp(-0.2 * radius) - np.exp(np.mean(np.cos(2 * pi * x))))


def _ackley_gradient(x: Vector) -> Vector:
    n, radius = len(x), np.sqrt(np.mean(x * x))
    # a cone at 0, where every direction rises alike: the mean of the slopes is 0
    cone = 4 * np.exp(-0.2 * radius) * x / (n * radius) if radius else np.zeros_like(x)
    return cone + 2 * pi / n * np.sin(2 * pi * x) * np.exp(np.mean(np.cos(2 * pi * x)))


def michalewicz(m: float = 10.0) -> Objective:
    """Return Michalewicz's function of steepness `m`: n! valleys, the steeper the larger m is.

    -sum sin(x_i) sin(i x_i^2 / pi)^(2m) on [0, pi]. Michalewicz 1992.

    Raises:
        DescriptionError: m is below 1/2, where the gradient is infinite in the valleys.
    """
    if m < 0.5:
        raise DescriptionError("michalewicz", [f"m: expected a number >= 0.5, given {m!r}"])

    def value(x: Vector) -> float:
        return float(-np.sum(np.sin(x) * np.abs(np.sin(_numbers(x) * x * x / pi)) ** (2 * m)))

    def slope(x: Vector) -> Vector:
        i = _numbers(x)
        angle = i * x * x / pi
        s = np.sin(angle)
        power = np.abs(s) ** (2 * m - 1) * np.sign(s)
        return -np.cos(x) * power * s - np.sin(x) * 2 * m * power * np.cos(angle) * 2 * i * x / pi

    return Objective(
        f"michalewicz({m:g})", value, slope, 0.0, pi, None, None,
        formula="-sum sin(x_i) sin(i x_i^2 / pi)^(2m)",
    )  # fmt: skip


_B, _C, _F = 5.1 / (4 * pi**2), 5 / pi, 1 / (8 * pi)


def _branin(x: Vector) -> float:
    a, b = x
    return float((b - _B * a * a + _C * a - 6) ** 2 + 10 * (1 - _F) * np.cos(a) + 10)


def _branin_gradient(x: Vector) -> Vector:
    a, b = x
    inner = b - _B * a * a + _C * a - 6
    return np.array([2 * inner * (_C - 2 * _B * a) - 10 * (1 - _F) * np.sin(a), 2 * inner])


def _easom(x: Vector) -> float:
    return float(-np.prod(np.cos(x)) * np.exp(-np.sum((x - pi) ** 2)))


def _easom_gradient(x: Vector) -> Vector:
    hill = np.exp(-np.sum((x - pi) ** 2))
    return hill * (_others(np.cos(x)) * np.sin(x) + 2 * (x - pi) * np.prod(np.cos(x)))


def _camel(x: Vector) -> float:
    a, b = x
    return float((4 - 2.1 * a**2 + a**4 / 3) * a**2 + a * b + (-4 + 4 * b**2) * b**2)


def _camel_gradient(x: Vector) -> Vector:
    a, b = x
    return np.array([8 * a - 8.4 * a**3 + 2 * a**5 + b, a - 8 * b + 16 * b**3])


_SCHWEFEL = 420.96874635998202  # where tan(s) = -s / 2 for s = sqrt(x), the last root below 500

cross_paraboloid = Objective(
    "cross_paraboloid", _cross, _cross_gradient, formula="sum (x_i + x_(i+1 mod n))^2"
)
de_jong = Objective(
    "de_jong", lambda x: float(np.sum(x * x)), lambda x: 2 * x, -5.12, 5.12, formula="sum x_i^2"
)
axis_parallel_hyper_ellipsoid = Objective(
    "axis_parallel_hyper_ellipsoid", lambda x: float(np.sum(_numbers(x) * x * x)),
    lambda x: 2 * _numbers(x) * x, -5.12, 5.12, formula="sum i x_i^2",
)  # fmt: skip
rotated_hyper_ellipsoid = Objective(
    "rotated_hyper_ellipsoid", _rotated, _rotated_gradient, -65.536, 65.536,
    formula="sum_i (sum_(j<=i) x_j)^2",
)  # fmt: skip
moved_axis_parallel_hyper_ellipsoid = Objective(
    "moved_axis_parallel_hyper_ellipsoid", lambda x: float(np.sum(5 * _numbers(x) * x * x)),
    lambda x: 10 * _numbers(x) * x, -5.12, 5.12, formula="sum 5 i x_i^2",
)  # fmt: skip
rosenbrock = Objective(
    "rosenbrock", _rosenbrock, _rosenbrock_gradient, -2.048, 2.048, minimiser=np.ones,
    formula="sum 100 (x_(i+1) - x_i^2)^2 + (1 - x_i)^2",
)  # fmt: skip
rastrigin = Objective(
    "rastrigin", _rastrigin, lambda x: 2 * x + 20 * pi * np.sin(2 * pi * x), -5.12, 5.12,
    formula="10 n + sum x_i^2 - 10 cos(2 pi x_i)",
)  # fmt: skip
schwefel = Objective(
    "schwefel", _schwefel, _schwefel_gradient, -500.0, 500.0,
    lambda n: n * _schwefel(np.array([_SCHWEFEL])), lambda n: np.full(n, _SCHWEFEL),
    formula="sum -x_i sin(sqrt|x_i|)",
)  # fmt: skip
griewangk = Objective(
    "griewangk", _griewangk, _griewangk_gradient, -600.0, 600.0,
    formula="sum x_i^2 / 4000 - prod cos(x_i / sqrt i) + 1",
)  # fmt: skip
different_powers = Objective(
    "different_powers", _powers, _powers_gradient, -1.0, 1.0, formula="sum |x_i|^(i+1)"
)
ackley = Objective(
    "ackley", _ackley, _ackley_gradient, -1.0, 1.0,
    formula="20 + e - 20 exp(-0.2 sqrt(mean x_i^2)) - exp(mean cos(2 pi x_i))",
)  # fmt: skip
branin = Objective(
    "branin", _branin, _branin_gradient, (-5.0, 0.0), (10.0, 15.0), lambda n: 10 * _F,
    lambda n: np.array([pi, 2.275]), 2, "(y - b x^2 + c x - 6)^2 + 10 (1 - f) cos x + 10",
)  # fmt: skip
easom = Objective(
    "easom", _easom, _easom_gradient, -100.0, 100.0, lambda n: -1.0, lambda n: np.full(n, pi), 2,
    "-cos x cos y exp(-(x - pi)^2 - (y - pi)^2)",
)  # fmt: skip
six_hump_camel = Objective(
    "six_hump_camel", _camel, _camel_gradient, (-3.0, -2.0), (3.0, 2.0),
    lambda n: -1.0316284534898774, lambda n: np.array([0.08984201310031807, -0.7126564030207396]),
    2, "(4 - 2.1 x^2 + x^4/3) x^2 + x y + (4 y^2 - 4) y^2",
)  # fmt: skip

OBJECTIVES: dict[str, Objective] = {
    o.name: o
    for o in (
        cross_paraboloid, de_jong, axis_parallel_hyper_ellipsoid, rotated_hyper_ellipsoid,
        moved_axis_parallel_hyper_ellipsoid, rosenbrock, rastrigin, schwefel, griewangk,
        different_powers, ackley, branin, easom, six_hump_camel,
    )
}  # fmt: skip
OBJECTIVES["michalewicz"] = michalewicz()


def objective(name: str) -> Any:
    """Return an objective by name.

    Raises:
        DescriptionError: there is none of that name; suggests the nearest.
    """
    if name not in OBJECTIVES:
        raise DescriptionError("objective", [f"none is named {name!r}{near(name, OBJECTIVES)}"])
    return OBJECTIVES[name]
