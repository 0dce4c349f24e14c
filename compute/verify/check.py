"""`Check`: one thing that a backend must do, as data; and the runner."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from ..backend import Backend
from ..errors import near
from ..registry import get_backend

# Where the checks are: each module holds a tuple or list `CHECKS`.
MODULES = (
    "operations",
    "golden_operations",
    "scanning",
    "randomness",
    "updates",
    "memory",
    "host",
    "determinism",
    "report",
    "programs",
)


class Mismatch(AssertionError):
    """A backend did not do what a check asks; the message shows what came and what should have come."""


@dataclass(frozen=True)
class Check:
    """A name such as `memory/swap`, a function that raises where the backend is wrong, and tags.

    `tags` holds "quick" where the check belongs to the quick suite. `needs` are dtypes of
    `Capabilities`: a backend without one of them skips the check.
    """

    name: str
    function: Callable[[Backend], None]
    tags: frozenset[str] = frozenset({"quick"})
    needs: tuple[str, ...] = ()

    def __call__(self, backend: Backend) -> None:
        """Run the check; an exception means that it failed."""
        self.function(backend)

    def __str__(self) -> str:
        return self.name

    def missing(self, backend: Backend) -> str:
        """Return why this backend skips the check, or nothing."""
        lacks = [d for d in self.needs if d not in backend.capabilities.dtypes]
        return f"{backend.name} has no {', '.join(lacks)}" if lacks else ""


@dataclass(frozen=True)
class Result:
    """What came of one check; `message` holds the failure or the reason why it was skipped."""

    name: str
    status: Literal["passed", "failed", "skipped"]
    seconds: float
    message: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong: the check passed, or does not apply to the backend."""
        return self.status != "failed"

    def __str__(self) -> str:
        text = f"{self.status:<7} {self.seconds * 1e3:8.1f} ms  {self.name}"
        return f"{text}\n{self.message}" if self.message else text


def checking(
    checks: list[Check], name: str, *, quick: bool = True, needs: tuple[str, ...] = ()
) -> Callable[[Callable[[Backend], None]], Callable[[Backend], None]]:
    """Return a decorator that appends a function of a backend to `checks`."""

    def add(function: Callable[[Backend], None]) -> Callable[[Backend], None]:
        checks.append(Check(name, function, frozenset({"quick"} if quick else ()), needs))
        return function

    return add


def checks(quick: bool = False, filter: str | None = None) -> list[Check]:
    """Return the checks of `cortex.compute`: all or the quick ones, whose name contains `filter`.

    Raises:
        ValueError: no name contains the filter; the message names the nearest group.
    """
    found = [c for m in MODULES for c in import_module(f"{__package__}.{m}").CHECKS]
    return select(found, quick, filter)


def select(checks: Iterable[Check], quick: bool = False, filter: str | None = None) -> list[Check]:
    """Return those of `checks` that are quick (if asked) and whose name contains `filter`.

    Raises:
        ValueError: no name contains the filter.
    """
    every = list(checks)
    chosen = [c for c in every if (not quick or "quick" in c.tags)]
    if filter:
        chosen = [c for c in chosen if filter in c.name]
        if not chosen:
            groups = {c.name.split("/")[0] for c in every}
            raise ValueError(f"no check's name contains {filter!r}{near(filter, groups)}")
    return chosen


def run(
    backend: str | Backend,
    quick: bool = False,
    filter: str | None = None,
    checks: Iterable[Check] | None = None,
    progress: Callable[[Result, int, int], None] | None = None,
) -> list[Result]:
    """Run the checks on a backend and return a result for each; a failure does not stop the rest.

    `checks` replaces those of `cortex.compute`; `progress` is called after each one with its result,
    its number from 1 and the number of all.

    Raises:
        BackendError: the backend is unknown or does not work here.
        ValueError: no check's name contains `filter`.
    """
    from . import check

    subject = get_backend(backend)
    chosen = select(check.checks() if checks is None else checks, quick, filter)
    results = []
    for number, one in enumerate(chosen, 1):
        results.append(_run(one, subject))
        if progress is not None:
            progress(results[-1], number, len(chosen))
    return results


def _run(check: Check, backend: Backend) -> Result:
    reason = check.missing(backend)
    if reason:
        return Result(check.name, "skipped", 0.0, reason)
    start = time.perf_counter()
    try:
        check(backend)
    except Exception as error:  # whatever goes wrong in a backend is a result, not the end
        kind = "" if isinstance(error, Mismatch) else f"{type(error).__name__}: "
        return Result(check.name, "failed", time.perf_counter() - start, f"{kind}{error}")
    return Result(check.name, "passed", time.perf_counter() - start)
