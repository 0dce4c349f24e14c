"""Schedules: hyper-parameters that change with the step, such as a step size that decays.

A schedule is a frozen dataclass whose call is ordinary mathematics over `cortex.compute.math`: with
a number it computes, with a symbol it becomes part of a compiled training step. `step` counts the
updates made before, so the first update sees 0. Wherever an optimiser takes a schedule, a plain
function of the step works too; it only cannot be stored as data. To add a schedule, add a
registered dataclass here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from cortex.compute import math as m
from cortex.compute.errors import DescriptionError
from cortex.description import Registry
from cortex.rules import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, Rule, check, either, tuple_of

SCHEDULES = Registry("schedule")
register = SCHEDULES.register


@runtime_checkable
class Schedule(Protocol):
    """What a schedule is: the value at a step; a frozen dataclass, so that it can be stored."""

    def __call__(self, step: Any) -> Any:
        """Return the value for the update after `step` earlier ones (a number or a symbol)."""
        ...


# What a hyper-parameter may be: a number, or a value for each step.
Scheduled = float | Schedule | Callable[[Any], Any]

SCHEDULE = Rule("a schedule", callable)


def or_schedule(rule: Rule) -> Rule:
    """Return the rule of a hyper-parameter that follows `rule` or changes with the step."""
    return either(rule, SCHEDULE)


def value_at(setting: Scheduled, step: Any) -> Any:
    """Return a hyper-parameter at a step: the number itself, or the schedule's value."""
    return setting(step) if callable(setting) else setting


@register
@dataclass(frozen=True)
class Constant:
    """The same value at every step."""

    value: float

    def __post_init__(self) -> None:
        check(self, value=NOT_NEGATIVE)

    def __call__(self, step: Any) -> Any:
        """Return value."""
        return self.value


@register
@dataclass(frozen=True)
class ExponentialDecay:
    """initial * rate^(step / steps): smooth, multiplied by `rate` every `steps` updates."""

    initial: float
    rate: float
    steps: int = 1

    def __post_init__(self) -> None:
        check(self, initial=NOT_NEGATIVE, rate=POSITIVE, steps=COUNT)

    def __call__(self, step: Any) -> Any:
        """Return initial * rate^(step / steps)."""
        return self.initial * m.power(self.rate, step / self.steps)


@register
@dataclass(frozen=True)
class StepDecay:
    """initial * rate^floor(step / steps): multiplied by `rate` at every `steps`-th update."""

    initial: float
    rate: float
    steps: int

    def __post_init__(self) -> None:
        check(self, initial=NOT_NEGATIVE, rate=POSITIVE, steps=COUNT)

    def __call__(self, step: Any) -> Any:
        """Return initial * rate^floor(step / steps)."""
        return self.initial * m.power(self.rate, m.floor(step / self.steps))


@register
@dataclass(frozen=True)
class Polynomial:
    """From `initial` to `final` over `steps` updates as (1 - step/steps)^power, then `final`.

    With power 1 a straight line.
    """

    initial: float
    steps: int
    final: float = 0.0
    power: float = 1.0

    def __post_init__(self) -> None:
        check(self, initial=NOT_NEGATIVE, steps=COUNT, final=NOT_NEGATIVE, power=POSITIVE)

    def __call__(self, step: Any) -> Any:
        """Return final + (initial - final) (1 - min(step, steps) / steps)^power."""
        left = 1 - m.minimum(step, self.steps) / self.steps
        return self.final + (self.initial - self.final) * m.power(left, self.power)


def _half_cosine(initial: float, final: float, fraction: Any) -> Any:
    return final + (initial - final) * (0.5 * (1 + m.cos(math.pi * fraction)))


@register
@dataclass(frozen=True)
class Cosine:
    """Half a cosine from `initial` to `final` over `steps` updates, then `final`.

    Loshchilov and Hutter 2017 (SGDR), equation 5 without restarts. Usually inside `WarmUp`.
    """

    initial: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        check(self, initial=NOT_NEGATIVE, steps=COUNT, final=NOT_NEGATIVE)

    def __call__(self, step: Any) -> Any:
        """Return final + (initial - final) (1 + cos(pi min(step, steps) / steps)) / 2."""
        return _half_cosine(self.initial, self.final, m.minimum(step, self.steps) / self.steps)


