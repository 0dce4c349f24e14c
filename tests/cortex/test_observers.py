"""Observers: what they keep, print and write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cortex import observers
from cortex.records import Lazy, Record


def test_every_and_epoch_ends() -> None:
    seen: list[int] = []
    watch = observers.every(3, lambda r: seen.append(r["step"]))
    for k in range(8):
        watch({"step": k})
    assert seen == [0, 3, 6]
    ends: list[int] = []
    watch = observers.at_epoch_ends(lambda r: ends.append(r["step"]))
    for k in range(6):
        watch({"step": k, "epoch_complete": k % 2 == 1})
    assert ends == [1, 3, 5]


def test_printed() -> None:
    lines: list[str] = []
    observers.printed(["step", "value", "loss"], lines.append)({"step": 2, "value": 1 / 3})
    assert lines == ["step 2  value 0.333333"]


def record(calls: list[str]) -> Record:
    return Record(
        {
            "step": 1,
            "value": Lazy(lambda: calls.append("value") or 2.0),
            "params": Lazy(lambda: calls.append("params") or np.array([1.0, np.nan])),
        }
    )


def test_history_computes_only_what_it_is_asked_for() -> None:
    calls: list[str] = []
    plain, with_value = observers.History(), observers.History(["value", "loss"])
    one = record(calls)
    plain(one)
    assert plain.rows == [{"step": 1}] and not calls
    with_value(one)
    assert with_value.rows == [{"step": 1, "value": 2.0}] and calls == ["value"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_log_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "deep" / f"log{suffix}"
    log = observers.LogFile(path, ["value", "params"])
    log(record([]))
    log({"step": 2, "more": 1.5})
    log.close()
    log.close()
    lines = path.read_text().splitlines()
    if suffix == ".csv":
        assert lines == ["step,value,more", "1,2.0,", "2,,1.5"]
    else:
        assert [json.loads(line) for line in lines] == [
            {"step": 1, "value": 2.0, "params": [1.0, "NaN"]}, {"step": 2, "more": 1.5},
        ]  # fmt: skip


def test_log_file_endings() -> None:
    with pytest.raises(ValueError, match="ends in .csv or .jsonl, given 'log.txt'"):
        observers.LogFile("log.txt")


def test_epoch_line() -> None:
    line = observers.epoch_line(
        {"epoch": 2, "loss": 0.5, "test_accuracy": 0.75, "epoch_seconds": 1.25}, 5
    )
    assert line == "epoch 2/5  loss 0.5000  test accuracy 0.7500  1.2 s"
