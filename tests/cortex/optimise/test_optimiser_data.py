"""Optimisers as data: JSON there and back, names, checks of settings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortex.compute.errors import DescriptionError
from cortex.optimise import optimisers as o
from cortex.optimise import schedules as s

SOME = [
    o.Sgd(0.01, momentum=0.9, nesterov=True),
    o.Adam(),
    o.Adam(s.WarmUp(s.Cosine(0.001, 1000), 100), second_decay=0.99),
    o.AdamW(s.MultiStep(0.1, (10, 20)), weight_decay=s.Constant(0.1)),
    o.RmsProp(momentum=0.5, centred=True),
    o.Lion(s.Scaled(s.WarmUp(s.StepDecay(0.1, 0.5, 3), 4), 0.5)),
]


@pytest.mark.parametrize("optimiser", SOME, ids=repr)
def test_there_and_back(optimiser: Any) -> None:
    assert o.from_data(json.loads(json.dumps(o.to_data(optimiser)))) == optimiser


def test_data_are_readable() -> None:
    data = o.to_data(o.Adam(s.Cosine(0.001, 1000)))
    expected = {"type": "Cosine", "initial": 0.001, "steps": 1000}
    assert data == {"type": "Adam", "step_size": expected}


def test_a_name_is_enough() -> None:
    assert o.from_data("adam") == o.Adam()
    assert o.from_data("AdamW") == o.AdamW()
    with pytest.raises(
        DescriptionError, match="no optimiser has the type 'adm'; did you mean 'adam'"
    ):
        o.from_data("adm")


def test_everything_wrong_is_reported_at_once_with_near_names() -> None:
    data = {"type": "Adam", "stepsize": 0.1, "epsilon": -1, "step_size": {"type": "Cosin"}}
    with pytest.raises(DescriptionError) as error:
        o.from_data(data)
    text = str(error.value)
    assert "no field is named 'stepsize'; did you mean 'step_size'?" in text
    assert "no schedule has the type 'Cosin'; did you mean 'Cosine'?" in text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: o.Adam(step_size=-1),
            "Adam: step_size: expected a number >= 0, or a schedule, given -1",
        ),
        (lambda: o.Adam(step_size="fast"), "step_size: expected .* given 'fast'"),  # type: ignore[arg-type]
        (lambda: o.Adam(first_decay=1.0), "first_decay: expected a number >= 0 and < 1, given 1.0"),
        (lambda: o.Adam(epsilon=0), "epsilon: expected a number > 0, given 0"),
        (lambda: o.Sgd(nesterov=1), "nesterov: expected True or False, given 1"),  # type: ignore[arg-type]
        (lambda: o.Sgd(momentum=1.5), "momentum: expected .* given 1.5"),
        (lambda: o.AdamW(weight_decay=-0.1), "weight_decay: expected .* given -0.1"),
        (lambda: o.RmsProp(decay=2), "decay: expected .* given 2"),
        (lambda: o.Lion(second_decay=-1), "second_decay: expected .* given -1"),
        (lambda: o.Adagrad(initial=-1), "initial: expected .* given -1"),
        (lambda: o.Nadam(momentum_decay=-1), "momentum_decay: expected .* given -1"),
        (lambda: o.Adadelta(epsilon=float("inf")), "epsilon: expected .* given inf"),
    ],
)
def test_settings_are_checked_when_made(make: Any, message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        make()


def test_a_schedule_without_a_name_cannot_be_stored() -> None:
    with pytest.raises(DescriptionError, match="has no name to store"):
        o.to_data(o.Sgd(lambda step: 0.1))
