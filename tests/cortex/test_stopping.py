"""Stopping rules: fresh for each run, reasons that are sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cortex
from cortex import layers, stopping
from cortex.stopping import Factory, Reason


def ends(rule: Any, records: list[dict[str, Any]]) -> tuple[int, Reason | None]:
    """The first record that ends a run, and why."""
    fresh = stopping.begin(rule)
    for k, record in enumerate(records):
        reason = fresh(record)
        if reason is not None:
            return k, reason
    return len(records), None


STEPS = [{"step": k, "epoch": k // 2, "value": 10.0 - k, "evaluations": 3 * k} for k in range(10)]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (stopping.steps(4), (4, Reason.STEPS)),
        (stopping.epochs(2), (4, Reason.EPOCHS)),
        (stopping.evaluations(10), (4, Reason.EVALUATIONS)),
        (stopping.target("value", 7.5), (3, Reason.TARGET)),
        (stopping.target("step", 5, "max"), (5, Reason.TARGET)),
        (stopping.target("accuracy", 0.9), (10, None)),
        (stopping.plateau("value", 3), (10, None)),
        (stopping.plateau("step", 3, mode="min"), (3, Reason.PLATEAU)),
        (stopping.plateau("value", 3, least=5), (3, Reason.PLATEAU)),
        (stopping.not_finite("value"), (10, None)),
        (stopping.seconds(0), (0, Reason.TIME)),
        (stopping.seconds(1000), (10, None)),
        (stopping.any_of(stopping.steps(6), stopping.epochs(2)), (4, Reason.EPOCHS)),
        (stopping.all_of(stopping.steps(3), stopping.epochs(2)), (4, Reason.EPOCHS)),
        ([stopping.steps(6), lambda r: r["step"] == 5], (5, Reason.RULE)),
        (lambda r: Reason.TARGET if r["step"] == 2 else None, (2, Reason.TARGET)),
        ([], (10, None)),
    ],
)
def test_rules(rule: Any, expected: tuple[int, Reason | None]) -> None:
    assert ends(rule, STEPS) == expected
    assert ends(rule, STEPS) == expected  # a run leaves nothing behind


def test_not_finite() -> None:
    assert ends(stopping.not_finite("loss"), [{"loss": 1.0}, {}, {"loss": float("nan")}]) == (
        2,
        Reason.NOT_FINITE,
    )


def test_rules_that_remember_see_every_record() -> None:
    rule = [lambda r: False, stopping.plateau("step", 2, mode="min")]
    assert ends(rule, STEPS) == (2, Reason.PLATEAU)


def test_every_rule_is_a_factory() -> None:
    for rule in (
        stopping.steps(1),
        stopping.plateau(),
        stopping.any_of(),
        stopping.all_of(),
        stopping.seconds(1),
    ):
        assert isinstance(rule, Factory) and callable(rule())


def test_a_plain_function_ends_a_training_too() -> None:
    network = cortex.Network([("x", layers.Input(2)), layers.Linear(1)], seed=1)
    data = {"x": np.ones((8, 2), np.float32), "target": np.ones((8, 1), np.float32)}
    result = cortex.fit(
        network, data, batch_size=4, every=1, stop=lambda r: r["step"] >= 3, progress=False
    )
    assert result.reason is Reason.RULE and result.checkpoint.position["step"] == 3


def test_plain_functions_combine() -> None:
    late, odd = (lambda r: r["step"] > 2), (lambda r: r["step"] % 2)
    assert ends(stopping.all_of(late, odd), STEPS) == (3, Reason.RULE)
    assert ends(stopping.any_of(late, odd), STEPS) == (1, Reason.RULE)


def test_reasons_are_different_sentences() -> None:
    sentences = [r.value for r in Reason]
    assert len(set(sentences)) == len(sentences)
    assert all(s[0].isupper() and s.endswith(".") for s in sentences)


def test_messages() -> None:
    with pytest.raises(TypeError, match="expected a function of a record, given 3"):
        stopping.begin([3])
    with pytest.raises(ValueError, match="mode must be 'auto', 'min' or 'max', given 'up'"):
        stopping.target("value", 1, "up")
