"""Measuring side by side: equal mathematics first, then interleaved blocks and medians.

Everything that is compared runs in one process and takes turns, A B C C B A, so that what a shared machine does to one
it does to all. With one core the process is pinned and its CPU seconds count, which other processes hardly touch; with
all cores it is the wall clock, and only a quiet machine gives numbers worth printing.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from results import Table, Timing

ROOT = Path(__file__).resolve().parent.parent
THREAD_VARIABLES = (
    "CORTEX_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)  # fmt: skip
STEPS_CHECKED = 5
TOLERANCE = 2e-3  # of a loss in float32 after five steps; another algorithm is off by far more
# Seconds between blocks, in which threads that spin after their work come to rest. OpenMP's and OpenBLAS's do for .2:
# with .005 between, whoever came after NumPy reached 120 GFLOP/s in a product that runs at 200.
REST, SHORT_REST = 0.25, 0.005
# The processors of a virtual machine move, for seconds at a time: two of them share one core, which doubles the time of
# what uses both fully and hardly touches what does not; or they share no cache, and the 9 nanoseconds to write a line
# that both have read become 30. Blocks count in the best state, or are measured again, so many in a table at most.
FULL_SPEED, SHARED_CACHE, PATIENCE = 0.8, 18.0, 100

Block = Callable[[int], Sequence[float]]  # seconds of contender i, of one piece of work each


@dataclass(frozen=True)
class Settings:
    """How to measure: wall clock or CPU seconds, how many rounds of how long blocks, which peers."""

    wall: bool = True
    rounds: int = 7
    block: float = 0.25  # seconds
    compiled: bool = False  # torch.compile too, which takes seconds to minutes to start
    isas: tuple[str, ...] = ()  # instruction sets that cortex is measured with besides the best one
    quick: bool = False  # one short round of small workloads: to see that everything works

    @property
    def clock(self) -> Callable[[], float]:
        """The clock that counts, in seconds."""
        return time.perf_counter if self.wall else time.process_time

    @property
    def threads(self) -> int:
        """How many threads cortex runs on."""
        from cortex.compute import get_num_threads

        return get_num_threads() if self.wall else 1

    @property
    def clock_name(self) -> str:
        """What the tables call it."""
        return "wall" if self.wall else "CPU of one core"

    @property
    def rest(self) -> float:
        """Seconds between blocks: on one core nothing spins."""
        return REST if self.wall and not self.quick else SHORT_REST

    @property
    def cores(self) -> str:
        """What the sections of a page call it."""
        return "all cores" if self.wall else "one core"


def quick(settings: Settings) -> Settings:
    """Return settings that take seconds; the numbers are worth nothing."""
    return replace(settings, quick=True, rounds=2, block=0.01)


@dataclass(frozen=True)
class Contender:
    """One way to do the work: `run(k)` does it k times and returns when it is done.

    `losses`, where there is mathematics to compare, returns the losses of the first steps from the common weights, or
    any other numbers that all must agree on. `program` is what cortex compiled, where it was cortex.
    """

    name: str
    run: Callable[[int], object]
    losses: Callable[[], Sequence[float]] | None = None
    program: Any = None


def one_core() -> None:
    """Pin this process to its last core and every pool to one thread, before NumPy is imported.

    Raises:
        SystemExit: the system cannot pin a process.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit("one core: this system cannot pin a process; measure on Linux")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))