@register
@dataclass(frozen=True)
class WarmRestarts:
    """Half cosines from `initial` towards `final` that start again.

    The first lasts `steps` updates, each next one `growth` times as long. Loshchilov and Hutter
    2017 (SGDR), equation 5, with T_0 = steps and T_mult = growth.
    """

    initial: float
    steps: int
    growth: int = 1
    final: float = 0.0

    def __post_init__(self) -> None:
        check(self, initial=NOT_NEGATIVE, steps=COUNT, growth=COUNT, final=NOT_NEGATIVE)

    def __call__(self, step: Any) -> Any:
        """Return the half cosine of the cycle to which the step belongs."""
        return _half_cosine(self.initial, self.final, self._fraction(step))

    def _fraction(self, step: Any) -> Any:
        """Return how much of its cycle lies before the step, in [0, 1)."""
        n, growth = self.steps, self.growth
        if growth == 1:
            return step / n - m.floor(step / n)
        # Cycle i begins at n (growth^i - 1) / (growth - 1), an integer: half a step later the
        # logarithm is never so near an integer that rounding could choose another cycle.
        ratio = 1 + (step + 0.5) * ((growth - 1) / n)
        scale = m.power(float(growth), m.floor(m.log(ratio) / math.log(growth)))
        begin = n * (scale - 1) / (growth - 1)
        return (step - begin) / (n * scale)


@register
@dataclass(frozen=True)
class Cyclic:
    """A triangle wave between `low` and `high`, rising over `steps` updates and falling over as
    many.

    Smith 2017, "Cyclical learning rates": its height is multiplied by `cycle_rate` at each cycle
    (the policy triangular2 has 0.5) and by `step_rate` at each step (exp_range).
    """

    low: float
    high: float
    steps: int
    cycle_rate: float = 1.0
    step_rate: float = 1.0

    def __post_init__(self) -> None:
        rules = {"low": NOT_NEGATIVE, "high": NOT_NEGATIVE, "steps": COUNT}
        check(self, **rules, cycle_rate=POSITIVE, step_rate=POSITIVE)

    def __call__(self, step: Any) -> Any:
        """Return low + (high - low) * triangle * cycle_rate^cycle * step_rate^step."""
        cycle = m.floor(step / (2 * self.steps))
        triangle = 1 - m.absolute(step / self.steps - 2 * cycle - 1)
        height = m.power(self.cycle_rate, cycle) * m.power(self.step_rate, step)
        return self.low + (self.high - self.low) * triangle * height


@register
@dataclass(frozen=True)
class Piecewise:
    """Constant between `boundaries`:

    values[0] before the first, values[i] from boundaries[i - 1] on.
    """

    values: tuple[float, ...]
    boundaries: tuple[int, ...]

    def __post_init__(self) -> None:
        check(self, values=tuple_of(NOT_NEGATIVE, least=1), boundaries=tuple_of(COUNT))
        _check_ascending(self, "boundaries", self.boundaries)
        if len(self.values) != len(self.boundaries) + 1:
            raise DescriptionError(
                "Piecewise",
                [
                    f"values: expected one more than boundaries, given {len(self.values)} values "
                    f"and {len(self.boundaries)} boundaries"
                ],
            )

    def __call__(self, step: Any) -> Any:
        """Return the value of the piece to which the step belongs."""
        value: Any = self.values[0]
        for boundary, following in zip(self.boundaries, self.values[1:], strict=True):
            value = m.where(step >= boundary, following, value)
        return value


@register
@dataclass(frozen=True)
class MultiStep:
    """`initial`, multiplied by `rate` at each of the ascending `milestones` (in updates)."""

    initial: float
    milestones: tuple[int, ...]
    rate: float = 0.1

    def __post_init__(self) -> None:
        check(self, initial=NOT_NEGATIVE, milestones=tuple_of(COUNT, least=1), rate=POSITIVE)
        _check_ascending(self, "milestones", self.milestones)

    def __call__(self, step: Any) -> Any:
        """Return initial * rate^(number of milestones reached)."""
        values = [self.initial * self.rate**i for i in range(len(self.milestones) + 1)]
        return Piecewise(tuple(values), self.milestones)(step)


@register
@dataclass(frozen=True)
class WarmUp:
    """A straight line from `start` times the schedule's first value to that value, then the
    schedule.

    The line takes `steps` updates: the first has 1/steps of the way behind it, so it already moves.
    Goyal et al. 2017, section 2.2.
    """

    schedule: Schedule
    steps: int
    start: float = 0.0

    def __post_init__(self) -> None:
        check(self, schedule=SCHEDULE, steps=COUNT, start=SHARE)

    def __call__(self, step: Any) -> Any:
        """Return the line's value before `steps`, then schedule(step - steps)."""
        way = m.minimum((step + 1) / self.steps, 1)
        value = self.schedule(m.maximum(step - self.steps, 0))
        return (self.start + (1 - self.start) * way) * value


@register
@dataclass(frozen=True)
class Scaled:
    """Another schedule times `factor`: the step size of a parameter with a learning-rate factor."""

    schedule: Schedule
    factor: float

    def __post_init__(self) -> None:
        check(self, schedule=SCHEDULE, factor=NOT_NEGATIVE)

    def __call__(self, step: Any) -> Any:
        """Return factor * schedule(step)."""
        return self.factor * self.schedule(step)


def _check_ascending(thing: Any, name: str, numbers: tuple[int, ...]) -> None:
    if list(numbers) != sorted(set(numbers)):
        problem = f"{name}: expected ascending, different numbers, given {numbers}"
        raise DescriptionError(type(thing).__name__, [problem])
