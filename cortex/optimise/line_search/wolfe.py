"""A step that satisfies the strong Wolfe conditions, by the method of Moré and Thuente."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, isfinite, nan, sqrt
from typing import Any

from cortex.compute.errors import DescriptionError
from cortex.optimise.functions import Vector
from cortex.rules import BELOW_ONE, COUNT, POSITIVE, check

from .registry import register


@dataclass(frozen=True)
class Trial:
    """A step: how far, the value and the slope there, and the place."""

    a: float
    f: float
    g: float
    place: Any = None

    def tilted(self, slope: float) -> Trial:
        """Return the trial of f(a) - slope a."""
        return replace(self, f=self.f - slope * self.a, g=self.g - slope)


@register
@dataclass(frozen=True)
class StrongWolfe:
    """A step a with f(a) <= f(0) + sufficient a f'(0) and |f'(a)| <= curvature |f'(0)|.

    Moré and Thuente 1994: an interval that holds such a step is kept and shrunk by interpolation
    (section 4); as long as no step has lowered the value enough, the function minus the line of
    sufficient decrease takes the place of the function. Where values are infinite or undefined the
    step is halved. If `limit` trials do not suffice, the best step that lowers the value counts.
    """

    sufficient: float = 1e-4
    curvature: float = 0.9
    limit: int = 25
    largest: float = 1e10

    def __post_init__(self) -> None:
        check(self, sufficient=BELOW_ONE, curvature=BELOW_ONE, limit=COUNT, largest=POSITIVE)
        if not self.sufficient < self.curvature:
            problem = (
                f"expected sufficient < curvature, given {self.sufficient} and {self.curvature}"
            )
            raise DescriptionError("StrongWolfe", [problem])

    def search(self, point: Any, direction: Vector, slope: float, first: float) -> Any | None:
        """Return the place of a step that satisfies the conditions, or the best one found, or None."""
        start = Trial(0.0, point.value(), slope, point)
        line = self.sufficient * slope
        best, low, high = start, start, None  # high: the other end, once there is one
        far, width, a, ceiling = False, inf, first, self.largest
        for _ in range(self.limit):
            now = _trial(point, direction, a)
            if not isfinite(now.g):
                ceiling, a = a, 0.5 * (low.a + a)
                continue
            enough = now.f <= start.f + a * line
            if enough and abs(now.g) <= -self.curvature * slope:
                return now.place
            best = now if now.f < best.f else best
            far = far or (enough and now.g >= 0)
            tilt = line if not far and now.f <= low.f and not enough else 0.0
            left, t = low.tilted(tilt), now.tilted(tilt)
            right = high.tilted(tilt) if high is not None else None
            a = _next(left, right, t, ceiling)
            # where the interval ends now (section 2 of the paper)
            if t.f > left.f:
                high = now
            else:
                high = low if t.g * (left.a - t.a) < 0 or (high is None and t.g > 0) else high
                low = now
            if high is None:
                continue
            lower, upper = sorted((low.a, high.a))
            if upper - lower > 0.66 * width:
                a = 0.5 * (lower + upper)
            width = upper - lower
            if width <= 1e-15 * max(1.0, upper) or not lower < a < upper:
                break
        return best.place if best.f < start.f else None


def _trial(point: Any, direction: Vector, a: float) -> Trial:
    """Return the trial of a step; its slope is nan where the value is not finite."""
    place = point.at(point.params + a * direction)
    value = place.value()
    return Trial(a, value, float(place.gradient() @ direction) if isfinite(value) else nan, place)


def _next(low: Trial, high: Trial | None, now: Trial, ceiling: float) -> float:
    """Return the next step to try (section 4 of the paper: four cases)."""
    if now.f > low.f:  # 1: a minimum lies between
        cubic, parabola = _cubic(low, now), _parabola(low, now)
        return cubic if abs(cubic - low.a) < abs(parabola - low.a) else 0.5 * (cubic + parabola)
    if now.g * low.g < 0:  # 2: a minimum lies between
        cubic, secant = _cubic(low, now), _secant(low, now)
        return cubic if abs(cubic - now.a) >= abs(secant - now.a) else secant
    away = 1.0 if now.a > low.a else -1.0
    if abs(now.g) <= abs(low.g):  # 3: the slope flattens
        cubic, secant = _cubic(low, now), _secant(low, now)
        beyond = isfinite(cubic) and (cubic - now.a) * away > 0
        if high is not None:
            step = cubic if beyond and abs(cubic - now.a) < abs(secant - now.a) else secant
            edge = now.a + 0.66 * (high.a - now.a)
            return min(step, edge) if away > 0 else max(step, edge)
        step = cubic if beyond and abs(cubic - now.a) > abs(secant - now.a) else secant
        return min(max(step, now.a + 1.1 * (now.a - low.a)), _reach(low, now, ceiling))
    if high is not None:  # 4: the slope steepens
        return _cubic(now, high)
    return _reach(low, now, ceiling)


def _reach(low: Trial, now: Trial, ceiling: float) -> float:
    """Return how far a step may grow: four times the last difference, short of what was infinite."""
    return min(now.a + 4 * (now.a - low.a), 0.5 * (now.a + ceiling))


def _cubic(p: Trial, q: Trial) -> float:
    """Return the minimum of the cubic with the values and slopes of both."""
    if p.a == q.a:
        return p.a
    theta = 3 * (p.f - q.f) / (q.a - p.a) + p.g + q.g
    scale = max(abs(theta), abs(p.g), abs(q.g)) or 1.0
    inside = (theta / scale) ** 2 - p.g / scale * (q.g / scale)
    root = scale * sqrt(max(0.0, inside)) * (1 if q.a > p.a else -1)
    bottom = root - p.g + root + q.g
    return p.a + (q.a - p.a) * ((root - p.g + theta) / bottom) if bottom else inf


def _parabola(p: Trial, q: Trial) -> float:
    """Return the minimum of the parabola with both values and the slope at p."""
    bottom = (p.f - q.f) / (q.a - p.a) + p.g
    return p.a + 0.5 * p.g / bottom * (q.a - p.a) if bottom else 0.5 * (p.a + q.a)


def _secant(p: Trial, q: Trial) -> float:
    """Return where the line through both slopes is 0."""
    return q.a - q.g * (q.a - p.a) / (q.g - p.g) if q.g != p.g else inf