def has(package: str) -> bool:
    """Whether a peer is installed."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def compare(
    title: str,
    contenders: Sequence[Contender],
    settings: Settings,
    *,
    unit: str = "step",
    goal: float | None = None,
    bound: float | None = None,
    calls: bool = False,
) -> Table:
    """Check that all do the same, then measure them in turns; `goal` and `bound` as in `Table`.

    With `calls`, of microseconds, each is timed by itself, and the 99th percentile of all is kept.

    Raises:
        SystemExit: two contenders do not compute the same.
    """
    note = agree(contenders)
    counts = [_calibrated(c, settings) for c in contenders]

    def block(i: int) -> Sequence[float]:
        run, found = contenders[i].run, []
        for count in [1] * counts[i] if calls else [counts[i]]:
            begin = settings.clock()
            run(count)
            found.append((settings.clock() - begin) / count)
        return found

    notes = [note] if note else []
    measured, left_out = block, []
    if settings.wall and settings.threads > 1 and not settings.quick:
        measured, left_out = in_the_best_state(block, _state(settings.threads))
    seconds = in_turns(len(contenders), settings.rounds, measured, settings.rest)
    if left_out:
        notes.append(
            f"{len(left_out)} blocks were measured again: the machine lacked a core, or a cache that the cores share."
        )
    rows = []
    for c, s in zip(contenders, seconds, strict=True):
        tail = statistics.quantiles(s, n=100, method="inclusive")[-1] if calls else None
        rows.append(Timing(c.name, statistics.median(s), min(s), max(s), tail))
    return Table(title, unit, settings.clock_name, rows, notes, goal, bound)


def in_turns(count: int, rounds: int, block: Block, rest: float = SHORT_REST) -> list[list[float]]:
    """Return what `block(i)` measured in all rounds, for each i; every other round runs backwards."""
    seconds: list[list[float]] = [[] for _ in range(count)]
    for turn in range(rounds):
        for i in range(count) if turn % 2 == 0 else reversed(range(count)):
            time.sleep(rest)
            seconds[i] += block(i)
    return seconds


def in_the_best_state(
    block: Block, state: Callable[[], tuple[float, float]]
) -> tuple[Block, list[int]]:
    """Return `block`, measured again unless the machine is at its best before and after, and a list of those left out.

    `state` gives the rate of multiply-adds, and nanoseconds to write a line that two cores have read.
    """
    best = 0.0
    left_out: list[int] = []

    def good() -> bool:
        nonlocal best
        rate, line = state()
        best = max(best, rate)
        return rate >= FULL_SPEED * best and line <= SHARED_CACHE

    def undisturbed(i: int) -> Sequence[float]:
        while True:
            before = good()
            found = block(i)
            if (good() and before) or len(left_out) >= PATIENCE:
                return found
            left_out.append(i)
            time.sleep(REST)

    return undisturbed, left_out


def _state(threads: int) -> Callable[[], tuple[float, float]]:
    import cores
    import roofline  # imports cortex, which reads what `one_core` sets

    pair = cores.cores()
    return lambda: (roofline.rate(threads), pair.read_by_both() if pair else 0.0)


def _calibrated(contender: Contender, settings: Settings) -> int:
    """Return how many pieces of work fill a block, after a warm-up."""
    contender.run(1)
    count = 1
    while True:
        begin = settings.clock()
        contender.run(count)
        spent = settings.clock() - begin
        if spent > settings.block / 4:
            return max(1, round(count * settings.block / spent))
        count *= 4


def agree(contenders: Sequence[Contender], tolerance: float = TOLERANCE) -> str:
    """Return a line about the numbers that were compared, or nothing where there were none.

    Raises:
        SystemExit: they differ by more than rounding does.
    """
    import numpy as np

    found = {c.name: np.asarray(c.losses(), float) for c in contenders if c.losses is not None}
    if len(found) < 2:
        return ""
    (name, first), *others = found.items()
    worst, scale = 0.0, max(1e-3, float(np.abs(first).max()))
    for other, numbers in others:
        same = first.shape == numbers.shape
        off = float(np.abs(first - numbers).max()) / scale if same else np.inf
        worst = max(worst, off)
        if not off < tolerance:
            raise SystemExit(
                f"{other} does not compute what {name} does: {numbers} and {first}; no times"
            )
    skipped = [c.name for c in contenders if c.losses is None]
    what = (
        "Losses over five steps from common weights" if len(first) == STEPS_CHECKED else "Outputs"
    )
    text = f"{what} agree to {worst:.0e}"
    return text + (f" (not compared: {', '.join(skipped)})." if skipped else ".")
