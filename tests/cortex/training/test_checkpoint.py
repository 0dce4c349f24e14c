"""Checkpoints: round trips in other processes, resumed runs equal to uninterrupted ones, damage, Ctrl-C."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cortex
from cortex import layers, stopping
from cortex.compute.errors import DescriptionError
from cortex.optimise.optimisers import Adam
from cortex.training.checkpoint import CheckpointError

RNG = np.random.default_rng(7)
DATA = {"x": RNG.normal(size=(43, 2, 6, 6)).astype(np.float32), "label": RNG.integers(0, 3, 43)}


def network() -> cortex.Network:
    """A network with everything that a resume could get wrong: random masks, running statistics, several shapes."""
    return cortex.Network(
        [
            ("x", layers.Input(2, 6, 6)),
            layers.Convolution(4, 3),
            layers.BatchNormalisation(),
            layers.Relu(),
            layers.Dropout(0.3),
            layers.Linear(3),
        ],
        seed=4,
    )


OPTIONS = {"batch_size": 8, "optimiser": Adam(0.01), "seed": 9, "progress": False}


@pytest.mark.parametrize("on", ["cpu", "numpy"])
@pytest.mark.parametrize("stop_at", [1, 6, 9])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, on: str, stop_at: int) -> None:
    options = {**OPTIONS, "backend": on}
    whole = cortex.fit(network(), DATA, epochs=3, **options)
    part = cortex.fit(network(), DATA, stop=stopping.steps(stop_at), every=1, **options)
    cortex.save_checkpoint(tmp_path / "run", part.checkpoint)
    rest = cortex.fit(network(), DATA, epochs=3, resume=tmp_path / "run", **options)
    for name, array in whole.network.parameters.items():
        np.testing.assert_array_equal(array, rest.network.parameters[name], err_msg=name)
    for name, array in whole.checkpoint.state.items():
        np.testing.assert_array_equal(array, rest.checkpoint.state[name], err_msg=name)
    assert whole.checkpoint.position == rest.checkpoint.position
    assert whole.history[-1]["loss"] == rest.history[-1]["loss"]


SCRIPT = """
import sys, numpy as np, cortex
checkpoint = cortex.load_checkpoint(sys.argv[1])
np.save(sys.argv[3], cortex.predict(checkpoint.network, {"x": np.load(sys.argv[2])}, batch_size=5))
"""


def test_another_process_predicts_the_same(tmp_path: Path) -> None:
    result = cortex.fit(network(), DATA, epochs=1, checkpoint=tmp_path / "run", **OPTIONS)
    np.save(tmp_path / "x.npy", DATA["x"])
    files = [str(tmp_path / n) for n in ("run", "x.npy", "y.npy")]
    subprocess.run([sys.executable, "-c", SCRIPT, *files], check=True)
    here = cortex.predict(result.network, {"x": DATA["x"]}, batch_size=5)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), here)
    assert here.shape == (43, 3)


def test_the_directory_holds_one_checkpoint_at_a_time(tmp_path: Path) -> None:
    cortex.fit(network(), DATA, epochs=3, checkpoint=tmp_path / "run", **OPTIONS)
    names = sorted(p.name.split("-")[0] for p in (tmp_path / "run").iterdir())
    assert names == ["checkpoint.json", "state", "weights"]
    description = json.loads((tmp_path / "run" / "checkpoint.json").read_text())
    assert description["position"]["epoch"] == 3


def test_ctrl_c_leaves_a_checkpoint_from_which_the_run_goes_on(tmp_path: Path) -> None:
    whole = cortex.fit(network(), DATA, epochs=3, **OPTIONS)

    def interrupt(record: cortex.records.Record) -> None:
        if record["step"] == 7:
            raise KeyboardInterrupt

    stopped = cortex.fit(
        network(),
        DATA,
        epochs=3,
        every=1,
        observers=[interrupt],
        checkpoint=tmp_path / "run",
        **OPTIONS,
    )
    assert stopped.reason is stopping.Reason.INTERRUPTED
    assert cortex.predict(stopped.network, {"x": DATA["x"]}).shape == (43, 3)
    rest = cortex.fit(network(), DATA, epochs=3, resume=tmp_path / "run", **OPTIONS)
    for name, array in whole.network.parameters.items():
        np.testing.assert_array_equal(array, rest.network.parameters[name])


def test_a_resume_with_other_options_is_refused(tmp_path: Path) -> None:
    part = cortex.fit(network(), DATA, epochs=1, **OPTIONS)
    with pytest.raises(
        DescriptionError, match="the checkpoint was made with batch_size 8, given 9"
    ):
        cortex.fit(
            network(), DATA, epochs=3, resume=part.checkpoint, **{**OPTIONS, "batch_size": 9}
        )


def saved(tmp_path: Path) -> Path:
    part = cortex.fit(network(), DATA, epochs=1, checkpoint=tmp_path / "run", **OPTIONS)
    assert part.reason is stopping.Reason.EPOCHS
    return tmp_path / "run"


def tensors(folder: Path) -> Path:
    return next(folder.glob("weights-*.safetensors"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda d: (d / "checkpoint.json").unlink(),
            "is not a checkpoint: there is no checkpoint.json",
        ),
        (lambda d: (d / "checkpoint.json").write_text("{"), "is damaged: JSONDecodeError"),
        (lambda d: (d / "checkpoint.json").write_text("{}"), "is damaged: KeyError: 'schema'"),
        (
            lambda d: (d / "checkpoint.json").write_text('{"schema": 99}'),
            "schema 99 is not known here",
        ),
        (lambda d: tensors(d).unlink(), "the file weights-.* is missing"),
        (lambda d: flip(tensors(d)), "expected SHA-256 .*, found .*; the file is damaged"),
        (lambda d: tensors(d).write_bytes(b"short"), "expected [0-9]+ bytes, found 5"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage, message: str) -> None:
    folder = saved(tmp_path)
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        cortex.load_checkpoint(folder)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    part = cortex.fit(network(), DATA, epochs=1, **OPTIONS)
    with pytest.raises(CheckpointError, match="cannot write a checkpoint to .*file"):
        cortex.save_checkpoint(tmp_path / "file" / "run", part.checkpoint)


def test_a_description_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    description = json.loads((folder / "checkpoint.json").read_text())
    description["files"]["weights"]["name"] = "../../etc/passwd"
    (folder / "checkpoint.json").write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match="the file passwd is missing"):
        cortex.load_checkpoint(folder)
