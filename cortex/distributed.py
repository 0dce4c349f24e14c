"""Training with several processes: joining them, failing together, telling them apart.

    mpiexec -n 4 cortex train mnist --distributed
    mpiexec -n 4 python script.py          # with cortex.fit(..., distributed=True) in it

After every step all processes hold the same state, bit for bit; so all take the same decisions. docs/distributed.md
says how.
"""

from __future__ import annotations

import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from cortex.compute.errors import CortexError
from cortex.compute.group import DistributedError, Group, Share, share_of
from cortex.compute.mpi import join

__all__ = [
    "ALONE", "DistributedError", "Group", "Share", "agreed", "check_drift", "ending_together", "group_of",
    "is_leader", "join", "share_of",
]  # fmt: skip

ALONE = (
    "distributed: this process is alone and trains as if it were not distributed; "
    "start it with `mpiexec -n 2 ...` for two"
)


def group_of(distributed: bool | Group) -> Group | None:
    """Return the group that the argument `distributed` of `train` stands for; None for a process alone.

    Raises:
        DistributedError: mpi4py is missing.
    """
    if distributed is False or distributed is None:
        return None
    group = join() if distributed is True else distributed
    if group.size == 1:
        if distributed is True:
            warnings.warn(ALONE, stacklevel=4)
        return None
    return group


def is_leader(group: Group | None) -> bool:
    """Return whether this process is the one that prints, logs and writes: number 0, or alone."""
    return group is None or group.rank == 0


@contextmanager
def agreed(group: Group | None) -> Iterator[None]:
    """Raise an error of the block in all processes of a group; for preparations, in which nobody waits for others.

    An error that all have is raised as it is.

    Raises:
        DistributedError: some of the processes failed; the message has what each of them says.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as caught:
        error = caught
    texts = [""] if group is None else group.gather("" if error is None else _words(error))
    if error is not None and len(set(texts)) == 1 or group is None:
        if error is not None:
            raise error
    elif any(texts):
        said = "; ".join(f"process {k}: {text}" for k, text in enumerate(texts) if text)
        raise DistributedError(f"not all of {group.size} processes could begin: {said}") from error


_guarded: ContextVar[bool] = ContextVar("cortex_guarded", default=False)


@contextmanager
def ending_together(group: Group | None, advice: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Where the block fails or is interrupted in one process, end all with a message and advice.

    The others would wait for it for ever. Of nested blocks the outermost does that, after the inner ones cleaned up.
    """
    if group is None or _guarded.get():
        yield
        return
    token = _guarded.set(True)
    try:
        yield
    except BaseException as error:
        who = f"cortex: process {group.rank} of {group.size}"
        if isinstance(error, KeyboardInterrupt):
            group.abort(f"{who} was interrupted, all end{advice()}", 130)
        if not isinstance(error, CortexError):
            traceback.print_exception(error)
        group.abort(f"{who} failed, all end{advice()}: {_words(error)}")
    finally:
        _guarded.reset(token)


def check_drift(group: Group | None, name: str, array: np.ndarray) -> None:
    """Compare an array that must be the same in all processes, by a checksum.

    Raises:
        DistributedError: it differs, in all processes.
    """
    if group is None:
        return
    sums = group.gather(f"{zlib.crc32(array.tobytes()):08x}")
    wrong = [k for k, s in enumerate(sums) if s != sums[0]]
    if wrong:
        raise DistributedError(
            f"{name} of process {wrong[0]} is no longer that of process 0: the processes did not do the same; "
            "check that all have the same data and options"
        )


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
