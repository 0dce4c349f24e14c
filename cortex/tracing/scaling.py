"""Loss scaling: gradients computed larger than they are, so that 16 bits hold them, and steps left out that overflow.

The backward pass is linear in the cotangent of the loss. That is multiplied by a scale, and the gradients, summed over
the processes, are divided by it before anything else sees them. A step with a gradient that is not finite is left out:
all state stays as it was, that of the optimiser and its schedules included, but for

- the scale, and the count of steps left out;
- `random.step`: the next step draws other numbers, and what a step draws does not depend on what became of others;
- running sums (`total.<name>`), which say how well the network does: they leave out only a loss that is not finite.

Micikevicius et al. 2018, "Mixed precision training", section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from cortex.compute import math as m
from cortex.compute.backend import Capabilities
from cortex.compute.errors import DescriptionError
from cortex.compute.ops.map import convert
from cortex.compute.ops.random import STEP
from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.program import Value
from cortex.rules import COUNT, NONE, POSITIVE, check, either, is_number

from .forward import Traced

SCALE, GOOD, SKIPPED = STATE = ("scaling.scale", "scaling.good", "scaling.skipped")


@dataclass(frozen=True)
class LossScale:
    """A scale that begins at `start`, is halved at an overflow and doubled after `interval` good steps in a row.

    It stays between `least` and `most`. With `interval` None it stays as it is, whatever the bounds.

    Raises:
        DescriptionError: a number that is not positive, or a start outside the bounds.
    """

    start: float = 2.0**16
    interval: int | None = 2000
    least: float = 1.0
    most: float = 2.0**24

    def __post_init__(self) -> None:
        check(self, start=POSITIVE, interval=either(COUNT, NONE), least=POSITIVE, most=POSITIVE)
        if self.interval is not None and not self.least <= self.start <= self.most:
            problem = f"start: expected {self.least:g} to {self.most:g}, given {self.start:g}"
            raise DescriptionError("LossScale", [problem])

    @property
    def state(self) -> tuple[str, ...]:
        """Names of the state (float64, 0-d) that a step with this scale keeps: a scale that stays is a constant."""
        return STATE if self.interval is not None else (SKIPPED,)

    def next(self, scale: Any, good: Any, overflow: Any) -> tuple[Any, Any]:
        """Return scale and number of good steps in a row after a step with an `overflow` (1) or without one (0)."""
        grown = good + 1 >= self.interval
        lower, higher = m.maximum(scale / 2, self.least), m.minimum(scale * 2, self.most)
        return (
            m.where(overflow > 0, lower, m.where(grown, higher, scale)),
            m.where(overflow > 0, 0.0, m.where(grown, 0.0, good + 1)),
        )


LossScaleOf = float | Literal["dynamic"] | LossScale | None


def loss_scale_of(given: LossScaleOf, able: Capabilities, problems: list[str]) -> LossScale | None:
    """Return the loss scale that is asked for: None is what the backend wants, a number a scale that stays."""
    wanted: Any = able.loss_scale if given is None else given
    if wanted is None or isinstance(wanted, LossScale):
        return wanted
    if isinstance(wanted, str) and wanted == "dynamic":
        return LossScale()
    if is_number(wanted) and wanted > 0:
        return LossScale(float(wanted), interval=None)
    problems.append(f"loss_scale: expected 'dynamic', a number > 0 or None, given {wanted!r}")
    return None


class Scaling:
    """Loss scaling in a training step that is being recorded; call `seed`, `divided` and `finish` in this order."""

    def __init__(self, traced: Traced, rule: LossScale) -> None:
        self.program, self.rule = traced.program, rule
        if rule.interval is None:
            self.scale = self.program.constant(np.array(rule.start))
        else:
            self.scale = self.program.persistent(SCALE, (), "float64")
            self.good = self.program.persistent(GOOD, (), "float64")
            traced.numbers[SCALE] = np.asarray(rule.start)
        self.skipped = self.program.persistent(SKIPPED, (), "float64")

    def seed(self, loss: Value) -> Value:
        """Return the cotangent of the loss."""
        return convert(self.program, self.scale, loss.dtype)

    def divided(self, gradients: Sequence[Value]) -> list[Value]:
        """Return the gradients as they are without a scale, and note whether one of their numbers is not finite.

        A sum is finite only where all its terms are, so one pass that writes nothing finds out; a sum of finite
        gradients that overflows is taken for one that is not finite.
        """
        sums = [reduce_axes(self.program, "sum", g, None) for g in gradients]
        self.overflow = _not_finite(sum(sums[1:], sums[0]))
        return [g / convert(self.program, self.scale, g.dtype) for g in gradients]

    def finish(self) -> None:
        """Keep the old state where a gradient was not finite; record what follows for the scale."""
        program = self.program
        lost = _not_finite(program.outputs["loss"])
        source = {value: step for step in program.steps for value in step.outputs}
        together: dict[
            Any, list[str]
        ] = {}  # what one step makes is decided on in one pass, which merges with it
        for name, value in program.updates.items():
            if name != STEP:
                together.setdefault(source.get(value, value), []).append(name)
        for names in together.values():
            reason = lost if names[0].startswith("total.") else self.overflow
            self._keep(reason, names)
        overflow = convert(program, self.overflow, "float64")
        program.update(SKIPPED, self.skipped + overflow)
        if self.rule.interval is not None:
            scale, good = program.map(self.rule.next, self.scale, self.good, overflow)
            program.update(SCALE, scale)
            program.update(GOOD, good)

    def _keep(self, reason: Value, names: Sequence[str]) -> None:
        """Let states of one spec keep their content where the reason is 1."""
        program = self.program
        reason = convert(program, reason, program.state[names[0]].dtype)
        pairs = [v for n in names for v in (program.state[n], program.updates[n])]

        def kept(reason: Any, *pairs: Any) -> tuple[Any, ...]:
            return tuple(map(partial(m.where, reason > 0), pairs[::2], pairs[1::2]))

        for name, value in zip(names, program.map(kept, reason, *pairs), strict=True):
            program.update(name, value)


def _not_finite(value: Value) -> Value:
    """Return 1 where a value is infinite or NaN, for which no comparison holds, else 0."""
    found: Value = m.where(abs(value) <= float(np.finfo(value.dtype).max), 0.0, 1.0)
    return found
