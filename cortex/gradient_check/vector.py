"""One vector function and its gradient, compared along random directions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cortex.compute.errors import CortexError, DescriptionError

Vector = np.ndarray[Any, np.dtype[np.float64]]

REDRAWS = 20  # directions tried before a point counts as one where there is no gradient
LISTED = 256  # up to so many entries a failure looks for the entries that are wrong


class GradientError(CortexError, ArithmeticError):
    """A gradient is not that of its function; the message shows every number compared."""


@dataclass(frozen=True)
class Direction:
    """One direction: the slope that the gradient claims, and the slopes that differences give."""

    analytic: float
    numeric: float  # (f(x + h d) - f(x - h d)) / 2h
    forward: float  # (f(x + h d) - f(x)) / h
    backward: float  # (f(x) - f(x - h d)) / h
    step: float
    noise: float  # what rounding of f alone can add to `numeric`

    @property
    def error(self) -> float:
        """Difference of both slopes, relative to the larger of them."""
        difference = abs(self.analytic - self.numeric)
        return difference / max(abs(self.analytic), abs(self.numeric)) if difference else 0.0

    def within(self, tolerance: float) -> bool:
        """Whether the difference is below the tolerance plus the noise; that of a NaN never is."""
        larger = max(abs(self.analytic), abs(self.numeric))
        return abs(self.analytic - self.numeric) <= tolerance * larger + self.noise

    @property
    def is_kink(self) -> bool:
        """Whether the one-sided slopes differ by enough to explain the whole error."""
        return abs(self.forward - self.backward) > abs(self.analytic - self.numeric)

    def __str__(self) -> str:
        return (
            f"gradient {self.analytic: .12e}, difference {self.numeric: .12e}, "
            f"error {self.error:.2e}, one-sided {self.backward: .6e} {self.forward: .6e}, "
            f"h {self.step:.1e}"
        )


@dataclass(frozen=True)
class GradientCheck:
    """The comparison of one gradient: its directions, how many were redrawn at kinks, the bar."""

    name: str
    directions: tuple[Direction, ...]
    redrawn: int
    tolerance: float
    seed: int
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def error(self) -> float:
        """The largest relative error."""
        return max((d.error for d in self.directions), default=0.0)

    @property
    def passed(self) -> bool:
        """Whether every direction is within the tolerance (a NaN never is)."""
        return all(d.within(self.tolerance) for d in self.directions)

    def __str__(self) -> str:
        verdict = "is right" if self.passed else "is wrong"
        lines = [
            f"the gradient of {self.name} {verdict}: largest relative error {self.error:.2e}, "
            f"tolerance {self.tolerance:.0e}, seed {self.seed}, {self.redrawn} directions redrawn"
        ]
        lines += [f"  direction {i}: {d}" for i, d in enumerate(self.directions)]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def check_gradient(
    value: Callable[[Vector], float],
    gradient: Callable[[Vector], Any] | Any,
    point: Any,
    directions: int = 3,
    step: float = 1e-6,
    tolerance: float = 1e-6,
    seed: int = 0,
    name: str = "the function",
) -> GradientCheck:
    """Compare a gradient with central differences along random unit directions, in float64.

    `value` maps an array of the shape of `point` to a number; `gradient` is an array of that shape,
    or the function that gives it. Where the one-sided differences show a kink between the two
    points, the direction is drawn anew with a smaller step. Returns the record of all comparisons.

    Raises:
        GradientError: an error is above `tolerance` and what rounding explains, or every direction
            meets a kink; the message shows all slopes and, for up to 256 entries, those that differ
            most.
        DescriptionError: the gradient has another shape than the point.
    """
    x = np.array(point, np.float64)
    g = np.asarray(gradient(x.copy()) if callable(gradient) else gradient, np.float64)
    if g.shape != x.shape:
        problem = f"expected a gradient of the shape of the point {x.shape}, given {g.shape}"
        raise DescriptionError("check_gradient", [problem])
    generator, middle = np.random.default_rng(seed), float(value(x.copy()))
    found: list[Direction] = []
    redrawn = 0
    for _ in range(directions if x.size else 0):
        for attempt in range(REDRAWS):
            d = generator.standard_normal(x.shape)
            d /= np.linalg.norm(d)
            result = _along(value, g, x, d, middle, step / 2 ** min(attempt, 4))
            if result.within(tolerance) or not result.is_kink:
                break
            redrawn += 1
        found.append(result)
    check = GradientCheck(name, tuple(found), redrawn, tolerance, seed)
    if not check.passed:
        notes = _notes(value, g, x, step, check)
        raise GradientError(str(GradientCheck(name, tuple(found), redrawn, tolerance, seed, notes)))
    return check


def _along(
    value: Callable[[Vector], float], g: Vector, x: Vector, d: Vector, middle: float, h: float
) -> Direction:
    above, below = float(value(x + h * d)), float(value(x - h * d))
    noise = 4 * float(np.finfo(np.float64).eps) * max(abs(above), abs(below)) / h
    return Direction(
        analytic=float(np.sum(g * d)),
        numeric=(above - below) / (2 * h),
        forward=(above - middle) / h,
        backward=(middle - below) / h,
        step=h,
        noise=noise,
    )


def _notes(
    value: Callable[[Vector], float], g: Vector, x: Vector, h: float, check: GradientCheck
) -> tuple[str, ...]:
    """Say where the point was, whether kinks were met, and which entries differ most."""
    notes = [f"point of shape {x.shape}, values {x.min():.6g} .. {x.max():.6g}"]
    if any(d.is_kink and not d.within(check.tolerance) for d in check.directions):
        notes.append("every direction meets a kink here: choose a point away from it")
    if not np.isfinite(g).all():
        notes.append(
            f"{int((~np.isfinite(g)).sum())} of {g.size} entries of the gradient are not finite"
        )
    if x.size > LISTED:
        return (*notes, f"more than {LISTED} entries: check a smaller point to see which are wrong")
    numeric = np.empty_like(x)
    for i in np.ndindex(x.shape):
        d = np.zeros_like(x)
        d[i] = h
        numeric[i] = (float(value(x + d)) - float(value(x - d))) / (2 * h)
    order = np.argsort(-np.nan_to_num(np.abs(numeric - g), nan=np.inf).reshape(-1), kind="stable")
    for flat in order[:8]:
        i = np.unravel_index(int(flat), x.shape)
        place = [int(n) for n in i]
        notes.append(f"entry {place}: gradient {g[i]: .9e}, difference {numeric[i]: .9e}")
    return tuple(notes)
