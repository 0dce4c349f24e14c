"""Directional derivatives in float64: is the gradient of a function what its differences say?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .check import Mismatch

Arrays = list[np.ndarray]
STEP = 1e-4  # along a direction of norm 1
DRAWS = 6


def check_gradient(
    name: str,
    draw: Callable[[np.random.Generator], Arrays],
    evaluate: Callable[[Sequence[np.ndarray]], tuple[float, Arrays]],
    *,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> float:
    """Compare the gradient of a scalar function with its central differences along random directions.

    `draw` returns a point, a list of float64 arrays; `evaluate` returns value and gradient there.
    The derivative along a direction of norm 1 is extrapolated from two steps, D = (4 D(h/2) - D(h)) / 3,
    which leaves an error of order h^4. Where D(h) and D(h/2) differ by more than curvature explains,
    there is a kink in between and another point is drawn. Returns the relative error.

    Raises:
        Mismatch: the relative error exceeds `tolerance`, a value is not finite, or every draw met a
            kink; the message holds everything needed to repeat the failure.
    """
    generator = np.random.default_rng(seed)
    for attempt in range(DRAWS):
        point = draw(generator)
        direction = _direction(generator, point)
        value, gradient = evaluate(point)
        analytic = sum(float(np.sum(g * d)) for g, d in zip(gradient, direction, strict=True))
        coarse, fine = (_difference(evaluate, point, direction, h) for h in (STEP, STEP / 2))
        numeric = (4 * fine - coarse) / 3
        # Away from zero the error is relative; near zero the round-off of the value, about 1e-16
        # times itself over the step, is all that differences can show.
        norm = np.sqrt(sum(float(np.sum(g * g)) for g in gradient))
        scale = max(abs(numeric), abs(analytic), 1e-2 * norm, 1e-5 * abs(value), 1e-10)
        error = abs(analytic - numeric) / scale
        if np.isfinite(error) and error <= tolerance:
            return float(error)
        if not np.isfinite(error) or abs(coarse - fine) <= 1e-4 * scale:
            raise Mismatch(
                f"{name}: the gradient is wrong along a random direction (seed {seed}, draw {attempt})\n"
                f"  value {value!r}\n  analytic  {analytic!r}\n  numeric   {numeric!r} "
                f"(steps {STEP}: {coarse!r}, {STEP / 2}: {fine!r})\n"
                f"  relative error {error:.2e}, tolerance {tolerance:.1e}\n"
                + _dump(evaluate, point, gradient)
            )
    raise Mismatch(f"{name}: all {DRAWS} points drawn from seed {seed} lie at a kink")


def _direction(generator: np.random.Generator, point: Arrays) -> Arrays:
    direction = [generator.normal(size=a.shape) for a in point]
    norm = np.sqrt(sum(float(np.sum(d * d)) for d in direction))
    return [d / (norm or 1.0) for d in direction]


def _difference(
    evaluate: Callable[[Sequence[np.ndarray]], tuple[float, Arrays]],
    point: Arrays,
    direction: Arrays,
    h: float,
) -> float:
    plus = evaluate([a + h * d for a, d in zip(point, direction, strict=True)])[0]
    minus = evaluate([a - h * d for a, d in zip(point, direction, strict=True)])[0]
    return (plus - minus) / (2 * h)


def _dump(
    evaluate: Callable[[Sequence[np.ndarray]], tuple[float, Arrays]],
    point: Arrays,
    gradient: Arrays,
) -> str:
    """Show each argument with its gradient beside its differences, element by element (the first 8)."""
    lines = []
    for i, (a, g) in enumerate(zip(point, gradient, strict=True)):
        numeric = np.full(a.shape, np.nan)
        for at in list(np.ndindex(a.shape))[:8]:
            unit = [np.zeros_like(b) for b in point]
            unit[i][at] = 1
            numeric[at] = _difference(evaluate, point, unit, STEP)
        with np.printoptions(precision=10, threshold=40, linewidth=100):
            lines.append(
                f"  argument {i} {list(a.shape)}:\n{a}\n  gradient:\n{g}\n  differences:\n{numeric}"
            )
    return "\n".join(lines)
