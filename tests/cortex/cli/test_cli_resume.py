"""Ctrl-C leaves a run that goes on as if nothing had happened."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cortex
from cortex.cli.folder import RunFolder
from cortex.compute.errors import DescriptionError
from cortex.datasets import iris
from cortex.layers import Input, Linear, Softmax
from cortex.optimise import Adam
from cortex.training.loop import prepare

SETTINGS = ("--model", "mlp", "--limit", "1500", "--epochs", "30", "--seed", "3", "--quiet")


def interrupt(cli: Any, folder: Path, out: str, rows: int) -> subprocess.CompletedProcess[str]:
    """Train, and press Ctrl-C once the log has so many rows."""
    arguments = cli.command("train", "mnist", *SETTINGS, "--out", out)
    process = subprocess.Popen(
        arguments, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    log, limit = folder / out / "log.jsonl", time.monotonic() + 60
    while not (log.is_file() and log.read_bytes().count(b"\n") >= rows):
        assert process.poll() is None and time.monotonic() < limit, process.communicate()
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


def weights(run: Path) -> dict[str, np.ndarray]:
    return cortex.load_checkpoint(run / "checkpoint").network.parameters


def state(run: Path) -> dict[str, np.ndarray]:
    return dict(cortex.load_checkpoint(run / "checkpoint").state)


def test_an_interrupted_run_that_goes_on_equals_an_uninterrupted_one(
    cli: Any, tmp_path: Path
) -> None:
    assert cli(tmp_path, "train", "mnist", *SETTINGS, "--out", "whole").returncode == 0
    stopped = interrupt(cli, tmp_path, "stopped", 40)
    assert stopped.returncode == 130, stopped.stderr
    assert "go on with: cortex train --resume stopped" in stopped.stderr
    kept = cortex.load_checkpoint(tmp_path / "stopped" / "checkpoint")
    assert 0 < kept.position["step"] < 30 * 24, "it was stopped in the middle"

    done = cli(tmp_path, "train", "--resume", "stopped", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    whole, resumed = tmp_path / "whole", tmp_path / "stopped"
    for found in (weights, state):
        expected, given = found(whole), found(resumed)
        assert expected.keys() == given.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(given[name], array, err_msg=name)
    one, other = (json.loads((r / "results.json").read_text()) for r in (whole, resumed))
    for key in ("test_accuracy", "test_loss", "loss", "epochs", "steps", "best_epoch"):
        assert one[key] == other[key], key


def test_a_finished_run_goes_on_for_more_epochs(cli: Any, tmp_path: Path) -> None:
    common = (
        "--model",
        "softmax_regression",
        "--limit",
        "300",
        "--quiet",
        "--schedule",
        "constant",
    )
    for out, epochs in (("long", "3"), ("short", "1")):
        assert (
            cli(tmp_path, "train", "mnist", *common, "--epochs", epochs, "--out", out).returncode
            == 0
        )
    assert cli(tmp_path, "train", "--resume", "short", "--epochs", "3", "--quiet").returncode == 0
    for name, array in weights(tmp_path / "long").items():
        np.testing.assert_array_equal(weights(tmp_path / "short")[name], array)
    logs = [(tmp_path / r / "log.jsonl").read_text().splitlines() for r in ("long", "short")]
    steps = [[json.loads(line)["step"] for line in log] for log in logs]
    assert steps[0] == steps[1], "the log goes on too"
    assert json.loads((tmp_path / "short" / "config.json").read_text())["epochs"] == 3


def test_a_run_goes_on_from_the_very_end_of_an_epoch() -> None:
    """Interrupted after the last step of an epoch, before its test: no step is left to do."""
    data = iris()
    network = cortex.Network([("features", Input(4)), Linear(3), Softmax()])
    settings = {"test": data, "epochs": 2, "batch_size": 50, "seed": 1, "optimiser": Adam(0.01)}
    whole = cortex.fit(network, data, progress=False, **settings)
    run = prepare(network, data, **settings)
    for size, batch in run.session.batches(run.examples):
        run.session.train_on(size, batch)
    resumed = cortex.fit(network, data, resume=run.checkpoint(), progress=False, **settings)
    for name, array in whole.network.parameters.items():
        np.testing.assert_array_equal(resumed.network.parameters[name], array)
    assert [r["loss"] for r in resumed.history] == [r["loss"] for r in whole.history]


# the folder of a run


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b" / "run"
    with pytest.raises(RuntimeError), RunFolder(place) as folder:
        folder.write_json("config.json", {})
        assert (place / "config.json").is_file()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_what_was_there_and_what_others_made(tmp_path: Path) -> None:
    place = tmp_path / "runs" / "one"
    with pytest.raises(RuntimeError), RunFolder(place) as folder:
        folder.write_json("config.json", {})
        (tmp_path / "runs" / "two").mkdir()
        raise RuntimeError
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["two"]


def test_an_error_after_a_checkpoint_keeps_the_run(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), RunFolder(tmp_path / "run") as folder:
        folder.write_json("config.json", {})
        network = cortex.Network([Input(2), Linear(1)])
        cortex.save_checkpoint(folder.path / "checkpoint", cortex.training.Checkpoint(network))
        raise RuntimeError
    assert (tmp_path / "run" / "config.json").is_file()


def test_overwriting_removes_the_old_run_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    for name in ("config.json", "results.json", "best/checkpoint.json", "notes.txt"):
        (tmp_path / name).write_text("old")
    with pytest.raises(DescriptionError, match="there is a run in it already"):
        RunFolder(tmp_path)
    with pytest.raises(RuntimeError), RunFolder(tmp_path, overwrite=True) as folder:
        folder.write_json("config.json", {"new": True})
        raise RuntimeError
    assert (tmp_path / "config.json").read_text() == "old", "a run that fails replaces nothing"
    assert (tmp_path / "best" / "checkpoint.json").read_text() == "old"
    with RunFolder(tmp_path, overwrite=True) as folder:
        folder.write_json("config.json", {"new": True})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "notes.txt"]
