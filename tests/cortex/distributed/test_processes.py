"""Real processes, started by mpiexec, on a small network: what they compute, and how they end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi import LIMIT, command, environment, needs_mpi, run

pytestmark = needs_mpi
SCRIPT = Path(__file__).with_name("script.py")


def answers(processes: int, folder: Path, *tasks: str) -> list[dict[str, Any]]:
    """What the tasks of the script return, in each process."""
    result = run(processes, SCRIPT, folder, *tasks, folder=folder)
    assert result.returncode == 0, result.stderr
    return [json.loads((folder / f"{k}.json").read_text()) for k in range(processes)]


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_agree_with_one_alone(processes: int, tmp_path: Path) -> None:
    """Batches of 64 and 22, and shares of no row at all; with dropout and normalisation."""
    for rank, answer in enumerate(answers(processes, tmp_path, "agree")):
        found = answer["agree"]
        assert found["threads"] == max(1, len(os.sched_getaffinity(0)) // processes)
        assert max(found["evaluate"]) < 1e-6
        for count in (150, 65, 2):
            one = found[str(count)]
            assert one["difference"] < 1e-6 and one["loss"] < 1e-6 and one["position"]
            assert abs(one["test"][0] - one["test"][1]) < 1e-6
            assert one["accuracy"][0] == one["accuracy"][1]
            arrays, first = (np.load(tmp_path / f"{count}-{k}.npz") for k in (rank, 0))
            assert all(np.array_equal(arrays[n], first[n]) for n in first), f"process {rank}"


def test_an_overflow_in_one_process_is_one_in_all(tmp_path: Path) -> None:
    """All leave out the same steps, and come to the same scale and the same bits."""
    for rank, answer in enumerate(answers(2, tmp_path, "scaled")):
        found = answer["scaled"]
        assert found["skipped"] == [6, 6] and found["scale"][0] == found["scale"][1] != 64
        assert found["difference"] < 1e-6 and found["loss"] < 1e-6 and found["reason"] == "EPOCHS"
        arrays, first = (np.load(tmp_path / f"scaled-{k}.npz") for k in (rank, 0))
        assert "scaling.scale" in first
        assert all(np.array_equal(arrays[n], first[n]) for n in first), f"process {rank}"


@pytest.mark.parametrize(
    ("task", "message", "code"),
    [
        ("fail", "cortex: process 1 of 2 failed, all end: ZeroDivisionError: a fault in a rule", 1),
        ("fail_outside", "cortex: process 1 of 2 failed, all end", 1),
        ("interrupt", "cortex: process 1 of 2 was interrupted, all end", 130),
    ],
)
def test_where_one_ends_all_end(task: str, message: str, code: int, tmp_path: Path) -> None:
    result = run(2, SCRIPT, tmp_path, task, folder=tmp_path)
    assert message in result.stderr.splitlines()
    assert result.returncode == code
    assert ("Traceback" in result.stderr) == (task != "interrupt")


TOLD = {
    "cannot_begin": "not all of 2 processes could begin: process 1: DescriptionError: train: the data set is "
    "empty; training needs at least one example",
    "differ": "train: all processes must do the same, but batch_size is 64 in process 0 and 32 in process 1",
    "other_program": "the compiled program: all processes must do the same, but number of sums is 7 in "
    "process 0 and 11 in process 1",
    "drift": "parameters.0 of process 1 is no longer that of process 0: the processes did not do the same; "
    "check that all have the same data and options",
}


def test_two_processes_that_live_on(tmp_path: Path) -> None:
    """What is wrong is said in both in the same words; process 0 leads."""
    one, two = answers(2, tmp_path, *TOLD, "first_weights", "stop", "observers")
    assert {task: one[task] for task in TOLD} == {task: two[task] for task in TOLD} == TOLD
    assert one["first_weights"] and two["first_weights"]
    assert one["stop"] == two["stop"] == [2, "RULE"]
    assert one["observers"] and not two["observers"]
    assert (tmp_path / "kept" / "checkpoint.json").is_file() and not (tmp_path / "never").exists()


def test_the_examples_of_the_page_run(tmp_path: Path) -> None:
    """Blocks marked `python mpi`, each in two processes."""
    page = Path(__file__).resolve().parents[3] / "docs" / "distributed.md"
    blocks = re.findall(r"^```python mpi\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    (tmp_path / "all.py").write_text("\n".join(blocks))
    result = run(2, tmp_path / "all.py", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert 0 < float(result.stdout) < 5


def cli(processes: int, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(processes, "-m", "cortex", "train", *arguments, folder=folder)


def config(folder: Path, **changes: object) -> None:
    nodes = [
        {"name": "features", "layer": {"type": "Input", "shape": [4]}},
        {"name": "linear", "layer": {"type": "Linear", "units": 3}},
        {"name": "softmax", "layer": {"type": "Softmax"}},
    ]
    described = {"network": {"nodes": nodes}, "data": "iris", "test": "iris", "batch_size": 32}
    (folder / "iris.json").write_text(json.dumps({**described, "epochs": 3, **changes}))


def test_the_command_line(tmp_path: Path) -> None:
    """The same folder with the same numbers as one process makes; one line of JSON; gone on with by another number."""
    config(tmp_path)
    results = {}
    for processes in (1, 3):
        made = cli(
            processes, tmp_path, "iris.json", "--distributed", "--json", "--out", f"run{processes}"
        )
        assert made.returncode == 0, made.stderr
        (line,) = [text for text in made.stdout.splitlines() if text.startswith("{")]
        results[processes] = json.loads(line)
        alone = "this process is alone and trains as if it were not distributed" in made.stderr
        assert alone == (processes == 1)
        headlines = [
            text for text in made.stderr.splitlines() if text.startswith("training 15 par")
        ]
        assert len(headlines) == 1
        assert ("3 processes, " in headlines[0]) == (processes == 3)
    one, three = results[1], results[3]
    assert (one["processes"], three["processes"]) == (1, 3)
    for key in ("loss", "test_loss"):
        assert three[key] == pytest.approx(one[key], abs=1e-6)
    assert three["test_accuracy"] == one["test_accuracy"] and three["steps"] == one["steps"] == 15
    names = [sorted(p.name for p in (tmp_path / f"run{k}").iterdir()) for k in (1, 3)]
    assert names[0] == names[1]
    resumed = cli(
        2, tmp_path, "--resume", "run3", "--epochs", "4", "--distributed", "--quiet", "--json"
    )
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["steps"] == 20


def test_bad_input_is_said_once(tmp_path: Path) -> None:
    config(tmp_path, epochs=0)
    made = cli(2, tmp_path, "iris.json", "--distributed")
    assert made.returncode == 2
    assert made.stderr.count("epochs: expected") == 1
    assert not (tmp_path / "runs").exists()


def test_ctrl_c_ends_all_and_says_how_to_go_on(tmp_path: Path) -> None:
    config(tmp_path, epochs=100_000)
    process = subprocess.Popen(
        command(2, "-m", "cortex", "train", "iris.json", "--distributed", "--out", "run"),
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    checkpoint = tmp_path / "run" / "checkpoint" / "checkpoint.json"
    end = time.monotonic() + LIMIT
    while not checkpoint.is_file() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert re.search(
        r"process \d of 2 was interrupted, all end \(go on with: cortex train --resume run\)",
        errors,
    )
    assert "Traceback" not in errors
    resumed = cli(
        2,
        tmp_path,
        "--resume",
        "run",
        "--epochs",
        "100000",
        "--target-accuracy",
        "0.3",
        "--distributed",
    )
    assert resumed.returncode == 0, resumed.stderr


@pytest.mark.slow
def test_mnist_in_two_processes(tmp_path: Path) -> None:
    """LeNet learns MNIST as one process does."""
    made = run(
        2, "-m", "cortex", "train", "mnist", "--distributed", "--epochs", "5", "--target-accuracy", "0.985",
        folder=tmp_path, limit=1800,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
