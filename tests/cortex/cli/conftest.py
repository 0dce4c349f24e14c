"""The command line as people use it: real processes in a folder with some files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NODES = [
    {"name": "features", "layer": {"type": "Input", "shape": [4]}},
    {"name": "linear", "layer": {"type": "Linear", "units": 3}},
    {"name": "softmax", "layer": {"type": "Softmax"}},
]


class Cli:
    """Runs `cortex` in a folder, in a process of its own (see server.py)."""

    def __init__(self, scratch: Path) -> None:
        self.outputs = {name: scratch / name for name in ("stdout", "stderr")}
        self.server = subprocess.Popen(
            [sys.executable, "-P", Path(__file__).with_name("server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self, folder: Path, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and return what it said."""
        assert self.server.stdin is not None and self.server.stdout is not None
        request = {"folder": str(folder), "arguments": arguments, "environment": environment}
        request |= {name: str(path) for name, path in self.outputs.items()}
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        code = int(self.server.stdout.readline())
        said = {name: path.read_text() for name, path in self.outputs.items()}
        return subprocess.CompletedProcess(arguments, code, **said)

    def close(self) -> None:
        """End the server."""
        self.server.communicate()

    @staticmethod
    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "cortex", *arguments]

    @staticmethod
    def last_json(text: str) -> dict[str, Any]:
        """The last line of an output, as JSON."""
        found: dict[str, Any] = json.loads(text.splitlines()[-1])
        return found


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    made = Cli(tmp_path_factory.mktemp("said"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data sets and configs, good and bad."""
    path = tmp_path_factory.mktemp("cli")
    write_files(path)
    return path


def write_files(folder: Path) -> None:
    """Data sets and configs, good and bad."""
    generator = np.random.default_rng(0)
    label = generator.integers(0, 3, 40)
    features = (generator.normal(size=(40, 4)) + 2 * np.eye(3, 4)[label]).astype(np.float32)
    spoilt, shifted = features.copy(), label + 1
    spoilt[17, 2], spoilt[30, 1] = np.nan, np.inf
    target = features.sum(1)
    holes = np.where(np.arange(40) < 3, np.nan, target)
    endless = np.where(np.arange(40) == 8, np.inf, target)
    np.savez(folder / "good.npz", features=features, label=label)
    np.savez(folder / "seventeen.npz", features=features[:17], label=label[:17])
    np.savez(folder / "other_name.npz", x=features)
    np.savez(folder / "nan.npz", features=spoilt, label=label)
    np.savez(folder / "narrow.npz", features=features[:, :3], label=label)
    np.savez(folder / "from_one.npz", features=features, label=shifted)
    np.savez(folder / "unlabelled.npz", features=features)
    np.savez(folder / "two_columns.npz", one=features, two=features, label=label)
    np.savez(folder / "text.npz", features=features.astype(str), label=label)
    np.savez(folder / "empty.npz", features=features[:0], label=label[:0])
    np.savez(folder / "target.npz", features=features, y=target)
    np.savez(folder / "holes.npz", features=features, y=holes)
    np.savez(folder / "endless.npz", features=features, y=endless)
    (folder / "torn.npz").write_bytes((folder / "good.npz").read_bytes()[:300])
    (folder / "unknown.parquet").write_bytes(b"PAR1")
    configs: dict[str, Any] = {
        "good": {"network": {"nodes": NODES}, "data": "good.npz", "test": "good.npz", "epochs": 2, "batch_size": 8},
        "network": {"nodes": NODES},
        "regression": {"network": {"nodes": [NODES[0], {"type": "Linear", "units": 1}]}},
        "faults": {
            "network": {"nodes": [NODES[0], {"type": "Liner", "units": 3}, {"type": "Relu", "slope": 2}]},
            "epoch": 3, "batch_size": 0, "loss": "SoftmaxCrossEntrop", "optimiser": {"type": "Adam", "step": 1},
        },
        "losses": {
            "network": {"nodes": NODES}, "data": "good.npz",
            "loss": {"softmax": {"loss": "huber", "wait": 2}, "other": {"weight": "much"}},
        },
        "no_network": {"data": "good.npz"},
        "list": [1, 2],
    }  # fmt: skip
    for name, data in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(data))
    (folder / "torn.json").write_text('{"network": ')
    (folder / "not_a_run").mkdir()
    (folder / "not_a_run" / "thesis.txt").write_text("years of work")
    (folder / "file").write_text("")
