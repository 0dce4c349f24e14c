"""Processes joined by MPI: `join()` returns the group of all that `mpiexec` started.

mpi4py, the extra `distributed`, is imported when a process joins, not before; that initialises MPI.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any, NoReturn

import numpy as np

from . import threads
from .group import DistributedError

INSTALL = "install it with `pip install 'cortex[distributed]'`, which brings mpi4py and MPICH"


class MpiGroup:
    """The processes of an MPI communicator; sums are made in place, in the memory of the host."""

    def __init__(self, communicator: Any) -> None:
        from mpi4py import MPI

        self._mpi, self._communicator = MPI, communicator
        self.rank: int = communicator.Get_rank()
        self.size: int = communicator.Get_size()

    def all_reduce(self, array: np.ndarray) -> None:
        """Sum in place with one `MPI_Allreduce`."""
        if array.size:
            self._communicator.Allreduce(self._mpi.IN_PLACE, array, op=self._mpi.SUM)

    def broadcast(self, array: np.ndarray) -> None:
        """Copy from process 0 with one `MPI_Bcast`, of bytes: any dtype will do."""
        if array.size:
            self._communicator.Bcast(array.reshape(-1).view(np.uint8), root=0)

    def gather(self, text: str) -> list[str]:
        """Send the lengths, then the bytes."""
        own = np.frombuffer(text.encode(), np.uint8)
        lengths = np.empty(self.size, np.int64)
        self._communicator.Allgather(np.array([own.size], np.int64), lengths)
        every = np.empty(int(lengths.sum()), np.uint8)
        self._communicator.Allgatherv(own, [every, lengths])
        ends = np.cumsum(lengths)
        return [every[e - n : e].tobytes().decode() for e, n in zip(ends, lengths, strict=True)]

    def abort(self, message: str, code: int = 1) -> NoReturn:
        """Write the message to standard error and call `MPI_Abort`."""
        print(message, file=sys.stderr, flush=True)
        sys.stdout.flush()
        self._communicator.Abort(code)
        os._exit(code)  # MPI_Abort does not come back; if it did, this process must not go on


@cache
def join() -> MpiGroup:
    """Return the group of all processes that `mpiexec` started; of this one alone where it was started without.

    Unless somebody said how many threads to use, the processes on a machine share its cores out. From here on, an
    exception that nobody catches in one process ends all: the others would wait for it.

    Raises:
        DistributedError: mpi4py is missing or finds no MPI library.
    """
    try:
        from mpi4py import MPI
    except ImportError as error:
        if error.name == "mpi4py":
            raise DistributedError(f"mpi4py is not installed; {INSTALL}") from None
        raise DistributedError(f"mpi4py does not work here ({error}); {INSTALL}") from error
    except RuntimeError as error:  # it opens the library of MPI at its import
        raise DistributedError(f"mpi4py finds no MPI library ({error}); {INSTALL}") from error
    world = MPI.COMM_WORLD
    group = MpiGroup(world.Dup())
    if group.size > 1:
        _share_cores(MpiGroup(world.Split_type(MPI.COMM_TYPE_SHARED)))
        _end_all_where_one_fails(group)
    return group


def _end_all_where_one_fails(group: MpiGroup) -> None:
    before = sys.excepthook

    def hook(kind: Any, error: BaseException, trace: Any) -> None:
        before(kind, error, trace)
        group.abort(f"cortex: process {group.rank} of {group.size} failed, all end")

    sys.excepthook = hook


def _share_cores(neighbours: MpiGroup) -> None:
    """Set the number of threads by the processes of this machine, unless somebody else set it."""
    own = sorted(_usable_cores())
    every = [map(int, text.split()) for text in neighbours.gather(" ".join(map(str, own)))]
    if threads.source() == threads.DEFAULT:
        threads.set_num_threads(fair_threads(own, [set(cores) for cores in every]))


def fair_threads(own: Sequence[int], every: Sequence[set[int]]) -> int:
    """Return a process's threads: its cores over the processes (itself included) that may use one of them."""
    rivals = sum(bool(cores & set(own)) for cores in every)
    return max(1, len(own) // max(1, rivals))


def _usable_cores() -> Sequence[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)
