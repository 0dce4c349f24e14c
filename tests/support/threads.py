"""A group whose processes are threads of this one, for tests that need many small groups."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np


class Shared:
    """What the threads of a group have in common."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size, timeout=60)
        self.given: list[Any] = [None] * size
        self.sums = 0


class ThreadGroup:
    """One thread's place in a group."""

    def __init__(self, shared: Shared, rank: int) -> None:
        self.rank, self.size, self._shared = rank, shared.size, shared

    def _exchange(self, given: Any) -> list[Any]:
        self._shared.given[self.rank] = given
        self._shared.barrier.wait()
        every = list(self._shared.given)
        self._shared.barrier.wait()
        return every

    def all_reduce(self, array: np.ndarray) -> None:
        every = self._exchange(array.copy())
        assert len({(a.shape, a.dtype) for a in every}) == 1, [a.shape for a in every]
        array[...] = np.sum(every, 0, dtype=array.dtype)
        self._shared.sums += self.rank == 0

    def broadcast(self, array: np.ndarray) -> None:
        array[...] = self._exchange(array.copy())[0]

    def gather(self, text: str) -> list[str]:
        return self._exchange(text)

    def abort(self, message: str, code: int = 1) -> NoReturn:
        self._shared.barrier.abort()
        raise RuntimeError(message)


def in_threads(size: int, function: Callable[[ThreadGroup], Any]) -> list[Any]:
    """Run a function in every member of a group at once and return the results by rank."""
    shared = Shared(size)
    results: list[Any] = [None] * size
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            results[rank] = function(ThreadGroup(shared, rank))
        except BaseException as error:
            errors.append(error)
            shared.barrier.abort()

    threads = [threading.Thread(target=run, args=(k,)) for k in range(size)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    real = [e for e in errors if not isinstance(e, threading.BrokenBarrierError)]
    if errors:
        raise (real or errors)[0]
    return results
