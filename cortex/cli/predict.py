"""`cortex predict`: exactly one row of predictions per input, written whole or not at all."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex.compute.errors import DescriptionError

from . import show
from .config import read_config
from .data import fitting, open_data
from .errors import say
from .folder import CONFIG, checkpoint_of, whole_file

if TYPE_CHECKING:
    from cortex.datasets import Dataset
    from cortex.network import Network

KINDS = (".npy", ".npz", ".csv")
DEFAULT = "predictions.npy"


@dataclass(frozen=True)
class Answer:
    """Predictions by output, [n, ...] each."""

    outputs: dict[str, np.ndarray]

    @property
    def single(self) -> np.ndarray | None:
        """The predictions of a network with one output."""
        return next(iter(self.outputs.values())) if len(self.outputs) == 1 else None


def predict(
    run: Path,
    source: str,
    out: Path | None,
    batch_size: int,
    backend: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run `cortex predict` and return the exit code.

    Raises:
        CortexError, DataError: bad input; nothing was written.
    """
    import cortex
    from cortex.datasets import rename, select

    folder = checkpoint_of(run)
    network = cortex.load_checkpoint(folder).network
    target = _target(folder)
    path = _place(out, network)
    cortex.compute.get_backend(backend)
    data = open_data(source, "test")
    columns, _ = fitting(network, data, source, _known(target, data), needs_target=False)
    inputs = rename(select(data, *dict.fromkeys(columns.inputs.values())), _names(columns.inputs))
    found = cortex.predict(network, inputs, batch_size=batch_size, backend=backend)
    answer = Answer(found if isinstance(found, dict) else {network.outputs[0]: found})
    _write(path, answer)
    summary: dict[str, Any] = {
        "predictions": len(data), "file": str(path), "shape": {n: list(a.shape) for n, a in answer.outputs.items()},
        "checkpoint": str(folder), **_judged(answer, data, columns.targets),
    }  # fmt: skip
    if not quiet:
        show.rows("", _table(summary), to_stderr=as_json)
    if as_json:
        print(json.dumps(summary), flush=True)
    return 0


def _target(folder: Path) -> Any:
    """Return the target of the run that a checkpoint belongs to, if there is one."""
    config = folder.parent / CONFIG
    return read_config(config).target if config.is_file() else None


def _known(target: Any, data: Dataset) -> Any:
    """Return the target as far as these data have it: predictions need none."""
    return target if isinstance(target, str) and target in data.columns else None


def _names(inputs: Any) -> dict[str, str]:
    """Return new names for columns, leaving out those that keep theirs."""
    if len(set(inputs.values())) < len(inputs):
        raise DescriptionError(
            "predict", ["two inputs read one column; give each a column of its own"]
        )
    return {column: name for name, column in inputs.items() if column != name}


def _place(out: Path | None, network: Network) -> Path:
    several = len(network.outputs) > 1
    path = out or Path(DEFAULT if not several else "predictions.npz")
    problems = []
    if path.suffix not in KINDS:
        problems.append(f"expected a name that ends in {', '.join(KINDS)}")
    elif several and path.suffix != ".npz":
        problems.append(
            f"the network has {len(network.outputs)} outputs, which need a .npz, given {path.name}"
        )
    if path.is_dir():
        problems.append("is a folder, expected a file")
    elif not path.parent.is_dir():
        problems.append(f"there is no folder {path.parent}; make it first")
    if problems:
        raise DescriptionError(f"--out {path}", problems)
    return path


def _write(path: Path, answer: Answer) -> None:
    try:
        with whole_file(path) as partial, open(partial, "wb") as file:
            if path.suffix == ".npz":
                np.savez(file, **answer.outputs)  # type: ignore[arg-type]
            elif path.suffix == ".npy":
                np.save(file, np.asarray(answer.single), allow_pickle=False)
            else:
                file.write(_csv(np.asarray(answer.single)).encode())
    except OSError as error:
        raise DescriptionError(f"--out {path}", [f"cannot be written: {error.strerror}"]) from None


def _csv(values: np.ndarray) -> str:
    """Return a header and one line per example; with several columns the largest comes first, as `argmax`."""
    import io

    flat = values.reshape(len(values), -1)
    several = flat.shape[1] > 1
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(["argmax"] if several else []), *(f"y{k}" for k in range(flat.shape[1]))])
    for row in flat:
        writer.writerow([*([int(row.argmax())] if several else []), *(repr(float(v)) for v in row)])
    return text.getvalue()


def _judged(answer: Answer, data: Dataset, targets: tuple[str, ...]) -> dict[str, float]:
    """Return the accuracy where there are labels, the mean squared error where there are numbers like the output."""
    found = answer.single
    if found is None or not targets or targets[0] not in data.columns:
        return {}
    truth = data[targets[0]]
    if truth.dtype.kind in "iu" and truth.ndim == 1 and found.ndim == 2 and found.shape[1] > 1:
        there = truth.astype(np.int64) >= 0
        return {"accuracy": float((found.argmax(1) == truth)[there].mean())} if there.any() else {}
    if truth.dtype.kind in "iuf" and truth.size == found.size:
        gap = found.reshape(len(found), -1) - truth.reshape(len(found), -1).astype(np.float64)
        there = ~np.isnan(gap)
        return {"mean_squared_error": float(np.square(gap[there]).mean())} if there.any() else {}
    say(f"note: the column {targets[0]!r} does not fit the predictions and was not compared")
    return {}


def _table(summary: dict[str, Any]) -> dict[str, str]:
    shapes = ", ".join(f"{n} {s}" for n, s in summary["shape"].items())
    shown = {
        "predictions": f"{summary['predictions']:,}",
        "outputs": shapes,
        "file": summary["file"],
    }
    shown["checkpoint"] = summary["checkpoint"]
    if "accuracy" in summary:
        shown["accuracy"] = show.percent(summary["accuracy"])
    if "mean_squared_error" in summary:
        shown["mean squared error"] = f"{summary['mean_squared_error']:.6g}"
    return shown
