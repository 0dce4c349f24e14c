"""`cortex verify`: the suite that proves a backend, with its failures in a table."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from cortex.compute.errors import DescriptionError

from . import show
from .errors import FAILED, say
from .settings import use_threads

if TYPE_CHECKING:
    from cortex.compute.verify import Check, Result


def verify(
    backend: str,
    quick: bool,
    slow: bool,
    pattern: str | None,
    as_json: bool,
    quiet: bool,
    threads: int | None,
) -> int:
    """Run `cortex verify` and return the exit code: 1 if a check failed.

    Raises:
        BackendError: the backend is unknown or does not work here.
        DescriptionError: no check has that name.
    """
    from cortex.compute import get_backend
    from cortex.compute import verify as suite

    use_threads(threads)
    subject = get_backend(backend)
    try:
        chosen = suite.select(_checks(slow), quick, pattern)
    except ValueError as error:
        raise DescriptionError("--filter", [str(error)]) from None
    began = time.perf_counter()
    bar = _Bar(len(chosen)) if sys.stderr.isatty() and not quiet else None
    with bar or nullcontext():
        results = suite.run(subject, checks=chosen, progress=bar.update if bar else None)
    failed = [r for r in results if r.status == "failed"]
    counts = {s: sum(r.status == s for r in results) for s in ("passed", "failed", "skipped")}
    if failed:
        body = [(r.name, r.message) for r in failed]
        show.table(("failed", "why"), body, to_stderr=as_json)
    summary = f"{subject.name}: {counts['passed']:,} passed, {counts['failed']:,} failed, {counts['skipped']:,} skipped"
    if not quiet:
        line = f"{summary} in {show.duration(time.perf_counter() - began)}"
        say(line) if as_json else print(line)
    if as_json:
        found: dict[str, Any] = {"backend": subject.name, **counts, "quick": quick}
        found["failures"] = [{"name": r.name, "message": r.message} for r in failed]
        print(json.dumps(found), flush=True)
    return FAILED if failed else 0


def _checks(slow: bool) -> list[Check]:
    """Return the checks of `cortex.compute` and those of networks, the slow ones where asked for."""
    from cortex import verify as networks
    from cortex.compute import verify as suite

    found = [*suite.checks(), *networks.checks()]
    return [check for check in found if slow or "slow" not in check.tags]


class _Bar:
    """A bar over the checks, and a line for each that failed."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self._progress = Progress(
            BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._progress.stop()

    def update(self, result: Result, number: int, total: int) -> None:
        """Show that a check is done."""
        self._progress.update(self._task, completed=number, total=total, description=result.name)
        if result.status == "failed":
            self._progress.console.print(f"failed: {result.name}", highlight=False, markup=False)
