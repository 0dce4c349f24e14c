"""The command line: runs, results, predictions, help; each in a process of its own."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cortex
from cortex.datasets import from_npz


@pytest.fixture(scope="module")
def run(cli: Any, folder: Path) -> Path:
    """A finished run of the network in good.json."""
    done = cli(folder, "train", "good.json", "--out", "run", "--json", "--seed", "3")
    assert done.returncode == 0, done.stderr
    (folder / "said.json").write_text(done.stdout)
    (folder / "said.txt").write_text(done.stderr)
    return folder / "run"


def test_results_are_one_line_of_json(cli: Any, run: Path) -> None:
    text = (run.parent / "said.json").read_text()
    found = cli.last_json(text)
    assert len(text.splitlines()) == 1
    wanted = ("test_accuracy", "epochs", "seconds", "samples_per_second", "backend", "engine")
    assert set(wanted) <= set(found)
    assert found == json.loads((run / "results.json").read_text())
    assert found["epochs"] == 2 and found["steps"] == 10 and found["parameters"] == 15
    assert found["backend"] in ("cpu", "numpy") and found["engine"]
    assert found["complete"] is True


def test_the_accuracy_is_that_of_the_checkpoint(run: Path, folder: Path) -> None:
    found = json.loads((run / "results.json").read_text())
    network = cortex.load_checkpoint(run / "checkpoint").network
    data = from_npz(folder / "good.npz")
    guess = cortex.predict(network, data["features"]).argmax(1)
    assert found["test_accuracy"] == pytest.approx(float((guess == data["label"]).mean()))


def test_the_run_says_one_line_per_epoch_and_a_table(run: Path) -> None:
    text = (run.parent / "said.txt").read_text()
    assert "epoch 1/2  loss" in text and "epoch 2/2  loss" in text
    for row in (
        "epochs",
        "test accuracy",
        "samples per second",
        "engine",
        "parameters",
        "peak memory",
    ):
        assert row in text


def test_a_run_keeps_everything(run: Path) -> None:
    names = {p.name for p in run.iterdir()}
    kept = {"config.json", "log.csv", "log.jsonl", "checkpoint", "best", "results.json"}
    assert kept <= names <= kept | {"curves.png"}
    with open(run / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert len(rows) == len(lines) == 10
    assert [int(r["step"]) for r in rows] == [line["step"] for line in lines] == list(range(1, 11))


def test_curves_are_drawn_where_matplotlib_is(run: Path) -> None:
    pytest.importorskip("matplotlib")
    assert (run / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_the_config_of_a_run_is_a_config(cli: Any, run: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    done = cli(folder, "train", "run/config.json", "--out", str(out), "--quiet")
    assert done.returncode == 0 and done.stdout == "" and done.stderr == ""
    first, second = (cortex.load_checkpoint(r / "checkpoint").network for r in (run, out))
    assert first == second
    for name, array in first.parameters.items():
        np.testing.assert_array_equal(array, second.parameters[name])


def test_best_is_the_best_epoch(cli: Any, folder: Path, tmp_path: Path) -> None:
    """With a step size far too large, later epochs are worse than an earlier one."""
    done = cli(
        folder, "train", "good.json", "--out", str(tmp_path / "r"), "--epochs", "6", "--step-size", "3",
        "--quiet", "--json",
    )  # fmt: skip
    found = cli.last_json(done.stdout)
    lines = [json.loads(x) for x in (tmp_path / "r" / "log.jsonl").read_text().splitlines()]
    tested = [x["test_accuracy"] for x in lines if x["epoch_complete"]]
    assert found["best_test_accuracy"] == max(tested)
    best = cortex.load_checkpoint(tmp_path / "r" / "best")
    assert best.position["epoch"] == found["best_epoch"] == tested.index(max(tested)) + 1


def test_predict_gives_one_row_per_input(cli: Any, run: Path, folder: Path, tmp_path: Path) -> None:
    npy, text = tmp_path / "p.npy", tmp_path / "p.csv"
    common = ("predict", "run", "seventeen.npz", "--batch-size", "5", "--quiet", "--json", "--out")
    found = cli.last_json(cli(folder, *common, str(npy)).stdout)
    assert cli(folder, *common, str(text)).returncode == 0
    answers, data = np.load(npy), from_npz(folder / "seventeen.npz")
    assert answers.shape == (17, 3) and found["predictions"] == 17
    network = cortex.load_checkpoint(run / "best").network
    np.testing.assert_allclose(answers, cortex.predict(network, data["features"]), rtol=1e-6)
    assert found["accuracy"] == pytest.approx(float((answers.argmax(1) == data["label"]).mean()))
    with open(text, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 17
    assert [int(r["argmax"]) for r in rows] == answers.argmax(1).tolist()
    values = np.array([[float(r[f"y{k}"]) for k in range(3)] for r in rows], np.float32)
    np.testing.assert_array_equal(values, answers)


def test_predict_needs_no_labels_and_no_name(
    cli: Any, run: Path, folder: Path, tmp_path: Path
) -> None:
    done = cli(
        folder, "predict", "run/checkpoint", "other_name.npz", "--out", str(tmp_path / "p.npy")
    )
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "p.npy").shape == (40, 3)
    assert "accuracy" not in done.stdout


def test_missing_targets_are_remarked(cli: Any, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    done = cli(
        folder, "train", "regression.json", "--data", "holes.npz", "--out", str(out), "--json"
    )
    assert done.returncode == 0, done.stderr
    assert (
        "column 'y': 3 NaN, 0 infinite, first in row 0: counted as missing targets" in done.stderr
    )
    found = cli.last_json(done.stdout)
    assert found["test_accuracy"] is None and found["loss"] > 0
    found = cli.last_json(
        cli(
            folder, "predict", str(out), "target.npz", "--json", "--out", str(tmp_path / "p.npy")
        ).stdout
    )
    assert found["mean_squared_error"] > 0 and found["shape"] == {"linear1": [40, 1]}


def test_a_missed_target_is_exit_code_1(cli: Any, folder: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "r")
    done = cli(
        folder,
        "train",
        "good.json",
        "--out",
        out,
        "--epochs",
        "1",
        "--target-accuracy",
        "1",
        "--quiet",
    )
    assert done.returncode == 1
    assert "the target of 100.00 % was missed" in done.stderr
    done = cli(
        folder,
        "train",
        "good.json",
        "--out",
        out,
        "--overwrite",
        "--target-accuracy",
        "0.01",
        "--json",
    )
    assert done.returncode == 0
    assert cli.last_json(done.stdout)["epochs"] == 1, "it stops when the target is reached"


def test_a_loss_that_is_not_finite_is_exit_code_1(cli: Any, folder: Path, tmp_path: Path) -> None:
    done = cli(
        folder, "train", "regression.json", "--data", "target.npz", "--out", str(tmp_path / "r"), "--quiet",
        "--optimiser", "sgd", "--step-size", "1e4", "--epochs", "60",
    )  # fmt: skip
    assert done.returncode == 1
    assert "the loss is no longer finite; try a smaller --step-size" in done.stderr
    saved = cortex.load_checkpoint(tmp_path / "r" / "checkpoint").network
    assert all(np.isfinite(a).all() for a in saved.parameters.values()), (
        "the last sound epoch is kept"
    )


def test_mnist_trains(cli: Any, tmp_path: Path) -> None:
    done = cli(
        tmp_path, "train", "mnist", "--model", "mlp", "--limit", "1000", "--epochs", "3", "--json", "--optimizer",
        "rmsprop", "--threads", "1", "--batch-size", "32",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = cli.last_json(done.stdout)
    assert (
        found["test_accuracy"] > 0.75
        and found["training_examples"] == found["test_examples"] == 1000
    )
    assert found["optimiser"] == "RmsProp" and found["batch_size"] == 32 and found["threads"] == 1
    assert (tmp_path / found["run"]).parent.name == "runs", "the default place"


def test_the_scale_of_the_loss_and_what_it_left_out(cli: Any, folder: Path, tmp_path: Path) -> None:
    """In config, log, results, table and lines of epochs."""
    place = tmp_path / "run"
    options = ("--epochs", "1", "--batch-size", "20", "--json", "--backend", "cpu")
    done = cli(
        folder, "train", "good.json", "--out", str(place), "--loss-scale", "dynamic", *options
    )
    found = cli.last_json(done.stdout)
    assert done.returncode == 0 and (found["loss_scale"], found["skipped_steps"]) == (65536, 0)
    assert "65536 (0 steps skipped)" in done.stderr
    assert json.loads((place / "config.json").read_text())["loss_scale"] == "dynamic"
    row = json.loads((place / "log.jsonl").read_text().splitlines()[-1])
    assert (row["loss_scale"], row["skipped_steps"]) == (65536, 0)
    more = cli(folder, "train", "--resume", str(place), "--epochs", "2", "--json")
    assert cli.last_json(more.stdout)["loss_scale"] == 65536
    other = cli(folder, "train", "--resume", str(place), "--epochs", "3", "--loss-scale", "8")
    assert other.returncode == 2 and "--loss-scale cannot change" in other.stderr
    fixed = cli(
        folder, "train", "good.json", "--out", str(tmp_path / "b"), "--loss-scale", "8", *options
    )
    assert cli.last_json(fixed.stdout)["loss_scale"] == 8
    plain = cli(folder, "train", "good.json", "--out", str(tmp_path / "c"), *options)
    assert "loss_scale" not in cli.last_json(plain.stdout)


def test_verify_prints_what_it_found(cli: Any, tmp_path: Path) -> None:
    done = cli(tmp_path, "verify", "--backend", "numpy", "--quick", "--filter", "memory", "--json")
    found = cli.last_json(done.stdout)
    assert done.returncode == 0
    assert found["passed"] > 3 and found["failed"] == 0 and found["backend"] == "numpy"


def test_options_of_a_backend_are_kept(cli: Any, folder: Path, tmp_path: Path) -> None:
    """In results, log and checkpoint of a run, and in what `verify` says; `info` lists them."""
    place, exact = str(tmp_path / "run"), ("--backend", "cpu:exact=true")
    done = cli(folder, "train", "good.json", "--out", place, "--epochs", "1", "--json", *exact)
    assert done.returncode == 0 and "backend cpu:exact, engine native" in done.stderr, done.stderr
    assert cli.last_json(done.stdout)["backend"] == "cpu:exact"
    (row,) = map(json.loads, (tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1:])
    assert row["backend"] == "cpu:exact"
    options = cortex.load_checkpoint(tmp_path / "run" / "checkpoint").options
    assert options["backend"] == "cpu:exact"
    assert (
        cli(folder, "predict", place, "good.npz", *exact, "--out", place + "/p.npy").returncode == 0
    )
    done = cli(tmp_path, "verify", *exact, "--quick", "--filter", "report", "--json")
    found = cli.last_json(done.stdout)
    assert done.returncode == 0 and found["backend"] == "cpu:exact" and found["passed"] > 0
    text = cli(tmp_path, "info").stdout
    assert "cpu:exact=false  " in text and "no Winograd" in text


def test_verify_fails_for_a_wrong_backend(cli: Any, tmp_path: Path) -> None:
    """A backend that adds a thousandth to every result is found out, with exit code 1 and a table."""
    code = """
