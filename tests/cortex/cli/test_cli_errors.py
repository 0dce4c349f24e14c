"""Bad input: one clear message on standard error, exit code 2, nothing written."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

# what is given (with environment variables in front), and what the message must say
BAD: list[tuple[str, str]] = [
    ("train", "expected what to train: `mnist`, or a config FILE.json"),
    ("train mnst", "unknown network or data set 'mnst'.*Did you mean 'mnist'"),
    ("train iris --out out", "'iris'.*Only mnist comes with models"),
    (
        "train mnist --out out --data good.npz",
        "--data belongs to a config; for mnist see --data-dir",
    ),
    ("train mnist --out out --model lent", "no model is named 'lent'; did you mean 'lenet'?"),
    (
        "train mnist --out out --optimiser adm",
        "no optimiser has the type 'adm'; did you mean 'adam'?",
    ),
    ("train mnist --out out --step-size -1", r"step_size: expected a number >= 0.* given -1.0"),
    (
        "train mnist --out out --optimiser adadelta --step-size 1e400",
        "step_size: expected a number",
    ),
    (
        "train mnist --out out --loss-scale dynamc",
        "loss_scale: expected 'dynamic', or a number > 0, or None, given 'dynamc'; did you mean 'dynamic'?",
    ),
    (
        "train mnist --out out --loss-scale 0",
        "loss_scale: expected 'dynamic', or a number > 0, or None, given 0",
    ),
    ("train mnist --out out --backend cud", "no backend is named 'cud'; did you mean 'cuda'?"),
    (
        "train mnist --out out --backend cpu:exat",
        r"'exat'; did you mean 'exact'\? .options: exact=f",
    ),
    ("train mnist --out out --data-dir nowhere", "nowhere.*no such file.*SHA-256"),
    ("train mnist --out out --epoch 3", "No such option: --epoch .*--epochs"),
    ("train mnist --out out --batch-size 0", "--batch-size.*greater than or equal to 1"),
    ("train mnist --out out --target-accuracy 99", "--target-accuracy.*less than or equal to 1"),
    ("CORTEX_NUM_THREADS=x train mnist --out out", 'CORTEX_NUM_THREADS must be a number.*not "x"'),
    ("train missing.json --out out", "missing.json: there is no such file"),
    ("train torn.json --out out", "torn.json: is not JSON: Expecting value: line 1 column 13"),
    ("train list.json --out out", "list.json: expected a JSON object, given list"),
    ("train no_network.json --out out", "the key 'network' is missing"),
    ("train network.json --out out", "no data: give --data FILE.npz, or the key 'data'"),
    ("train network.json --out out --model lenet", "--model and a config do not go together"),
    (
        "train faults.json --out out",
        "1. no key is named 'epoch'; did you mean 'epochs'.*2. batch_size: expected an integer >= 1, given 0"
        ".*network: .*no layer has the type 'Liner'; did you mean 'Linear'.*Relu: no field is named 'slope'"
        ".*loss: no loss has the type 'SoftmaxCrossEntrop'; did you mean 'SoftmaxCrossEntropy'"
        ".*optimiser: Adam: no field is named 'step'; did you mean 'step_size'",
    ),
    (
        "train losses.json --out out",
        "softmax: no key is named 'wait'.*other: weight: expected a number, given 'much'"
        ".*other: the key 'loss' is missing",
    ),
    ("train network.json --out out --data missing.npz", "missing.npz: no such file"),
    ("train network.json --out out --data torn.npz", "torn.npz: not an .npz file"),
    (
        "train network.json --out out --data unknown.parquet",
        "unknown kind of file; known: .npz, .csv",
    ),
    (
        "train network.json --out out --data nan.npz",
        "'features': 1 NaN, 1 infinite, first in row 17",
    ),
    (
        "train network.json --out out --data narrow.npz",
        r"'features' expects \[4\] per example, given \[3\]",
    ),
    ("train network.json --out out --data text.npz", "'features' expects numbers, given <U"),
    ("train network.json --out out --data empty.npz", "no rows in it; expected at least one"),
    ("train network.json --out out --data from_one.npz", r"3 classes, 0 .. 2, given 3 in row \d+"),
    (
        "train network.json --out out --data unlabelled.npz",
        "no target: .*label, target, y.*columns are features",
    ),
    (
        "train network.json --out out --data two_columns.npz",
        "input 'features' has no column.*columns are one, two",
    ),
    (
        "train network.json --out out --data good.npz --test narrow.npz",
        r"narrow.npz: .*expects \[4\]",
    ),
    (
        "train network.json --out out --data good.npz --target-accuracy 1",
        "--target-accuracy needs test data",
    ),
    (
        "train regression.json --out out --data endless.npz",
        "'y': 0 NaN, 1 infinite, first in row 8; a missing",
    ),
    (
        "train good.json --out not_a_run",
        "not_a_run: the folder is not empty and holds no run .thesis.txt",
    ),
    ("train good.json --out file", "file: expected a folder for the run, there is a file"),
    (
        "train good.json --out file/deeper",
        "file/deeper: the folder cannot be written: Not a directory",
    ),
    (
        "train good.json --out run",
        "there is a run in it already; go on with --resume run, replace it with",
    ),
    ("train --resume nowhere", "--resume nowhere: the folder does not exist"),
    ("train --resume not_a_run", "is no run: there is no config.json in it"),
    ("train --resume run", "2 of 2 epochs are done; give --epochs, more than 2"),
    (
        "train mnist --resume run --epochs 3 --seed 9 --step-size 1 --out out",
        "--seed cannot change.*--step-size cannot change.*the run is of good, given mnist.*goes on in its own",
    ),
    ("predict nowhere good.npz", "nowhere: there is no such folder"),
    ("predict not_a_run good.npz", "expected a run or a checkpoint, found neither"),
    ("predict run nan.npz", "'features': 1 NaN, 1 infinite, first in row 17"),
    ("predict run narrow.npz", r"'features' expects \[4\] per example, given \[3\]"),
    ("predict run goood", "unknown data set 'goood'"),
    ("predict run good.npz --out p.txt", "expected a name that ends in .npy, .npz, .csv"),
    ("predict run good.npz --out nowhere/p.npy", "there is no folder nowhere; make it first"),
    ("predict run good.npz --out not_a_run/../not_a_run.npy/p.npy", "there is no folder"),
    ("verify --backend numpi", "no backend is named 'numpi'; did you mean 'numpy'?"),
    (
        "verify --backend numpy --filter memry",
        "no check's name contains 'memry'; did you mean 'memory'?",
    ),
]


@pytest.fixture(scope="module")
def run(cli: Any, folder: Path) -> Path:
    """A finished run in the folder, and the folder."""
    done = cli(folder, "train", "good.json", "--out", "run", "--quiet")
    assert done.returncode == 0, done.stderr
    return folder


def listing(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}


@pytest.mark.parametrize(("line", "message"), BAD, ids=[line for line, _ in BAD])
def test_bad_input(cli: Any, run: Path, line: str, message: str) -> None:
    words = line.split()
    environment = dict(w.split("=") for w in words if "=" in w)
    before = listing(run)
    done = cli(run, *(w for w in words if "=" not in w), **environment)
    assert done.returncode == 2, done.stderr
    assert re.search(message, done.stderr, re.DOTALL), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert listing(run) == before, "nothing may be written"


def test_debug_shows_the_traceback(cli: Any, folder: Path) -> None:
    done = cli(folder, "train", "missing.json", "--debug")
    assert done.returncode != 0
    assert "Traceback" in done.stderr and "there is no such file" in done.stderr


def test_a_damaged_checkpoint_is_named(cli: Any, run: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "run", tmp_path / "run")
    weights = next((tmp_path / "run" / "best").glob("weights-*"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    done = cli(
        folder, "predict", str(tmp_path / "run"), "good.npz", "--out", str(tmp_path / "p.npy")
    )
    assert done.returncode == 2
    assert weights.name in done.stderr and "damaged" in done.stderr
    assert not (tmp_path / "p.npy").exists()
