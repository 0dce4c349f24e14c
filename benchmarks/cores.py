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
from typing import Any

import numpy as np

LINE = 64  # bytes
SIZE = 512 << 10  # bytes: within the second-level cache of one core
CASES = ("written last by itself", "written last by the other", "read by both")


def line_times(rounds: int = 15) -> dict[str, float]:
    """Return nanoseconds a line for each of `CASES`, the median of some rounds; empty where there is one core alone."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return {}
    write, read = _loops()
    memory = np.zeros(SIZE // 4, np.float32)
    first, second = sorted(os.sched_getaffinity(0))[:2]
    with _on(first) as here, _on(second) as there:

        def seconds(*before: tuple[ThreadPoolExecutor, Callable[[np.ndarray], Any]]) -> float:
            for thread, work in before:
                thread.submit(work, memory).result()
            return here.submit(_timed, write, memory).result()

        made = {
            CASES[0]: ((here, write),),
            CASES[1]: ((there, write),),
            CASES[2]: ((here, write), (there, read), (here, read)),
        }
        lines = SIZE / LINE
        return {
            case: statistics.median(seconds(*before) for _ in range(rounds)) / lines * 1e9
            for case, before in made.items()
        }


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
    while times := line_times():
        print(", ".join(f"{case}: {t:.1f} ns" for case, t in times.items()), flush=True)
        time.sleep(1)
    print("there is one core alone, or no way to choose one")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
