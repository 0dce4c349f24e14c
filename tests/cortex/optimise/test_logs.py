"""Logs survive every format, those of training too; the original's text files."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

import cortex
from cortex import layers, stopping
from cortex.compute.errors import DescriptionError
from cortex.observers import LogFile
from cortex.optimise import Adam, LBfgs, Sgd, functions, logs
from cortex.optimise import descent as d
from cortex.stopping import Reason

FORMATS = [".jsonl", ".npz", ".parquet"]


@pytest.fixture(autouse=True)
def _(request: pytest.FixtureRequest) -> None:
    if ".parquet" in request.node.name:
        pytest.importorskip("pyarrow")


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, with equal keys; a NaN equals a NaN."""
    return len(a) == len(b) and all(
        set(x) == set(y)
        and all(
            np.array_equal(x[k], y[k], equal_nan=isinstance(x[k], (float, np.ndarray))) for k in x
        )
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_descent_survives(tmp_path: Path, suffix: str) -> None:
    kept = d.log(functions.rosenbrock, Adam(), [-1.2, 1.0, 0.3], d.limit_steps(7))
    logs.save(kept, tmp_path / f"log{suffix}")
    back = logs.load(tmp_path / f"log{suffix}")
    assert back.reason is Reason.STEPS and len(back) == 8
    names = {"params", "value", "gradient", "step", "first_moment", "second_moment", "num_steps"}
    assert names | {"initial_step", "evaluations"} == set(back[0])
    assert names | {"initial_step", "evaluations", "last_step"} == set(back[3])
    for a, b in zip(kept, back, strict=True):
        for key in set(b) - {"reason"}:
            np.testing.assert_array_equal(a[key], b[key])
            assert isinstance(b[key], type(a[key])) or np.ndim(a[key]) == 0
    assert back[0]["initial_step"] is True and back[1]["step"] == 1
    np.testing.assert_array_equal(back.column("gradient"), kept.column("gradient"))


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
VECTORS = hn.arrays(np.float64, 3, elements=NUMBERS)


@pytest.mark.parametrize("suffix", FORMATS)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"params": VECTORS, "value": NUMBERS, "step": st.integers(-(2**53), 2**53)},
            optional={"last_step": VECTORS, "word": st.sampled_from(["a", "b c", "ü"])},
        ),
        min_size=1,
        max_size=5,
    )
)  # fmt: skip
def test_any_numbers_survive(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, rows: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    logs.save(rows, path)
    assert same(logs.load(path), rows)


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_no_data_is_left_out(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log{suffix}"
    logs.save(
        [{"step": 1, "optimiser": Adam(), "history": [np.ones(2)], "count": np.float64(3)}], path
    )
    assert dict(logs.load(path)[0]) == {"step": 1, "count": 3.0}


@pytest.mark.parametrize("suffix", FORMATS)
def test_entries_that_grow_survive(tmp_path: Path, suffix: str) -> None:
    kept = d.log(functions.rosenbrock, LBfgs(3), [-1.2, 1.0], d.limit_steps(5))
    logs.save(kept, tmp_path / f"log{suffix}")
    back = logs.load(tmp_path / f"log{suffix}")
    for a, b in zip(kept, back, strict=True):
        if suffix == ".npz" or len(a["moves"]):
            np.testing.assert_array_equal(
                a["moves"], np.array(b["moves"].tolist()).reshape(a["moves"].shape)
            )


def training() -> tuple[Any, Any]:
    network = cortex.Network([("x", layers.Input(2)), layers.Linear(2)], seed=1)
    generator = np.random.default_rng(0)
    data = {
        "x": generator.standard_normal((12, 2)).astype(np.float32),
        "target": generator.integers(0, 2, 12),
    }
    return network, data


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_training_history_opens_with_the_same_functions(tmp_path: Path, suffix: str) -> None:
    network, data = training()
    result = cortex.fit(network, data, epochs=3, batch_size=5, test=data, progress=False)
    path = tmp_path / f"log{suffix}"
    logs.save(result.history, path)
    assert same(logs.load(path), result.history)
    found: list[float] = []
    d.review(d.term(out=lambda r: found.append(r["loss"])), logs.load(path))
    assert found == [row["loss"] for row in result.history]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_log_files_of_training_and_of_descents_open_too(tmp_path: Path, suffix: str) -> None:
    network, data = training()
    path, other = tmp_path / f"training{suffix}", tmp_path / f"descent{suffix}"
    result = cortex.fit(
        network, data, epochs=2, batch_size=5, progress=False, observers=[LogFile(path)]
    )
    rows = logs.load(path)
    assert rows[-1]["loss"] == result.history[-1]["loss"] and rows[-1]["epoch_complete"] is True
    keys = ["value", "params"]
    d.study(functions.de_jong, Sgd(), [1, 2], stopping.steps(3), observers=[LogFile(other, keys)])
    back = logs.load(other)
    np.testing.assert_allclose(back.column("value"), [5 * 0.64**k for k in range(4)], rtol=1e-14)
    assert ("params" in back[0]) == (suffix == ".jsonl")


def test_a_diverged_log_file_is_valid_json(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log.jsonl")
    log({"loss": math.nan, "best": -math.inf})
    log.close()
    row = json.loads((tmp_path / "log.jsonl").read_text(), parse_constant=lambda c: pytest.fail(c))
    assert row == {"loss": "NaN", "best": "-Infinity"}
    back = logs.load(tmp_path / "log.jsonl")[0]
    assert math.isnan(back["loss"]) and back["best"] == -math.inf


def test_export_writes_the_originals_text(tmp_path: Path) -> None:
    kept = d.log(functions.cross_paraboloid, Sgd(), [1, 2, 3], d.limit_steps(1))
    first = logs.export(kept, "three numbers", tmp_path)
    second = logs.export(kept, "again", tmp_path)
    assert [p.name for p in (*first, *second)] == [
        "opt1-param.txt",
        "opt1-grad.txt",
        "opt2-param.txt",
        "opt2-grad.txt",
    ]
    lines = first[0].read_text().splitlines()
    assert lines[0] == "three numbers" and lines[1] == "1.0,2.0,3.0" and len(lines) == 3
    assert [float(v) for v in lines[2].split(",")] == kept[1]["params"].tolist()
    assert first[1].read_text().splitlines()[1] == "14.0,16.0,18.0"


def test_a_log_is_a_sequence() -> None:
    kept = d.log(functions.de_jong, Sgd(), [1, 2], d.limit_steps(4))
    assert len(kept[1:3]) == 2 and kept[-1]["step"] == 4 and kept[1:].reason is Reason.STEPS
    assert repr(kept) == "Log(5 records: The number of steps is reached.)"
    with pytest.raises(
        DescriptionError, match="no record has the entry 'valu'; did you mean 'value'"
    ):
        kept.column("valu")


def test_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DescriptionError, match="ends in .jsonl, .npz, .parquet, given 'log.txt'"):
        logs.save([], tmp_path / "log.txt")
    with pytest.raises(DescriptionError, match="cannot read .*none.npz"):
        logs.load(tmp_path / "none.npz")
    with pytest.raises(DescriptionError, match="cannot write"):
        logs.save([], tmp_path / "no" / "log.jsonl")
    (tmp_path / "bad.jsonl").write_text("[1]\n")
    with pytest.raises(
        DescriptionError, match="bad.jsonl is no log of records: every line must be"
    ):
        logs.load(tmp_path / "bad.jsonl")
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(DescriptionError, match="bad.npz is no log of records"):
        logs.load(tmp_path / "bad.npz")
    with pytest.raises(
        DescriptionError,
        match=r"'params' has the shapes \[\(1,\), \(1, 2\)\]; .npz needs one number",
    ):
        logs.save([{"params": np.ones(1)}, {"params": np.ones((1, 2))}], tmp_path / "log.npz")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(logs.MissingLibrary, match="needs pyarrow.*or use .npz"):
        logs.load(tmp_path / "log.parquet")
