"""Observers: functions of a record that show it or keep it. They work for training and for descents alike.

An observer is any callable that takes a record. Those that need to know the end (a bar, a file) have a method `close`,
which `fit` calls however the run ends.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from cortex.records import to_json

Observer = Callable[[Mapping[str, Any]], None]


def every(period: int, observer: Observer) -> Observer:
    """Pass on one record in `period`, the first included."""
    count = 0

    def observe(record: Mapping[str, Any]) -> None:
        nonlocal count
        if count % period == 0:
            observer(record)
        count += 1

    return observe


def at_epoch_ends(observer: Observer) -> Observer:
    """Pass on the records that complete an epoch."""

    def observe(record: Mapping[str, Any]) -> None:
        if record.get("epoch_complete"):
            observer(record)

    return observe


def printed(
    keys: Sequence[str] = ("epoch", "step", "loss"), write: Callable[[str], Any] = print
) -> Observer:
    """Write one line per record with these entries, those that it has."""

    def observe(record: Mapping[str, Any]) -> None:
        write("  ".join(f"{k} {_shown(record[k])}" for k in keys if k in record))

    return observe


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


class History:
    """Keeps the plain entries of every record, as dicts in `rows`; and those of `keys`, which it computes."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self.keys = tuple(keys)
        self.rows: list[dict[str, Any]] = []

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Keep a row."""
        self.rows.append(_plain(record, self.keys))


class LogFile:
    """Appends the plain entries of each record to a file: `.csv` (a table) or `.jsonl` (a JSON object per line).

    Entries in `keys` are computed and written too, such as the `value` of a descent; vectors among them become
    lists, in `.jsonl` only. `cortex.optimise.logs.load` reads both.
    """

    def __init__(self, path: str | Path, keys: Sequence[str] = ()) -> None:
        self.path, self.keys = Path(path), tuple(keys)
        if self.path.suffix not in (".csv", ".jsonl"):
            raise ValueError(
                f"LogFile: expected a path that ends in .csv or .jsonl, given {self.path.name!r}"
            )
        self._file: IO[str] | None = None
        self._columns: list[str] = []

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Write a line."""
        row = _plain(record, self.keys)
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "w", newline="", encoding="utf-8")  # noqa: SIM115 - closed by close()
        if self.path.suffix == ".jsonl":
            line = json.dumps({k: to_json(v) for k, v in row.items()}, allow_nan=False)
            self._file.write(line + "\n")
        else:
            row = {k: v for k, v in row.items() if not getattr(v, "ndim", 0)}
            self._write_row(self._file, row)
        self._file.flush()

    def _write_row(self, file: IO[str], row: dict[str, Any]) -> None:
        if set(row) - set(
            self._columns
        ):  # entries such as the test accuracy come at the end of an epoch
            self._columns += [k for k in row if k not in self._columns]
            file.flush()
            with open(self.path, newline="", encoding="utf-8") as f:
                before = list(csv.DictReader(f))
            file.seek(0)
            file.truncate()
            csv.writer(file).writerow(self._columns)
            for old in before:
                csv.writer(file).writerow([old.get(k, "") for k in self._columns])
        csv.writer(file).writerow([row.get(k, "") for k in self._columns])

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _plain(record: Mapping[str, Any], keys: Sequence[str] = ()) -> dict[str, Any]:
    plain = getattr(record, "plain", None)
    found = (
        dict(plain())
        if plain
        else {k: v for k, v in record.items() if isinstance(v, (int, float, str, bool))}
    )
    return found | {k: record[k] for k in keys if k in record}


class ProgressBar:
    """A bar over the steps of each epoch, with loss and speed, and a line for each epoch that is done."""

    def __init__(self, epochs: int | None = None) -> None:
        self.epochs = epochs
        self._progress: Any = None
        self._task: Any = None
        self._epoch = -1

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Move the bar."""
        if self._progress is None:
            self._start()
        current = record["epoch"] - (1 if record["epoch_complete"] else 0)
        if current != self._epoch:
            self._epoch = current
            title = f"epoch {current + 1}" + (f"/{self.epochs}" if self.epochs else "")
            self._progress.reset(self._task, total=record["batches"], description=title)
        self._progress.update(
            self._task, completed=record["batch"], loss=f"{record['loss']:.4f}",
            speed=f"{record['examples_per_second']:,.0f}/s",
        )  # fmt: skip
        if record["epoch_complete"]:
            self._progress.console.print(
                epoch_line(record, self.epochs), highlight=False, soft_wrap=True
            )

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[speed]}"), TimeRemainingColumn(), console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._progress.start()
        self._task = self._progress.add_task("", total=None, loss="", speed="")

    def close(self) -> None:
        """Remove the bar."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def epoch_line(record: Mapping[str, Any], epochs: int | None) -> str:
    """Return the line that says how an epoch went; `epochs` is how many there will be, if that is known."""
    total = f"/{epochs}" if epochs else ""
    parts = [f"epoch {record['epoch']}{total}", f"loss {record['loss']:.4f}"]
    parts += [
        f"{k.replace('_', ' ')} {record[k]:.4f}"
        for k in ("accuracy", "test_loss", "test_accuracy")
        if k in record
    ]
    if record.get("skipped_steps"):
        parts.append(f"{record['skipped_steps']:,} steps skipped")
    return "  ".join([*parts, f"{record['epoch_seconds']:.1f} s"])
