"""Processes that train together: what a group of them offers, and how a batch is shared out.

Every process runs the same program on its share of each batch; wherever something is summed over examples, an
`ops.AllReduce` adds up the shares. A backend that can do that has `capabilities.collectives` and the method
`joined(group)`, which gives the backend that sums over that group; without a group the op is the identity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, runtime_checkable

import numpy as np

from .errors import BackendError, CortexError

if TYPE_CHECKING:
    from .backend import Backend
    from .program import Program


class DistributedError(CortexError, RuntimeError):
    """Processes cannot work together: something is missing, or they do not do the same."""


class Group(Protocol):
    """Processes numbered 0 .. size - 1. Every method but `abort` must be called by all of them, in the same order."""

    @property
    def rank(self) -> int:
        """The number of this process."""
        ...

    @property
    def size(self) -> int:
        """How many processes there are."""
        ...

    def all_reduce(self, array: np.ndarray) -> None:
        """Replace a contiguous array by its sum over the processes, bit for bit the same on all of them."""
        ...

    def broadcast(self, array: np.ndarray) -> None:
        """Replace a contiguous array by that of process 0."""
        ...

    def gather(self, text: str) -> list[str]:
        """Return the texts of all processes, by rank."""
        ...

    def abort(self, message: str, code: int = 1) -> NoReturn:
        """Say why, and end all processes at once; for when the others wait for what will never come."""
        ...


@runtime_checkable
class DeviceGroup(Protocol):
    """What a group offers besides where it can sum in the memory of a device; see `cortex.gpu_compute.nccl`.

    A backend for devices makes one in its `joined`, from the group of the host that it is given.
    """

    def all_reduce_on_device(self, address: int, count: int, dtype: str, stream: int) -> None:
        """Enqueue, on a stream (its address), the in-place sum of `count` elements at an address of the device."""
        ...


class HostedGroup:
    """The same group as another one, the `host`: what groups of devices build on."""

    def __init__(self, host: Group) -> None:
        self._host = host
        self.rank, self.size = host.rank, host.size

    def all_reduce(self, array: np.ndarray) -> None:
        """Sum an array of the host."""
        self._host.all_reduce(array)

    def broadcast(self, array: np.ndarray) -> None:
        """Copy an array of the host from process 0."""
        self._host.broadcast(array)

    def gather(self, text: str) -> list[str]:
        """Return the texts of all processes, by rank."""
        return self._host.gather(text)

    def abort(self, message: str, code: int = 1) -> NoReturn:
        """Say why, and end all processes."""
        self._host.abort(message, code)


@runtime_checkable
class Collective(Protocol):
    """What a backend with `capabilities.collectives` offers besides `Backend`."""

    def joined(self, group: Group) -> Backend:
        """Return this backend with its `AllReduce` summing over a group."""
        ...


@dataclass(frozen=True)
class Share:
    """The examples of a batch that one process computes: `count` of `total`, from number `first` on."""

    first: int
    count: int
    total: int

    @property
    def rows(self) -> slice:
        """Where they lie in the batch."""
        return slice(self.first, self.first + self.count)


def share_of(group: Group, total: int) -> Share:
    """Return the share of this process in a batch of `total`; shares differ by one example at most, some are empty."""
    first, last = (total * k // group.size for k in (group.rank, group.rank + 1))
    return Share(first, last - first, total)


def in_group(backend: Backend, group: Group | None) -> Backend:
    """Return the backend that sums over a group; itself where there is no other process.

    Raises:
        BackendError: it cannot.
    """
    if group is None or group.size == 1:
        return backend
    if not backend.capabilities.collectives or not isinstance(backend, Collective):
        raise BackendError(
            f"backend {backend.name!r} cannot sum over processes (capabilities.collectives is false); "
            "train in one process, or choose another backend"
        )
    return backend.joined(group)


def check_same(group: Group, what: str, given: Mapping[str, Any]) -> None:
    """Compare plain data of all processes.

    Raises:
        DistributedError: they differ; the message names the first entry that does, and two processes. All raise it.
    """
    mine = {name: json.dumps(value, sort_keys=True) for name, value in given.items()}
    every = [json.loads(text) for text in group.gather(json.dumps(mine))]
    for rank, other in enumerate(every):
        for name in {**every[0], **other}:
            one, two = (entries.get(name, "nothing") for entries in (every[0], other))
            if one != two:
                raise DistributedError(
                    f"{what}: all processes must do the same, but {name} is {_short(one)} in process 0 and "
                    f"{_short(two)} in process {rank}"
                )


def check_programs(group: Group, program: Program) -> None:
    """Compare the sums over processes in the programs that all are about to run: their order, shapes and dtypes.

    Raises:
        DistributedError: they differ; the processes would wait for each other for ever.
    """
    from .ops import AllReduce

    sums = [s for s in program.steps if isinstance(s.op, AllReduce)]
    listed = {f"sum {k}": f"{s.inputs[0].spec} {s.label}" for k, s in enumerate(sums)}
    check_same(group, "the compiled program", {"number of sums": len(sums), **listed})


def _short(text: str) -> str:
    return text if len(text) <= 100 else text[:97] + "..."
