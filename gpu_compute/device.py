"""`Device`: what the backend asks of a machine with its own memory; two implementations, one real and one emulated.

A device hands out blocks of memory at fixed addresses, copies, launches kernels in order on one stream, and captures
what is enqueued between `begin_capture` and `end_capture` as a `Graph` that is replayed by one call. While it captures
it refuses what a CUDA stream refuses: allocation, upload, download and synchronisation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from cortex.compute.errors import BackendError
from cortex.compute.group import Group

from .kernels.emitted import Form
from .kernels.source import Kernel, Variant
from .options import Options

if TYPE_CHECKING:
    from .libraries.protocols import DnnOps, MatmulOps


@dataclass(frozen=True)
class Properties:
    """What a device is: names and versions for people, numbers for plans; memory in bytes."""

    name: str
    memory: int
    multiprocessors: int = 1
    capability: str = ""  # compute capability, such as "9.0"
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class Block:
    """Bytes on a device at a fixed address; the memory lives as long as this object."""

    address: int
    bytes: int
    owner: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class Launch:
    """One piece of work with everything known: what to call, with which numbers and addresses.

    `arguments` stand in the order of the target's parameters: pointers as integers, structures as mappings.
    """

    target: Target
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class KernelTarget:
    """A kernel of csrc/device, and the types and width of indices it is compiled for."""

    kernel: Kernel
    variant: Variant


@dataclass(frozen=True)
class MapTarget:
    """A kernel that is written out from the expressions of a map."""

    form: Form


@dataclass(frozen=True)
class LibraryCall:
    """A plan of a library; `run` enqueues it, given the arguments in order and the stream's address."""

    name: str
    run: Callable[[Sequence[int], int], None] = field(compare=False)


# "copy" takes (target, source, bytes), "clear" takes (target, bytes)
Target = KernelTarget | MapTarget | LibraryCall | Literal["copy", "clear"]


@dataclass(frozen=True)
class Libraries:
    """What a device has beside our own kernels; None where they compute it, and why."""

    products: MatmulOps | None = None
    dnn: DnnOps | None = None
    missing: tuple[str, ...] = ()


class Graph(Protocol):
    """Work captured once, to be replayed by one call."""

    @property
    def launches(self) -> int:
        """Number of pieces of work inside."""
        ...


class Device(Protocol):
    """A machine with its own memory and one stream of work."""

    @property
    def name(self) -> str:
        """`cuda` or `cuda-emulated`: the name of the backend that runs on it."""
        ...

    @property
    def poisons(self) -> bool:
        """Whether memory whose content is dead is to be overwritten, so that reading it is found."""
        ...

    @property
    def properties(self) -> Properties:
        """What it is."""
        ...

    def libraries(self, options: Options) -> Libraries:
        """Return the libraries that run here in the mode that the options ask for."""
        ...

    def free_memory(self) -> int:
        """Return the number of bytes that can be allocated now."""
        ...

    def allocate(self, size: int) -> Block:
        """Return a block of `size` bytes of undefined content, aligned to 256."""
        ...

    def clear(self, address: int, size: int) -> None:
        """Enqueue setting bytes to zero."""
        ...

    def poison(self, address: int, size: int) -> None:
        """Enqueue overwriting bytes that nobody may read (devices that do not poison do nothing)."""
        ...

    def copy(self, target: int, source: int, size: int) -> None:
        """Enqueue a copy inside the device's memory."""
        ...

    def upload(self, address: int, array: np.ndarray) -> None:
        """Copy a host array to the device; the array may change as soon as this returns."""
        ...

    def download(self, address: int, array: np.ndarray) -> None:
        """Copy device memory into a host array, after all enqueued work."""
        ...

    def prepare(self, launches: Sequence[Launch]) -> Sequence[Callable[[], None]]:
        """Load what the launches need and return a function for each that enqueues it."""
        ...

    def begin_capture(self) -> None:
        """Record what is enqueued from now on instead of running it."""
        ...

    def end_capture(self) -> Graph:
        """Stop recording and return what was recorded."""
        ...

    def replay(self, graph: Any) -> None:
        """Enqueue a graph that this device has captured."""
        ...

    def of_process(self, rank: int) -> Device:
        """Return the device of this kind that process `rank` of several is to use."""
        ...

    def joined(self, group: Group) -> Group:
        """Return the group with sums in this device's memory too (`compute.group.DeviceGroup`)."""
        ...

    def synchronise(self) -> None:
        """Wait until all enqueued work is done."""
        ...

    def timed(self, work: Callable[[], None]) -> float:
        """Return the seconds that the device takes for what `work` enqueues."""
        ...


def refused(what: str) -> BackendError:
    """Return the error for what is not allowed while a device captures."""
    return BackendError(
        f"{what} while a graph is being captured: a captured step must not allocate, copy from or to the host, or "
        "wait; do it before begin_capture or after end_capture"
    )


def out_of_memory(
    needed: int, free: int, name: str, largest: Sequence[tuple[str, int]]
) -> BackendError:
    """Return the error for a program that does not fit; `largest` holds what takes most, with bytes."""
    listed = ", ".join(f"{what} ({readable(size)})" for what, size in largest)
    return BackendError(
        f"out of memory: the program needs {readable(needed)}, {name} has {readable(free)} free; "
        f"largest: {listed}; reduce the batch, or share one memory between executables that run one at a time"
    )


def readable(size: int) -> str:
    """Return bytes for people: `3.2 GiB`, and the exact number where it is below a MiB."""
    for unit, width in (("GiB", 30), ("MiB", 20)):
        if size >= 1 << width:
            return f"{size / (1 << width):.1f} {unit}"
    return f"{size:,} bytes"
