"""Descents: lazy records, resuming, results with reasons, every mode; the original's transcripts."""

from __future__ import annotations

import json
import sys
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex import stopping
from cortex.compute.errors import DescriptionError
from cortex.observers import History
from cortex.optimise import Adadelta, Adam, Sgd, functions, optimisers
from cortex.optimise import descent as d
from cortex.optimise.constraints import Ball, Box
from cortex.records import Record
from cortex.stopping import Reason

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "optimisers.json").read_text())
ELLIPSOID, CROSS = functions.axis_parallel_hyper_ellipsoid, functions.cross_paraboloid


class Counting:
    """De Jong's function, counting."""

    def __init__(self) -> None:
        self.values = self.gradients = 0

    def value(self, x: np.ndarray) -> float:
        self.values += 1
        return float(x @ x)

    def gradient(self, x: np.ndarray) -> np.ndarray:
        self.gradients += 1
        return 2 * x


# Records


def test_entries_of_the_first_records() -> None:
    first, second = islice(d.steps(CROSS, Sgd(), [1, 2, 3]), 2)
    assert set(first) == {
        "params", "value", "gradient", "optimiser", "initial_step", "step", "evaluations", "num_steps",
    }  # fmt: skip
    assert set(second) == {*first, "last_step"}
    assert (first["initial_step"], second["initial_step"]) == (True, False)
    assert (first["step"], second["step"]) == (0, 1)
    assert first["value"] == 50 and first["gradient"].tolist() == [14, 16, 18]
    np.testing.assert_array_equal(second["last_step"], second["params"] - first["params"])
    assert isinstance(first, Record)


def test_what_nobody_reads_is_never_computed() -> None:
    f = Counting()
    running = d.steps(f, Adam(), [1.0, 2.0])
    first = next(running)
    assert (f.values, f.gradients) == (0, 0)
    for key in ("value", "gradient", "optimiser", "evaluations"):
        assert not first.realised(key)
    *_, last = islice(running, 10)
    assert (f.values, f.gradients) == (0, 10)
    assert not last.realised("last_step")
    assert last["evaluations"] == 10
    for _ in range(3):
        _ = last["value"], last["gradient"]
    assert (f.values, f.gradients) == (1, 11)
    next(running)
    assert (f.values, f.gradients) == (
        1,
        11,
    )  # the gradient that was read is the one that was stepped with


def test_every_record_stays_what_it_was_and_resumes() -> None:
    for name in optimisers.OPTIMISERS.types:
        optimiser = optimisers.from_data(name)
        records = list(islice(d.steps(ELLIPSOID, optimiser, [1, 2, 3]), 12))
        middle = records[5]
        again = list(islice(d.steps(ELLIPSOID, middle["optimiser"], middle["params"]), 7))
        for a, b in zip(records[5:], again, strict=True):
            np.testing.assert_array_equal(a["params"], b["params"])
            assert a["step"] == b["step"]
        for key in optimiser.initialise(3):
            np.testing.assert_array_equal(again[-1][key], records[-1][key])


def test_parameters_cannot_be_written_to_and_the_initial_ones_are_copied() -> None:
    initial = np.array([1.0, 2.0])
    first, second = islice(d.steps(ELLIPSOID, Sgd(), initial), 2)
    initial[0] = 9
    assert first["params"].tolist() == [1, 2]
    for record in (first, second):
        with pytest.raises(ValueError, match="read-only"):
            record["params"][0] = 0


def test_a_function_is_an_optimiser() -> None:
    records = list(islice(d.steps(ELLIPSOID, lambda p, g: p - 0.1 * g, [1, 2]), 4))
    expected = list(islice(d.steps(ELLIPSOID, Sgd(0.1), [1, 2]), 4))
    for a, b in zip(records, expected, strict=True):
        np.testing.assert_array_equal(a["params"], b["params"])


