"""Measuring: turns, medians, percentiles, and no time before the mathematics agrees."""

from __future__ import annotations

import time
from typing import Any

import pytest


@pytest.fixture
def harness() -> Any:
    import harness

    return harness


def spin(seconds: float) -> Any:
    def run(count: int) -> None:
        end = time.perf_counter() + count * seconds
        while time.perf_counter() < end:
            pass

    return run


def test_contenders_take_turns_there_and_back(harness: Any) -> None:
    order: list[int] = []

    def block(i: int) -> list[float]:
        order.append(i)
        return [float(i), 0.5]

    found = harness.in_turns(3, 3, block)
    assert order == [0, 1, 2, 2, 1, 0, 0, 1, 2]
    assert found == [[i, 0.5] * 3 for i in (0.0, 1.0, 2.0)]


def test_a_block_counts_in_the_best_state_of_the_machine(harness: Any, monkeypatch: Any) -> None:
    """Where the rate has fallen, or a line takes long, before it or after it, it is measured again."""
    monkeypatch.setattr(harness, "REST", 0)
    states = iter([(100, 8), (98, 9), (99, 8), (50, 8), (90, 30), (100, 8), (97, 8), (99, 9)])
    done = []

    def block(i: int) -> list[float]:
        done.append(i)
        return [len(done)]

    again, left_out = harness.in_the_best_state(block, lambda: next(states))
    assert [again(0), again(1)] == [[1], [4]]
    assert done == [0, 1, 1, 1] and left_out == [1, 1]


def test_patience_has_an_end(harness: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(harness, "REST", 0)
    states = iter([(100, 8), *[(50, 8)] * 10_000])
    again, left_out = harness.in_the_best_state(lambda i: [7.0], lambda: next(states))
    assert again(3) == again(2) == [7.0] and left_out == [3] * harness.PATIENCE


def test_a_block_is_divided_by_what_it_did(harness: Any) -> None:
    settings = harness.Settings(rounds=3, block=0.01)
    made = [harness.Contender(name, spin(s)) for name, s in (("a", 0.0002), ("b", 0.002))]
    table = harness.compare("spin", made, settings, unit="turn", goal=2, bound=1e-4)
    assert [r.name for r in table.rows] == ["a", "b"]
    assert table.clock == "wall" and table.goal == 2 and table.bound == 1e-4
    for row, seconds in zip(table.rows, (0.0002, 0.002), strict=True):
        assert row.least <= row.median <= row.most
        assert row.least >= seconds  # a process that is interrupted takes longer, never less


def test_single_calls_keep_the_tail(harness: Any) -> None:
    calls = 0

    def uneven(count: int) -> None:
        nonlocal calls
        for _ in range(count):
            calls += 1
            spin(0.004 if calls % 20 == 0 else 0.0002)(1)

    settings = harness.Settings(rounds=3, block=0.05)
    (row,) = harness.compare("", [harness.Contender("a", uneven)], settings, calls=True).rows
    assert row.least >= 0.0002
    assert row.tail >= 0.004, "one call in twenty is slow"
    assert row.least <= row.median <= row.tail <= row.most


def losses(*numbers: float) -> Any:
    return lambda: numbers


def test_other_mathematics_gets_no_time(harness: Any) -> None:
    right = harness.Contender("a", spin(1e-5), losses(2.3, 2.2, 2.1, 2.0, 1.9))
    close = harness.Contender("b", spin(1e-5), losses(2.3, 2.2, 2.1, 2.0, 1.9001))
    silent = harness.Contender("c", spin(1e-5))
    note = harness.agree([right, close, silent])
    assert note == ("Losses over five steps from common weights agree to 4e-05 (not compared: c).")
    assert harness.agree([right, silent]) == ""
    wrong = harness.Contender("d", spin(1e-5), losses(2.3, 2.2, 2.1, 2.0, 1.95))
    with pytest.raises(SystemExit, match="d does not compute what a does: .*; no times"):
        harness.compare("losses", [right, wrong], harness.Settings())
    fewer = harness.Contender("e", spin(1e-5), losses(2.3))
    with pytest.raises(SystemExit, match="e does not compute what a does"):
        harness.agree([right, fewer])


def test_a_loss_that_is_no_number_gets_no_time(harness: Any) -> None:
    nan = float("nan")
    pair = [harness.Contender(n, spin(1e-5), losses(x, 1)) for n, x in (("a", 1.0), ("b", nan))]
    with pytest.raises(SystemExit, match="b does not compute"):
        harness.agree(pair)


def test_one_core_counts_the_seconds_of_this_process(harness: Any) -> None:
    settings = harness.Settings(wall=False)
    begin = settings.clock()
    time.sleep(0.05)
    assert settings.clock() - begin < 0.04
    assert (settings.clock_name, settings.cores) == ("CPU of one core", "one core")
    assert harness.quick(settings).rounds < settings.rounds


def test_a_system_that_cannot_pin_says_so(harness: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(harness.os, "sched_setaffinity", raising=False)
    with pytest.raises(SystemExit, match="this system cannot pin a process; measure on Linux"):
        harness.one_core()
