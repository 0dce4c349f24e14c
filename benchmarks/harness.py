"""Measuring side by side: interleaved blocks, medians, equal mathematics before any time.

Everything that is compared runs in one process and takes turns, A B C C B A, so that what a shared machine does to one
it does to all. With one core the process is pinned and its CPU seconds count, which other processes hardly touch; with
all cores it is the wall clock, and only a quiet machine gives numbers worth printing.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
THREAD_VARIABLES = (
    "CORTEX_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)  # fmt: skip
BLOCK_SECONDS = 0.25
ROUNDS = 7
STEPS_CHECKED = 5
TOLERANCE = 2e-3  # of a loss in float32 after five steps; another algorithm is off by far more


@dataclass(frozen=True)
class Contender:
    """One way to do the work: `run(k)` does it k times and returns when it is done.

    `losses`, where there is mathematics to compare, returns the losses of the first steps from the common weights.
    """

    name: str
    run: Callable[[int], None]
    losses: Callable[[], Sequence[float]] | None = None


@dataclass(frozen=True)
class Timing:
    """Seconds of one piece of work, over the blocks that were measured."""

    name: str
    median: float
    least: float
    most: float


@dataclass
class Table:
    """The results of one workload; the first contender is what the others are compared with."""

    title: str
    unit: str  # what one piece of work is
    clock: str
    rows: list[Timing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        scale, unit = (1e3, "ms") if self.rows[0].median < 1 else (1, "s")
        scale, unit = (1e6, "us") if self.rows[0].median < 1e-3 else (scale, unit)
        first = self.rows[0].median
        lines = [
            f"### {self.title}",
            "",
            f"| | {unit} per {self.unit}, {self.clock} | least .. most | times ours |",
        ]
        lines.append("|---|---|---|---|")
        for r in self.rows:
            cells = [_digits(scale * t) for t in (r.median, r.least, r.most)]
            lines.append(
                f"| {r.name} | {cells[0]} | {cells[1]} .. {cells[2]} | {r.median / first:.2f} |"
            )
        return "\n".join([*lines, *(f"\n{n}" for n in self.notes)])

    def to_data(self) -> dict[str, Any]:
        """Return everything as plain data, seconds throughout."""
        return {**vars(self), "rows": [vars(r) for r in self.rows]}


def _digits(number: float) -> str:
    """Return three significant digits, never as a power of ten."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def one_core() -> None:
    """Pin this process to its last core and every pool to one thread; before NumPy and its kind are imported."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))


def compare(
    title: str,
    contenders: Sequence[Contender],
    *,
    unit: str = "step",
    wall: bool = False,
    rounds: int = ROUNDS,
) -> Table:
    """Check that all do the same, then measure them in turns.

    Raises:
        SystemExit: the losses of two contenders differ.
    """
    clock = time.perf_counter if wall else time.process_time
    table = Table(title, unit, "wall" if wall else "CPU of one core")
    note = agree(contenders)
    if note:
        table.notes.append(note)
    counts = [_calibrated(c, clock) for c in contenders]
    seconds: list[list[float]] = [[] for _ in contenders]
    for turn in range(rounds):
        order = range(len(contenders)) if turn % 2 == 0 else reversed(range(len(contenders)))
        for i in order:
            time.sleep(0.005)  # threads that spin after their work come to rest
            begin = clock()
            contenders[i].run(counts[i])
            seconds[i].append((clock() - begin) / counts[i])
    table.rows = [
        Timing(c.name, statistics.median(s), min(s), max(s))
        for c, s in zip(contenders, seconds, strict=True)
    ]
    return table


def _calibrated(contender: Contender, clock: Callable[[], float]) -> int:
    """Return how many pieces of work fill a block, after a warm-up."""
    contender.run(1)
    count = 1
    while True:
        begin = clock()
        contender.run(count)
        spent = clock() - begin
        if spent > BLOCK_SECONDS / 4:
            return max(1, round(count * BLOCK_SECONDS / spent))
        count *= 4


def agree(contenders: Sequence[Contender]) -> str:
    """Return a line about the losses that were compared, or nothing where there were none."""
    found = {c.name: [float(x) for x in c.losses()] for c in contenders if c.losses is not None}
    if len(found) < 2:
        return ""
    (name, first), *others = found.items()
    worst = 0.0
    for other, losses in others:
        off = max(abs(a - b) / max(1e-3, abs(a)) for a, b in zip(first, losses, strict=True))
        worst = max(worst, off)
        if not off < TOLERANCE:
            raise SystemExit(
                f"{other} does not compute what {name} does: losses {losses} and {first}; no times"
            )
    skipped = [c.name for c in contenders if c.losses is None]
    text = f"Losses over {len(first)} steps from common weights agree to {worst:.0e}"
    return text + (f" (not compared: {', '.join(skipped)})." if skipped else ".")


def machine() -> dict[str, Any]:
    """Return what the numbers depend on: processor, cores, versions."""
    sys.path.append(str(ROOT))
    from cortex import info

    found = info.collect()
    names = ("numpy", "numba", "torch", "jax", "scikit-learn")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": found["machine"]["processor"],
        "cores": found["machine"]["cores_usable"],
        "engine": found["engine"]["name"],
        "threads": found["threads"]["count"],
        "python": platform.python_version(),
        "versions": {n: _version(n) for n in names},
        "load": os.getloadavg()[0],
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def has(package: str) -> bool:
    """Whether a peer is installed."""
    return _version(package) is not None


def fill(page: Path, name: str, text: str) -> None:
    """Put `text` between the markers of that name on a page.

    Raises:
        SystemExit: the page has no such markers.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = page.read_text("utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page}: expected the markers {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", "utf-8")


def report(tables: Iterable[Table], path: Path | None, about: Mapping[str, Any]) -> None:
    """Write all results to a file as JSON."""
    if path is not None:
        data = {"machine": dict(about), "tables": [t.to_data() for t in tables]}
        path.write_text(json.dumps(data, indent=1) + "\n", "utf-8")
