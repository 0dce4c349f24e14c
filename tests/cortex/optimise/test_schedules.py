"""Schedules: their values, the same as numbers and as symbols, and their checks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cortex.compute.errors import DescriptionError
from cortex.compute.expression import evaluate, symbol, wrap
from cortex.optimise import schedules as s

VALUES = [
    (s.Constant(0.3), {0: 0.3, 99: 0.3}),
    (s.ExponentialDecay(0.1, 0.5, 10), {0: 0.1, 5: 0.1 * math.sqrt(0.5), 10: 0.05, 30: 0.0125}),
    (s.StepDecay(0.1, 0.5, 10), {0: 0.1, 9: 0.1, 10: 0.05, 19: 0.05, 20: 0.025}),
    (s.Polynomial(1.0, 10, 0.2, 2.0), {0: 1.0, 5: 0.4, 10: 0.2, 50: 0.2}),
    (s.Polynomial(1.0, 4), {0: 1.0, 1: 0.75, 4: 0.0, 5: 0.0}),
    (s.Cosine(1.0, 10, 0.2), {0: 1.0, 5: 0.6, 10: 0.2, 99: 0.2}),
    (s.WarmRestarts(1.0, 10), {0: 1.0, 5: 0.5, 10: 1.0, 25: 0.5}),
    (s.WarmRestarts(1.0, 10, growth=2), {0: 1.0, 5: 0.5, 10: 1.0, 20: 0.5, 30: 1.0, 50: 0.5}),
    (s.Cyclic(0.1, 0.5, 4), {0: 0.1, 2: 0.3, 4: 0.5, 6: 0.3, 8: 0.1, 12: 0.5}),
    (s.Cyclic(0.1, 0.5, 4, cycle_rate=0.5), {4: 0.5, 12: 0.3, 20: 0.2}),
    (s.Cyclic(0.0, 1.0, 4, step_rate=0.9), {2: 0.5 * 0.9**2, 4: 0.9**4, 12: 0.9**12}),
    (s.Piecewise((3.0, 2.0, 1.0), (5, 8)), {0: 3, 4: 3, 5: 2, 7: 2, 8: 1, 100: 1}),
    (s.MultiStep(1.0, (5, 8), 0.5), {0: 1, 4: 1, 5: 0.5, 8: 0.25, 100: 0.25}),
    (s.WarmUp(s.Constant(2.0), 4), {0: 0.5, 1: 1.0, 3: 2.0, 4: 2.0, 9: 2.0}),
    (s.WarmUp(s.Constant(2.0), 4, start=0.5), {0: 1.25, 3: 2.0, 4: 2.0}),
    (s.WarmUp(s.Cosine(1.0, 10), 5), {0: 0.2, 4: 1.0, 5: 1.0, 10: 0.5, 15: 0.0}),
    (s.Scaled(s.StepDecay(0.1, 0.5, 10), 3.0), {0: 0.3, 10: 0.15}),
]
IDS = [f"{i}-{type(v[0]).__name__}" for i, v in enumerate(VALUES)]


@pytest.mark.parametrize(("schedule", "values"), VALUES, ids=IDS)
def test_values(schedule: Any, values: dict[int, float]) -> None:
    for step, expected in values.items():
        assert float(schedule(step)) == pytest.approx(expected, rel=1e-12, abs=1e-15), step


@pytest.mark.parametrize(("schedule", "values"), VALUES, ids=IDS)
def test_the_same_with_numbers_and_with_symbols(schedule: Any, values: Any) -> None:
    e = wrap(schedule(symbol(0)))
    for step in range(0, 120):
        (found,) = evaluate([e], [np.float64(step)], "float64")
        np.testing.assert_allclose(float(found), float(schedule(np.float64(step))), rtol=1e-15)


@pytest.mark.parametrize(("schedule", "values"), VALUES, ids=IDS)
def test_from_data_gives_it_back(schedule: Any, values: Any) -> None:
    import json

    data = json.loads(json.dumps(s.SCHEDULES.to_data(schedule)))
    assert s.SCHEDULES.from_data(data) == schedule


@pytest.mark.parametrize("growth", [2, 3, 7])
@pytest.mark.parametrize("steps", [1, 3, 10, 1000])
def test_restarts_fall_on_the_right_step(growth: int, steps: int) -> None:
    schedule = s.WarmRestarts(1.0, steps, growth)
    begin, length = 0, steps
    for _ in range(6):
        for step in {begin, begin + length // 2, begin + length - 1}:
            expected = 0.5 * (1 + math.cos(math.pi * (step - begin) / length))
            assert float(schedule(step)) == pytest.approx(expected, abs=1e-9)
        begin, length = begin + length, length * growth


def test_a_number_and_a_function_are_settings() -> None:
    assert s.value_at(0.5, 3) == 0.5
    assert s.value_at(lambda step: step / 2, 3) == 1.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: s.Constant(-1.0), "value: expected a number >= 0, given -1.0"),
        (lambda: s.Cosine(0.1, 0), "steps: expected an integer >= 1, given 0"),
        (lambda: s.Cosine(0.1, 2.5), "steps: expected an integer >= 1, given 2.5"),  # type: ignore[arg-type]
        (lambda: s.ExponentialDecay(0.1, 0.0), "rate: expected a number > 0, given 0.0"),
        (lambda: s.WarmUp(0.1, 5), "schedule: expected a schedule, given 0.1"),  # type: ignore[arg-type]
        (lambda: s.Piecewise((1.0, 2.0), (5, 8)), "one more than boundaries, given 2 values and 2"),
        (lambda: s.Piecewise((1.0, 2.0, 3.0), (8, 5)), "boundaries: expected ascending"),
        (lambda: s.MultiStep(1.0, (5, 5)), "milestones: expected ascending, different numbers"),
        (lambda: s.Cosine(float("nan"), 5), "initial: expected a number >= 0, given nan"),
    ],
)
def test_checks(make: Any, message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        make()


def test_all_problems_at_once() -> None:
    with pytest.raises(DescriptionError) as error:
        s.Cosine(-1.0, 0, -2.0)
    assert len(error.value.problems) == 3
