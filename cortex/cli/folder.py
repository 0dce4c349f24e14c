"""Run directories: what is in one, claiming a place for it, and leaving nothing half-made behind.

config.json    all settings, the network included (see `cortex.cli.config`)
log.csv, log.jsonl    one row per report of the training
checkpoint/    the last complete epoch, or where the run was interrupted
best/          the epoch with the best test accuracy (without labels: the least test loss)
results.json   what came of it
curves.png     loss and accuracy, where matplotlib is installed
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from cortex.compute.errors import DescriptionError

CONFIG, RESULTS, CURVES = "config.json", "results.json", "curves.png"
CHECKPOINT, BEST = "checkpoint", "best"
LOGS = ("log.csv", "log.jsonl")
OURS = (CONFIG, RESULTS, CURVES, CHECKPOINT, BEST, *LOGS)


class RunFolder:
    """The place of a run. Inside a `with` block, leaving with an error removes what was made in it.

    A run that has a checkpoint is worth keeping, whatever happened after it.
    """

    def __init__(self, path: str | Path, resumed: bool = False, overwrite: bool = False) -> None:
        self.path = Path(path)
        self._resumed, self._overwrite = resumed, overwrite
        self._made: list[Path] = []  # folders that were not there before, innermost first
        self._check()

    def _check(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise DescriptionError(
                str(self.path), ["expected a folder for the run, there is a file"]
            )
        found = sorted(p.name for p in self.path.iterdir()) if self.path.is_dir() else []
        if self._resumed or not found:
            return
        if CONFIG not in found:
            listed = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
            problem = f"the folder is not empty and holds no run ({listed}); choose another --out"
            raise DescriptionError(str(self.path), [problem])
        if not self._overwrite:
            problem = (
                f"there is a run in it already; go on with --resume {self.path}, replace it with "
                "--overwrite, or choose another --out"
            )
            raise DescriptionError(str(self.path), [problem])

    def __enter__(self) -> RunFolder:
        self._made = [p for p in (self.path, *self.path.parents) if not p.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._aside.mkdir()
        except OSError as error:
            self._remove_made()
            problem = f"the folder cannot be written: {error.strerror}"
            raise DescriptionError(str(self.path), [problem]) from None
        if not self._resumed:
            _move(OURS, self.path, self._aside)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        kept = (self.path / CHECKPOINT / "checkpoint.json").is_file()
        if kind is not None and not self._resumed and not kept:
            for name in OURS:
                _remove(self.path / name)
            _move(OURS, self._aside, self.path)
        _remove(self._aside)
        if kind is not None:
            self._remove_made()

    @property
    def _aside(self) -> Path:
        """Where the run that is replaced waits until there is something in its place."""
        return self.path / f".replaced-{os.getpid()}"

    def _remove_made(self) -> None:
        for folder in self._made:
            with suppress(OSError):  # there is something in it
                folder.rmdir()

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Write a file so that it appears whole."""
        with whole_file(self.path / name) as partial:
            partial.write_text(json.dumps(data, indent=1) + "\n", "utf-8")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _move(names: Sequence[str], source: Path, target: Path) -> None:
    for name in names:
        if (source / name).exists():
            (source / name).rename(target / name)


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; at the end it takes the target's place, unless there was an error."""
    partial = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def checkpoint_of(run: str | Path) -> Path:
    """Return the checkpoint to predict with: a checkpoint itself, else a run's best, else its last.

    Raises:
        DescriptionError: there is none.
    """
    path = Path(run)
    for folder in (path, path / BEST, path / CHECKPOINT):
        if (folder / "checkpoint.json").is_file():
            return folder
    what = (
        "there is no such folder"
        if not path.exists()
        else "expected a run or a checkpoint, found neither"
    )
    raise DescriptionError(str(path), [what])
