"""Records: lazy, immutable, honest about what they have."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cortex.records import Lazy, Record, from_json, to_json


def made() -> tuple[Record, list[int]]:
    calls: list[int] = []
    return Record(
        {"step": 1, "value": Lazy(lambda: calls.append(1) or 2.5), "params": np.ones(2)}
    ), calls


def test_an_entry_is_computed_once_when_it_is_read() -> None:
    record, calls = made()
    assert not calls and not record.realised("value")
    assert record["value"] == record.value == 2.5 and calls == [1]
    assert record.realised("value") and record.realised("step")


def test_asking_whether_it_is_there_computes_nothing() -> None:
    record, calls = made()
    assert "value" in record and "loss" not in record
    assert list(record) == ["step", "value", "params"] and len(record) == 3
    assert (
        "value=" not in repr(record) and "step=1" in repr(record) and "also: value" in repr(record)
    )
    assert record.plain() == {"step": 1}
    assert not calls
    assert record.get("value") == 2.5 and record.get("loss") is None


def test_an_extended_record_leaves_the_old_one_alone() -> None:
    record, calls = made()
    more = record.extended({"seen": True})
    assert "seen" not in record and more["seen"] and not calls
    assert record["value"] == more["value"]


def test_the_nearest_name() -> None:
    record, _ = made()
    with pytest.raises(KeyError, match="no entry 'valu'; did you mean 'value'"):
        record["valu"]
    with pytest.raises(AttributeError, match="did you mean 'params'"):
        _ = record.param
    with pytest.raises(AttributeError):
        _ = record._private


def test_records_cannot_be_written_to() -> None:
    record, _ = made()
    with pytest.raises(TypeError):
        record["step"] = 2  # type: ignore[index]


def test_json() -> None:
    entry = [[1.0, math.nan], [math.inf, -math.inf]]
    stored = to_json(np.array(entry))
    assert stored == [[1.0, "NaN"], ["Infinity", "-Infinity"]]
    np.testing.assert_array_equal(from_json(stored), entry)
    assert to_json(np.float64(2)) == 2.0 and from_json("word") == "word" and from_json(None) is None
    assert from_json([1, 2]).dtype.kind == "i"