@pytest.mark.parametrize(
    ("optimiser", "initial", "message"),
    [
        (lambda p, g: {"params": p}, [1.0], "given a mapping with 'params'; did you need to call the factory"),
        (lambda p, g: p[:-1], [1.0, 2.0], r"a vector of shape \(2,\), given shape \(1,\)"),
        (lambda p, g: Adam(), [1.0], r"given Adam\(.*; did you need to call the factory"),
        (Adam, [1.0], r"given the class Adam; did you need to call it: Adam\(\)"),
        ("adam", [1.0], "expected an optimiser such as Adam.*given 'adam'"),
        (Adam(), [[1.0]], r"initial: expected a vector of at least one number, given shape \(1, 1\)"),
        (Adam(), [], "at least one number"),
        (Adam(), "abc", "expected a vector of numbers, given 'abc'"),
    ],
)  # fmt: skip
def test_messages(optimiser: Any, initial: Any, message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        list(islice(d.steps(ELLIPSOID, optimiser, initial), 2))


def test_all_problems_at_once() -> None:
    with pytest.raises(DescriptionError) as error:
        next(d.steps(ELLIPSOID, Adam, "abc"))
    assert len(error.value.problems) == 2


def python_calls(run: Any) -> int:
    """How many functions written in Python a call enters."""
    count = 0

    def see(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(see)
    try:
        run()
    finally:
        sys.setprofile(None)
    return count


def test_the_cost_of_being_watched() -> None:
    """Work, not time: 2.1 microseconds a step (benchmarks/minimisers.py --overhead)."""
    x, sgd = np.array([1.0, 2.0, 3.0, 4.0]), Sgd(1e-3)
    running = d.steps(functions.de_jong, sgd, x)
    for _ in range(2):
        next(running)
    state = sgd.initialise(4)
    bare = python_calls(lambda: sgd.update(state, x, functions.de_jong.gradient(x)))
    watched = python_calls(lambda: next(running))
    assert watched - bare <= 10


# Studies


def test_results_carry_reasons() -> None:
    result = d.study(ELLIPSOID, Sgd(), [1, 2], d.limit_gradient(1e-3))
    assert result.reason is Reason.GRADIENT
    assert result.reason.value == "The gradient is small enough."
    assert (
        np.linalg.norm(result.gradient)
        <= 1e-3
        < np.linalg.norm(ELLIPSOID.gradient(result.params / 0.8))
    )
    assert result.value == ELLIPSOID.value(result.params)
    assert f"steps={result.steps}" in repr(result) and "small enough" in repr(result)


@pytest.mark.parametrize(
    ("rule", "reason", "steps"),
    [
        (lambda r: r["step"] == 3, Reason.RULE, 3),
        (lambda r: Reason.TARGET if r["step"] == 3 else None, Reason.TARGET, 3),
        (stopping.steps(4), Reason.STEPS, 4),
        ([stopping.steps(4), lambda r: r["step"] == 2], Reason.RULE, 2),
        (d.limit_steps(0), Reason.STEPS, 0),
        (stopping.target("value", 1.0), Reason.TARGET, 6),
        (d.limit_evaluations(6), Reason.EVALUATIONS, 6),
        (stopping.any_of(stopping.steps(9), stopping.seconds(0)), Reason.TIME, 0),
    ],
)
def test_rules(rule: Any, reason: Reason, steps: int) -> None:
    result = d.study(functions.de_jong, Sgd(), [1, 2, 3], rule)
    assert (result.reason, result.steps) == (reason, steps)


def test_a_rule_is_asked_before_the_first_step_and_begins_afresh_for_each_study() -> None:
    asked: list[int] = []
    assert (
        d.do_study(ELLIPSOID, Sgd(), [1, 2], lambda r: asked.append(r["step"]) or True)
        is Reason.RULE
    )
    assert asked == [0]
    rule = d.term(out=[d.limit_steps(3)])
    assert [d.study(ELLIPSOID, Sgd(), [1, 2], rule).steps for _ in range(3)] == [3, 3, 3]


def test_what_cannot_stop() -> None:
    with pytest.raises(TypeError, match="expected a function of a record, given 7"):
        d.study(ELLIPSOID, Sgd(), [1], 7)


def test_ctrl_c_returns_what_there_is() -> None:
    calls = 0

    def slope(x: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return 2 * x

    result = d.study((lambda x: x @ x, slope), Sgd(), [1.0], lambda r: False)
    assert (result.reason, result.steps) == (Reason.INTERRUPTED, 4)
    assert result.params == pytest.approx(0.8**4)
    calls = 0
    kept = d.log((lambda x: x @ x, slope), Sgd(), [1.0], lambda r: r["step"] == 9)
    assert len(kept) == 4 and kept.reason is Reason.INTERRUPTED


def test_log_has_everything_computed() -> None:
    kept = d.log(CROSS, Sgd(), [1, 2, 3], d.limit_steps(2))
    assert len(kept) == 3 and kept.reason is Reason.STEPS
    assert all(r.realised(key) for r in kept for key in r)
    np.testing.assert_allclose(
        kept.column("gradient"), [[14, 16, 18], [1.6, 3.2, 4.8], [-0.64, 0.64, 1.92]]
    )
    np.testing.assert_allclose(kept.column("params")[1:], [[-0.4, 0.4, 1.2], [-0.56, 0.08, 0.72]])
    assert kept[2]["value"] == pytest.approx(0.896)
    np.testing.assert_allclose(kept[2]["last_step"], [-0.16, -0.32, -0.48])
    assert kept[2]["initial_step"] is False


def test_observers_see_every_record_and_are_closed() -> None:
    class Closing(History):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    history = Closing(keys=["value", "params"])
    d.study(ELLIPSOID, Sgd(), [1, 2], stopping.steps(3), observers=[history])
    assert [r["step"] for r in history.rows] == [0, 1, 2, 3] and history.closed == 1
    assert history.rows[0]["value"] == 9 and history.rows[0]["params"].tolist() == [1, 2]
    assert "gradient" not in history.rows[0]


def test_modes_of_tests() -> None:
    test = d.Test(functions.de_jong, Sgd(), [1, 2], d.limit_gradient(1e-3))
    profile = d.run_test(test)
    assert profile.value_calls == 0 and profile.gradient_calls == profile.result.steps + 1
    assert profile.cpu_ms >= 0
    assert str(profile).startswith(f"{profile.result.steps} steps, 0 values, ")
    assert d.run_test(test, "study").steps == profile.result.steps
    assert d.run_test(test, "do_study") is Reason.GRADIENT
    assert len(d.run_test(test, "log")) == profile.result.steps + 1
    both = d.run_tests({"a": test, "b": d.Test(CROSS, Sgd(), [1, 2], d.limit_value(1e-3))}, "study")
    assert {k: v.reason for k, v in both.items()} == {"a": Reason.GRADIENT, "b": Reason.VALUE}
    with pytest.raises(DescriptionError, match="no mode is named 'profil'; did you mean 'profile'"):
        d.run_test(test, "profil")


def test_profile_counts_the_values_that_rules_read() -> None:
    found = d.run_test(
        d.Test(functions.de_jong, Sgd(), [1, 2], [d.limit_value(1e-3), d.limit_gradient(0)])
    )
    assert found.value_calls == found.gradient_calls == found.result.steps + 1
    drawn = functions.stochastic(lambda x, seed: (x * x).sum(), lambda x, seed: 2 * x)
    found = d.run_test(d.Test(drawn, Sgd(), [1, 2], [d.limit_value(1e-3), d.limit_gradient(0)]))
    assert found.value_calls == found.gradient_calls == found.result.steps + 1


# Functions that are drawn anew, constraints


def noise(x: np.ndarray, seed: tuple[int, ...]) -> float:
    return float(x @ x + np.random.default_rng(seed).standard_normal(len(x)) @ x)


def noise_gradient(x: np.ndarray, seed: tuple[int, ...]) -> np.ndarray:
    return 2 * x + np.random.default_rng(seed).standard_normal(len(x))


def test_each_step_has_a_draw_of_its_own_and_a_resume_has_the_same_ones() -> None:
    f = functions.stochastic(noise, noise_gradient)
    records = list(islice(d.steps(f, Adam(0.1), [1, 2], seed=7), 8))
    for k, r in enumerate(records):  # read late: every record keeps its own draw
        np.testing.assert_array_equal(r["gradient"], noise_gradient(r["params"], (7, k)))
        assert r["value"] == noise(r["params"], (7, k))
    again = list(islice(d.steps(f, records[3]["optimiser"], records[3]["params"], seed=7), 5))
    np.testing.assert_array_equal(again[-1]["params"], records[-1]["params"])
    other = list(islice(d.steps(f, Adam(0.1), [1, 2], seed=8), 8))
    assert not np.array_equal(other[-1]["params"], records[-1]["params"])


def test_stochastic_descent_of_a_regression_finds_the_coefficients() -> None:
    generator = np.random.default_rng(0)
    a = generator.standard_normal((200, 3))
    b = a @ [1.0, -2.0, 0.5]
    f = functions.minibatches(
        lambda x, a, b: np.mean((a @ x - b) ** 2), a, b, size=20,
        gradient=lambda x, a, b: 2 * a.T @ (a @ x - b) / len(b),
    )  # fmt: skip
    result = d.study(f, Adam(0.05), np.zeros(3), stopping.steps(600))
    np.testing.assert_allclose(result.params, [1, -2, 0.5], atol=1e-3)


def test_bounds_hold_at_every_step_and_at_the_start() -> None:
    box = Box([0.5, -1], 2)
    for record in islice(d.steps(functions.de_jong, Sgd(0.3), [9, 9], project=box), 30):
        assert (record["params"] >= [0.5, -1]).all() and (record["params"] <= 2).all()
    np.testing.assert_allclose(record["params"], [0.5, 0], atol=1e-6)
    result = d.study(
        functions.de_jong,
        Sgd(0.3),
        [9, 9],
        d.limit_gradient(1e-8, "projected_gradient"),
        project=box,
    )
    assert result.reason is Reason.GRADIENT and np.linalg.norm(result.gradient) >= 1
    np.testing.assert_allclose(result.record["projected_gradient"], 0, atol=1e-8)


def test_max_norm_holds_at_every_step() -> None:
    pull = functions.function(lambda x: -x.sum())
    for record in islice(d.steps(pull, Adam(0.3), [0.1, 0], project=Ball(2)), 40):
        assert np.linalg.norm(record["params"]) <= 2 + 1e-15
    np.testing.assert_allclose(record["params"], np.sqrt([2, 2]), atol=1e-3)


# Transcripts of the original (see `tests/golden/optimisers.json`)


def test_transcript_adam_to_1e_10() -> None:
    golden = GOLDEN["adam_axis_parallel"]
    result = d.study(ELLIPSOID, Adam(), golden["initial"], d.term(out=[d.limit_gradient(1e-10)]))
    assert result.steps == golden["steps_to_1e-10"] == 10222
    assert result.params.tolist() == golden["final"]


def test_transcript_adam_printed(capsys: pytest.CaptureFixture[str]) -> None:
    golden = GOLDEN["adam_axis_parallel"]
    rule = d.term(out=[d.output("params"), d.limit_gradient(37.5)])
    result = d.study(ELLIPSOID, Adam(), golden["initial"], rule)
    assert result.steps == 13
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"[{' '.join(map(repr, row))}]" for row in golden["parameters_by_step"]]


def test_transcript_formatted_and_paused() -> None:
    lines: list[str] = []
    answers = iter(["", "", "3", "", "enough"])

    def read(prompt: str) -> str:
        lines.append("--")
        return next(answers)

    shown = d.outputf("% .2e % .2e", "params", "gradient", write=lines.append)
    result = d.study(ELLIPSOID, Adam(), [1, 2, 3, 4], d.term(out=[shown, d.pause(2, read)]))
    assert lines[0] == (
        "[ 1.00e+00  2.00e+00  3.00e+00  4.00e+00] [ 2.00e+00  8.00e+00  1.80e+01  3.20e+01]"
    )
    groups = [
        len(g.split("\n")) - (g.startswith("\n") + g.endswith("\n"))
        for g in "\n".join(lines).split("--")
    ]
    assert groups[:-1] == [3, 2, 2, 3, 3]
    assert result.steps == 12 and result.reason is Reason.ASKED


def test_transcript_sgd_on_different_powers() -> None:
    golden = GOLDEN["sgd_different_powers"]
    kept = d.log(functions.different_powers, Sgd(), golden["initial"], d.limit_steps(5))
    assert len(kept) == 6
    found = [[f"{v:.5g}" for v in row] for row in kept.column("params")]
    assert found[:5] == [
        ["1", "1", "1", "1"], ["0.8", "0.7", "0.6", "0.5"], ["0.64", "0.553", "0.5136", "0.46875"],
        ["0.512", "0.46126", "0.45941", "0.44461"], ["0.4096", "0.39743", "0.42062", "0.42507"],
    ]  # fmt: skip
    np.testing.assert_allclose(kept[-1]["params"], golden["final"], rtol=1e-15)


def test_transcript_lazy_entries_are_not_realised_when_printed() -> None:
    for record in islice(d.steps(CROSS, Sgd(), [1, 2, 3]), 3):
        assert "value=" not in repr(record) and not record.realised("value")
        assert "last_step" not in record or not record.realised("last_step")


def test_transcript_de_jong_of_1000_numbers() -> None:
    start = np.random.default_rng(0).uniform(size=1000)
    kept = d.log(functions.de_jong, Adam(), start, d.limit_steps(4))
    sizes = [float(np.linalg.norm(r["last_step"])) for r in kept[1:]]
    assert sizes[0] == pytest.approx(0.0316227756, abs=1e-8)
    assert all(a > b for a, b in pairwise(sizes)) and sizes[-1] > 0.0315


def test_transcript_adadelta() -> None:
    golden = GOLDEN["adadelta_cross_paraboloid"]
    kept = d.log(CROSS, Adadelta(), golden["initial"], d.limit_steps(563))
    for k, value, gradient in golden["printed"]:
        assert f"{kept[k]['value']:.3g}" == value
        assert " ".join(f"{g:.3g}" for g in kept[k]["gradient"]) == gradient


def test_transcript_adam_on_de_jong() -> None:
    golden = GOLDEN["adam_de_jong"]
    kept = d.log(functions.de_jong, Adam(), golden["initial"], d.limit_steps(19))
    np.testing.assert_allclose(
        kept.column("params")[1:], golden["parameters_by_step"], rtol=0, atol=1e-6
    )