from cortex.compute.numpy_backend import NumpyBackend
from cortex.compute import registry
class Wrong(NumpyBackend):
    name = "wrong"
    def compile(self, program, memory=None):
        made = super().compile(program, memory)
        read = made.read
        made.read = lambda name: read(name) + 1e-3 if read(name).dtype.kind == "f" else read(name)
        return made
registry.BUILT_IN["wrong"] = "__main__:Wrong"
from cortex.cli.app import app
app(["verify", "--backend", "wrong", "--quick", "--filter", "golden"])
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1, done.stderr
    assert "failed" in done.stdout and "why" in done.stdout


def test_info_is_json_too(cli: Any, tmp_path: Path) -> None:
    found = cli.last_json(cli(tmp_path, "info", "--json").stdout)
    assert {b["name"] for b in found["backends"]} >= {"cpu", "numpy"}
    (exact,) = next(b for b in found["backends"] if b["name"] == "cpu")["options"]
    assert exact["name"] == "exact" and exact["default"] is False and "Winograd" in exact["meaning"]
    text = cli(tmp_path, "info").stdout
    for word in ("backends", "engine", "threads", "instruction sets", "NumPy's BLAS", "versions"):
        assert word in text


@pytest.mark.parametrize("command", [(), ("train",), ("predict",), ("verify",), ("info",)])
def test_help_loads_nothing_but_typer(cli: Any, tmp_path: Path, command: tuple[str, ...]) -> None:
    words = [sys.executable, "-P", "-X", "importtime", *cli.command(*command, "--help")[2:]]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "Usage: cortex" in done.stdout
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "typer" in loaded
    assert not loaded & {"numpy", "numba", "rich", "matplotlib", "h5py"}


def test_the_command_is_installed_and_callable_as_a_module(cli: Any, tmp_path: Path) -> None:
    done = subprocess.run(cli.command("--version"), capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == cortex.__version__ and done.returncode == 0


def test_without_a_command_there_is_help(cli: Any, tmp_path: Path) -> None:
    done = cli(tmp_path)
    assert "Commands:" in done.stdout + done.stderr
