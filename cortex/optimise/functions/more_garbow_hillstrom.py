"""The test problems of Moré, Garbow and Hillstrom 1981, "Testing Unconstrained Optimization Software".

Each is the residuals of section 3 of the paper, in its numbering, with the standard start and the
minima that it lists; the gradients are derived (`tracing`), but for that of the helical valley,
whose angle needs an arc tangent. Problems of variable size are made by functions of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cortex.protocols import Vector

from .least_squares import Problem
from .measurements import BARD, GAUSSIAN, KOWALIK, MEYER, OSBORNE_1, OSBORNE_2


def _count(low: int, high: int) -> Vector:
    """Return low, low + 1, ..., high."""
    return np.arange(float(low), high + 1)


def _freudenstein_roth(x: Any) -> Any:
    a, b = x
    return np.stack([-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b])


def _powell_badly_scaled(x: Any) -> Any:
    a, b = x
    return np.stack([1e4 * a * b - 1, np.exp(-a) + np.exp(-b) - 1.0001])


def _brown_badly_scaled(x: Any) -> Any:
    a, b = x
    return np.stack([a - 1e6, b - 2e-6, a * b - 2])


def _beale(x: Any) -> Any:
    return np.array([1.5, 2.25, 2.625]) - x[0] * (1 - x[1] ** _count(1, 3))


def _jennrich_sampson(x: Any) -> Any:
    i = _count(1, 10)
    return 2 + 2 * i - (np.exp(i * x[0]) + np.exp(i * x[1]))


def _helix(x: Vector) -> Vector:
    turn = 0.0 if x[0] > 0 else 0.5
    angle = np.arctan(x[1] / x[0]) / (2 * np.pi) + turn if x[0] else 0.25 * np.sign(x[1])
    return np.array([10 * (x[2] - 10 * angle), 10 * (np.hypot(x[0], x[1]) - 1), x[2]])


def _helix_gradient(x: Vector) -> Vector:
    (u, v, w), square = _helix(x), x[0] ** 2 + x[1] ** 2
    turn, radius = 100 / (2 * np.pi * square), np.sqrt(square)
    return 2 * np.array(
        [
            u * turn * x[1] + v * 10 * x[0] / radius,
            -u * turn * x[0] + v * 10 * x[1] / radius,
            10 * u + w,
        ]
    )


def _bard(x: Any) -> Any:
    u = _count(1, 15)
    v = 16 - u
    return BARD - (x[0] + u / (v * x[1] + np.minimum(u, v) * x[2]))


def _gaussian(x: Any) -> Any:
    t = (8 - _count(1, 15)) / 2
    return x[0] * np.exp(-x[1] * (t - x[2]) ** 2 / 2) - GAUSSIAN


def _meyer(x: Any) -> Any:
    return x[0] * np.exp(x[1] / (45 + 5 * _count(1, 16) + x[2])) - MEYER


def _gulf(x: Any) -> Any:
    t = _count(1, 99) / 100
    y = 25 + (-50 * np.log(t)) ** (2 / 3)
    return np.exp(-(np.abs(y - x[1]) ** x[2]) / x[0]) - t


def _box(x: Any) -> Any:
    t = _count(1, 10) / 10
    return np.exp(-t * x[0]) - np.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10 * t))


def _wood(x: Any) -> Any:
    a, b, c, d = x
    return np.stack(
        [
            10 * (b - a**2), 1 - a, 90**0.5 * (d - c**2), 1 - c, 10**0.5 * (b + d - 2),
            (b - d) / 10**0.5,
        ]
    )  # fmt: skip


def _kowalik_osborne(x: Any) -> Any:
    y, u = KOWALIK
    return y - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


def _brown_dennis(x: Any) -> Any:
    t = _count(1, 20) / 5
    return (x[0] + t * x[1] - np.exp(t)) ** 2 + (x[2] + x[3] * np.sin(t) - np.cos(t)) ** 2


def _osborne_1(x: Any) -> Any:
    t = 10 * _count(0, 32)
    return OSBORNE_1 - (x[0] + x[1] * np.exp(-t * x[3]) + x[2] * np.exp(-t * x[4]))


def _biggs(x: Any) -> Any:
    t = _count(1, 13) / 10
    y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)
    return x[2] * np.exp(-t * x[0]) - x[3] * np.exp(-t * x[1]) + x[5] * np.exp(-t * x[4]) - y


def _osborne_2(x: Any) -> Any:
    t = _count(0, 64) / 10
    model = x[0] * np.exp(-t * x[4])
    for k in (1, 2, 3):
        model = model + x[k] * np.exp(-((t - x[7 + k]) ** 2) * x[4 + k])
    return OSBORNE_2 - model


def watson(n: int, *minima: float) -> Problem:
    """Return problem 20 with n from 2 to 31 entries."""
    t, j = (_count(1, 29) / 29)[:, None], _count(0, n - 1)
    powers, slopes = t**j, j * t ** np.maximum(j - 1, 0)

    def residuals(x: Any) -> Any:
        inner = slopes @ x - (powers @ x) ** 2 - 1
        return np.concatenate([inner, np.stack([x[0], x[1] - x[0] ** 2 - 1])])

    return Problem(f"watson_{n}", "20", residuals, (0.0,) * n, minima)


def extended_rosenbrock(n: int) -> Problem:
    """Return problem 21 with n entries, an even number."""

    def residuals(x: Any) -> Any:
        return np.concatenate([10 * (x[1::2] - x[::2] ** 2), 1 - x[::2]])

    name = "rosenbrock" if n == 2 else f"extended_rosenbrock_{n}"
    return Problem(name, "1" if n == 2 else "21", residuals, (-1.2, 1.0) * (n // 2))


def extended_powell(n: int) -> Problem:
    """Return problem 22 with n entries, a multiple of four."""

    def residuals(x: Any) -> Any:
        a, b, c, d = (x[k::4] for k in range(4))
        return np.concatenate(
            [a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2]
        )

    name = "powell_singular" if n == 4 else f"extended_powell_{n}"
    return Problem(name, "13" if n == 4 else "22", residuals, (3.0, -1.0, 0.0, 1.0) * (n // 4))


def penalty_1(n: int, *minima: float) -> Problem:
    """Return problem 23 with n entries."""

    def residuals(x: Any) -> Any:
        return np.concatenate([1e-5**0.5 * (x - 1), np.reshape(np.sum(x**2) - 0.25, 1)])

    return Problem(f"penalty_1_{n}", "23", residuals, tuple(_count(1, n)), minima)


def penalty_2(n: int, *minima: float) -> Problem:
    """Return problem 24 with n entries."""
    i = _count(2, n)
    y = np.exp(i / 10) + np.exp((i - 1) / 10)
    weights, scale = n - _count(1, n) + 1, 1e-5**0.5

    def residuals(x: Any) -> Any:
        g = np.exp(x / 10)
        return np.concatenate(
            [
                x[:1] - 0.2, scale * (g[1:] + g[:-1] - y), scale * (g[1:] - np.exp(-0.1)),
                np.reshape(np.sum(weights * x**2) - 1, 1),
            ]
        )  # fmt: skip

    return Problem(f"penalty_2_{n}", "24", residuals, (0.5,) * n, minima)


def variably_dimensioned(n: int) -> Problem:
    """Return problem 25 with n entries."""
    j = _count(1, n)

    def residuals(x: Any) -> Any:
        total = np.reshape(np.sum(j * (x - 1)), 1)
        return np.concatenate([x - 1, total, total**2])

    return Problem(f"variably_dimensioned_{n}", "25", residuals, tuple(1 - j / n))


def trigonometric(n: int, *minima: float) -> Problem:
    """Return problem 26 with n entries."""
    i = _count(1, n)

    def residuals(x: Any) -> Any:
        return n - np.sum(np.cos(x)) + i * (1 - np.cos(x)) - np.sin(x)

    return Problem(f"trigonometric_{n}", "26", residuals, (1 / n,) * n, minima)


def brown_almost_linear(n: int) -> Problem:
    """Return problem 27 with n entries."""

    def residuals(x: Any) -> Any:
        return np.concatenate([x[:-1] + np.sum(x) - (n + 1), np.reshape(np.prod(x) - 1, 1)])

    return Problem(f"brown_almost_linear_{n}", "27", residuals, (0.5,) * n, (0.0, 1.0))


def _grid(n: int) -> tuple[float, Vector]:
    h = 1 / (n + 1)
    return h, _count(1, n) * h


def discrete_boundary_value(n: int) -> Problem:
    """Return problem 28 with n entries."""
    h, t = _grid(n)

    def residuals(x: Any) -> Any:
        padded = np.concatenate([np.zeros(1), x, np.zeros(1)])
        return 2 * x - padded[:-2] - padded[2:] + h**2 * (x + t + 1) ** 3 / 2

    return Problem(f"discrete_boundary_value_{n}", "28", residuals, tuple(t * (t - 1)))


def discrete_integral(n: int) -> Problem:
    """Return problem 29 with n entries."""
    h, t = _grid(n)
    before = np.tri(n)
    kernel = h / 2 * (np.outer(1 - t, t) * before + np.outer(t, 1 - t) * (1 - before))

    def residuals(x: Any) -> Any:
        return x + kernel @ ((x + t + 1) ** 3)

    return Problem(f"discrete_integral_{n}", "29", residuals, tuple(t * (t - 1)))


def broyden_tridiagonal(n: int) -> Problem:
    """Return problem 30 with n entries."""

    def residuals(x: Any) -> Any:
        padded = np.concatenate([np.zeros(1), x, np.zeros(1)])
        return (3 - 2 * x) * x - padded[:-2] - 2 * padded[2:] + 1

    return Problem(f"broyden_tridiagonal_{n}", "30", residuals, (-1.0,) * n)


def broyden_banded(n: int) -> Problem:
    """Return problem 31 with n entries: 5 entries before and 1 after each count."""
    distance = np.arange(n)[None, :] - np.arange(n)[:, None]
    band = ((distance >= -5) & (distance <= 1) & (distance != 0)).astype(float)

    def residuals(x: Any) -> Any:
        return x * (2 + 5 * x**2) + 1 - band @ (x * (1 + x))

    return Problem(f"broyden_banded_{n}", "31", residuals, (-1.0,) * n)


def linear_full_rank(n: int, m: int) -> Problem:
    """Return problem 32 with n entries and m residuals."""

    def residuals(x: Any) -> Any:
        return np.concatenate([x, np.zeros(m - n)]) - 2 / m * np.sum(x) - 1

    return Problem(f"linear_full_rank_{n}", "32", residuals, (1.0,) * n, (float(m - n),))


def linear_rank_1(n: int, m: int) -> Problem:
    """Return problem 33 with n entries and m residuals."""
    i, j = _count(1, m), _count(1, n)
    least = m * (m - 1) / (2 * (2 * m + 1))
    return Problem(
        f"linear_rank_1_{n}", "33", lambda x: i * np.sum(j * x) - 1, (1.0,) * n, (least,)
    )


def linear_rank_1_with_zeros(n: int, m: int) -> Problem:
    """Return problem 34 with n entries and m residuals: first and last of both do not count."""
    i = np.concatenate([[0.0], _count(1, m - 2), [0.0]])
    j = np.concatenate([[0.0], _count(2, n - 1), [0.0]])
    least = (m * m + 3 * m - 6) / (2 * (2 * m - 3))
    return Problem(
        f"linear_rank_1_with_zeros_{n}", "34", lambda x: i * np.sum(j * x) - 1, (1.0,) * n, (least,)
    )


def chebyquad(n: int, *minima: float) -> Problem:
    """Return problem 35 with n entries and n residuals."""
    integrals = np.array([0.0 if i % 2 else -1 / (i * i - 1) for i in range(1, n + 1)])

    def residuals(x: Any) -> Any:
        y = 2 * x - 1
        before, now, means = np.ones(n), y, []
        for _ in range(n):
            means.append(np.mean(now))
            before, now = now, 2 * y * now - before
        return np.stack(means) - integrals

    return Problem(f"chebyquad_{n}", "35", residuals, tuple(_count(1, n) / (n + 1)), minima)


_FIXED: list[tuple[str, str, Callable[[Any], Any], tuple[float, ...], tuple[float, ...]]] = [
    ("freudenstein_roth", "2", _freudenstein_roth, (0.5, -2), (0.0, 48.9842)),
    ("powell_badly_scaled", "3", _powell_badly_scaled, (0, 1), (0.0,)),
    ("brown_badly_scaled", "4", _brown_badly_scaled, (1, 1), (0.0,)),
    ("beale", "5", _beale, (1, 1), (0.0,)),
    ("jennrich_sampson", "6", _jennrich_sampson, (0.3, 0.4), (124.362,)),
    ("bard", "8", _bard, (1, 1, 1), (8.21487e-3, 17.4286)),
    ("gaussian", "9", _gaussian, (0.4, 1, 0), (1.12793e-8,)),
    ("meyer", "10", _meyer, (0.02, 4000, 250), (87.9458,)),
    ("gulf", "11", _gulf, (5, 2.5, 0.15), (0.0,)),
    ("box", "12", _box, (0, 10, 20), (0.0,)),
    ("wood", "14", _wood, (-3, -1, -3, -1), (0.0,)),
    ("kowalik_osborne", "15", _kowalik_osborne, (0.25, 0.39, 0.415, 0.39), (3.07505e-4, 1.02734e-3)),
    ("brown_dennis", "16", _brown_dennis, (25, 5, -5, -1), (85822.2,)),
    ("osborne_1", "17", _osborne_1, (0.5, 1.5, -1, 0.01, 0.02), (5.46489e-5,)),
    ("biggs", "18", _biggs, (1, 2, 1, 1, 1, 1), (0.0, 5.65565e-3)),
    ("osborne_2", "19", _osborne_2, (1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5), (4.01377e-2,)),
]  # fmt: skip


def classics() -> dict[str, Problem]:
    """Return the 35 problems of the paper by name, those of variable size in the sizes it tabulates."""
    problems = [Problem(n, number, r, tuple(map(float, s)), m) for n, number, r, s, m in _FIXED]
    problems += [
        extended_rosenbrock(2),
        Problem("helical_valley", "7", _helix, (-1.0, 0.0, 0.0), slopes=_helix_gradient),
        extended_powell(4), watson(6, 2.28767e-3), watson(9, 1.39976e-6), watson(12, 4.72238e-10),
        extended_rosenbrock(10), extended_powell(12), penalty_1(4, 2.24997e-5),
        penalty_1(10, 7.08765e-5), penalty_2(4, 9.37629e-6), penalty_2(10, 2.93660e-4),
        variably_dimensioned(10), trigonometric(10, 0.0, 2.79506e-5), brown_almost_linear(10),
        discrete_boundary_value(10), discrete_integral(10), broyden_tridiagonal(10),
        broyden_banded(10), linear_full_rank(10, 20), linear_rank_1(10, 20),
        linear_rank_1_with_zeros(10, 20), chebyquad(7, 0.0), chebyquad(8, 3.51687e-3),
        chebyquad(9, 0.0), chebyquad(10, 6.50395e-3),
    ]  # fmt: skip
    return {p.name: p for p in sorted(problems, key=lambda p: int(p.source))}
