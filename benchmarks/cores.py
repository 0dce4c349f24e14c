"""What one core pays to write memory that another has written or read: nanoseconds a line of 64 bytes.

    python benchmarks/cores.py        # a line of results each second, until Ctrl-C

A line that several cores have read lies in the caches of all, and must leave the others before one may write it. How
long that takes depends on the caches the cores share; in a virtual machine it may change at any time.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

LINE = 64  # bytes
SIZE = 512 << 10  # bytes: within the second-level cache of one core
ROUNDS = 9


class Cores:
    """Two threads, each on a core of its own; `cores` says whether there are two to be had."""

    def __init__(self) -> None:
        self._write, self._read = _loops()
        self._memory = np.zeros(SIZE // 4, np.float32)
        self._here, self._there = (_on(core) for core in sorted(os.sched_getaffinity(0))[:2])

    def written_last_by_itself(self) -> float:
        """Return nanoseconds a line that a core takes to write what it wrote last."""
        return self._write_after((self._here, self._write))

    def written_last_by_the_other(self) -> float:
        """Return nanoseconds a line that a core takes to write what the other one wrote last."""
        return self._write_after((self._there, self._write))

    def read_by_the_other(self) -> float:
        """Return nanoseconds a line that a core takes to write what it wrote last and the other one has read since."""
        return self._write_after((self._here, self._write), (self._there, self._read))

    def read_by_both(self) -> float:
        """Return nanoseconds a line that a core takes to write what it wrote last and both have read since."""
        here, there = self._here, self._there
        return self._write_after((here, self._write), (there, self._read), (here, self._read))

    def _write_after(self, *before: tuple[ThreadPoolExecutor, Callable[..., Any]]) -> float:
        def once() -> float:
            for thread, work in before:
                thread.submit(work, self._memory).result()
            return self._here.submit(_timed, self._write, self._memory).result()

        return statistics.median(once() for _ in range(ROUNDS)) / (SIZE / LINE) * 1e9


@cache
def cores() -> Cores | None:
    """Return two cores of this process, or None where there are none or they cannot be chosen."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return None
    return Cores()


def _on(core: int) -> ThreadPoolExecutor:
    def stay() -> None:
        os.sched_setaffinity(threading.get_native_id(), {core})

    return ThreadPoolExecutor(1, initializer=stay)


def _timed(work: Callable[[np.ndarray], Any], memory: np.ndarray) -> float:
    start = time.perf_counter()
    work(memory)
    return time.perf_counter() - start


def _loops() -> tuple[Callable[[np.ndarray], Any], Callable[[np.ndarray], Any]]:
    import numba

    @numba.njit(nogil=True)
    def write(memory: np.ndarray) -> None:
        for i in range(memory.size):
            memory[i] = 1

    @numba.njit(nogil=True, fastmath=True)
    def read(memory: np.ndarray) -> float:
        total = np.float32(0)
        for i in range(memory.size):
            total += memory[i]
        return total

    small = np.zeros(8, np.float32)
    write(small)
    read(small)
    return write, read


def main() -> None:
    """Print the times again and again."""
    pair = cores()
    if pair is None:
        raise SystemExit("there is one core alone, or no way to choose one")
    print(
        "nanoseconds to write a line that was written last by this core, by the other; "
        "read by the other since, by both"
    )
    cases = (
        pair.written_last_by_itself, pair.written_last_by_the_other, pair.read_by_the_other, pair.read_by_both,
    )  # fmt: skip
    while True:
        print(*(f"{case():6.1f}" for case in cases), flush=True)
        time.sleep(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
