"""`term` and its transforms, `review`."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest

import cortex
from cortex import layers, stopping
from cortex.compute.errors import DescriptionError
from cortex.optimise import Adam, Sgd, functions
from cortex.optimise import descent as d
from cortex.records import Record
from cortex.stopping import Reason

BOWL = functions.de_jong


def seen(in_: Any, count: int, key: Any) -> list[Any]:
    """What an out transform sees of `count` records."""
    found: list[Any] = []
    d.study(
        BOWL,
        Sgd(),
        [1.0, 2.0],
        [d.term(in_=in_, out=[lambda r: found.append(key(r))]), stopping.steps(count - 1)],
    )
    return found


def test_in_transforms() -> None:
    assert seen([d.count_steps()], 4, lambda r: r["step_count"]) == [0, 1, 2, 3]
    assert seen([d.skip_initial()], 4, lambda r: r["step"]) == [1, 2, 3]
    assert seen(
        [d.skip_initial(2), d.count_steps()], 5, lambda r: (r["step"], r["step_count"])
    ) == [(2, 0), (3, 1), (4, 2)]
    assert seen([d.count_steps(), d.skip_initial(2)], 4, lambda r: r["step_count"]) == [2, 3]
    pairs = seen(d.stagger(), 3, lambda r: (r["last"] and r["last"]["step"], r["current"]["step"]))
    assert pairs == [(None, 0), (0, 1), (1, 2)]


def test_out_transforms_run_from_left_to_right_until_one_stops() -> None:
    order: list[str] = []
    rule = d.term(
        out=[
            lambda r: order.append("a"),
            lambda r: order.append("b") or r["step"] == 1,
            lambda r: order.append("c"),
        ]
    )
    result = d.study(BOWL, Sgd(), [1, 2], rule)
    assert order == ["a", "b", "c", "a", "b"] and result.reason is Reason.RULE


def test_a_term_alone_never_stops() -> None:
    rule = d.term()()
    assert [rule(r) for r in d.log(BOWL, Sgd(), [1, 2], stopping.steps(4))] == [None] * 5


@pytest.mark.parametrize(
    ("rule", "reason", "steps"),
    [
        (d.limit_steps(7), Reason.STEPS, 7),
        (d.limit_value(1.0), Reason.VALUE, 4),
        (d.limit_gradient(1.0), Reason.GRADIENT, 7),
        (d.limit_params(0.5, [0, 0]), Reason.PARAMS, 7),
        (d.limit_evaluations(3), Reason.EVALUATIONS, 3),
        (d.limit_time(0), Reason.TIME, 0),
    ],
)
def test_rules(rule: Any, reason: Reason, steps: int) -> None:
    result = d.study(BOWL, Sgd(), [1, 2], d.term(out=rule))
    assert (result.reason, result.steps) == (reason, steps)


def test_limits_are_inclusive() -> None:
    assert d.study(BOWL, Sgd(), [1, 2], d.limit_value(5.0)).steps == 0
    assert d.study(BOWL, Sgd(), [3, 4], d.limit_gradient(10.0)).steps == 0
    assert d.study(BOWL, Sgd(), [3, 4], d.limit_params(5.0, [0, 0])).steps == 0


def test_plateau_and_not_finite() -> None:
    wall = functions.function(lambda x: max(x[0], 0.0), lambda x: (x > 0) * 1.0)
    result = d.study(wall, Sgd(0.5), [1.0], d.term(out=d.plateau(4)))
    assert (result.reason, result.steps) == (Reason.PLATEAU, 6)
    run_away = functions.function(lambda x: float(x @ x), lambda x: 2 * x)
    with np.errstate(over="ignore"):
        result = d.study(run_away, Sgd(1e100), [1.0], d.not_finite())
        assert result.reason is Reason.NOT_FINITE and math.isinf(result.value)
        assert (
            d.study(run_away, Sgd(1e300), [1.0, 0.0], d.not_finite("params")).reason
            is Reason.NOT_FINITE
        )


def test_slow_steps() -> None:
    begin = time.monotonic()
    d.study(BOWL, Sgd(), [1, 2], d.term(out=[d.slow_steps(5), d.limit_steps(2)]))
    assert time.monotonic() - begin >= 0.015


def lines(*effects: Any, in_: Any = (), count: int = 3) -> list[str]:
    found: list[str] = []
    made = [e(found.append) for e in effects]
    d.study(BOWL, Sgd(), [1.0, 2.0], d.term(in_=in_, out=[*made, d.limit_steps(count - 1)]))
    return found


def test_outputf() -> None:
    def shown(write: Any) -> Any:
        return d.outputf(
            "%d: % .1f, |x| %.3f, 100%%",
            "step",
            "params",
            lambda r: np.linalg.norm(r["params"]),
            write=write,
        )

    assert lines(shown) == [
        "0: [ 1.0  2.0], |x| 2.236, 100%", "1: [ 0.8  1.6], |x| 1.789, 100%", "2: [ 0.6  1.3], |x| 1.431, 100%",
    ]  # fmt: skip

    def path(write: Any) -> Any:
        return d.outputf("%.2f", ("current", "params", np.sum), write=write)

    assert lines(path, in_=d.stagger()) == ["3.00", "2.40", "1.92"]


def test_output() -> None:
    def shown(write: Any) -> Any:
        return d.output("step", "step is", "params", lambda r: r["step"] * 2, write=write)

    assert lines(shown, count=2) == ["0 step is [1.0 2.0] 0", "1 step is [0.8 1.6] 2"]


def test_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    d.study(BOWL, Sgd(), [3, 4], d.term(out=[d.stdout(), d.limit_steps(1)]))
    assert capsys.readouterr().out.splitlines() == [
        "f =  2.50000000e+01, |grad| =  1.00000000e+01, |dx| =  nan",
        "f =  1.60000000e+01, |grad| =  8.00000000e+00, |dx| =  1.00000000e+00",
    ]


def test_pause_begins_afresh_for_each_run() -> None:
    asked: list[str] = []
    rule = d.term(out=[d.pause(read=lambda p: asked.append(p) or "")])
    for times in (4, 8):
        d.study(BOWL, Sgd(), [1, 2], [rule, stopping.steps(4)])
        assert len(asked) == times


@pytest.mark.parametrize(
    ("arguments", "labels", "message"),
    [
        (
            (d.limit_steps(3),),
            {},
            r"limit_steps has no label: write term\(in_=\[...\], out=\[...\]\)",
        ),
        ((), {"oot": []}, "no label is named 'oot'; did you mean 'out'"),
        ((), {"out": [3]}, "out: expected transforms, given 3"),
        ((), {"in_": [d.limit_steps(3)]}, "in_: limit_steps is an out transform"),
    ],
)
def test_messages(arguments: Any, labels: Any, message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        d.term(*arguments, **labels)


def test_messages_of_output() -> None:
    with pytest.raises(DescriptionError, match="the form '%d %d' has 2 fields, given 1 parts"):
        d.outputf("%d %d", "step")
    with pytest.raises(DescriptionError, match="no entry 'parms'; did you mean 'params'"):
        d.study(BOWL, Sgd(), [1], d.outputf("%s", "parms", write=lambda line: None))
    with pytest.raises(KeyError, match="no entry 'gradient'"):
        d.study(BOWL, Sgd(), [1], d.term(in_=d.stagger(), out=d.limit_gradient(1)))


def test_review_of_one_log() -> None:
    kept = d.log(BOWL, Sgd(), [1, 2], d.limit_steps(9))
    found: list[int] = []
    reason = d.review(d.term(out=[lambda r: found.append(r["step"]), d.limit_value(1.0)]), kept)
    assert reason is Reason.VALUE and found == [0, 1, 2, 3, 4]
    assert d.review(d.limit_value(-1), kept) is Reason.EXHAUSTED
    with pytest.raises(DescriptionError, match="expected at least one log"):
        d.review(d.limit_value(1))


def test_review_of_several_logs() -> None:
    logs = [d.log(BOWL, o, [1, 2], d.limit_steps(n)) for o, n in ((Sgd(), 5), (Adam(), 3))]
    found: list[Any] = []
    reason = d.review(
        d.term(in_=d.count_steps(), out=lambda r: found.append((r["step_count"], r["value"]))),
        *logs,
    )
    assert reason is Reason.EXHAUSTED
    assert found == [(k, (logs[0][k]["value"], logs[1][k]["value"])) for k in range(4)]


def test_a_term_ends_a_training_too() -> None:
    network = cortex.Network([("x", layers.Input(2)), layers.Linear(1)], seed=1)
    data = {"x": np.ones((8, 2), np.float32), "target": np.ones((8, 1), np.float32)}
    lines: list[str] = []
    rule = d.term(out=[d.outputf("%d %.2f", "step", "loss", write=lines.append), d.limit_steps(3)])
    result = cortex.fit(network, data, batch_size=4, stop=rule, epochs=50, progress=False, seed=1)
    assert result.reason is Reason.STEPS and len(lines) == 4


def test_rules_take_plain_mappings_too() -> None:
    assert d.term(out=d.limit_value(1))()({"value": 0.5}) is Reason.VALUE
    assert d.term(in_=d.count_steps())()(Record({})) is None
