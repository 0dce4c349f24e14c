"""`EmulatedDevice`: the CUDA device without a GPU, strict where a GPU is silent.

Memory is the host's, kernels are the CPU build of the same sources with the same arguments, products and graphs of the
libraries are computed by NumPy on the same addresses. Work is run at once, or recorded while capturing and run by
`replay`. What goes wrong in silence on a GPU is an error here: whatever a capture forbids, memory that is used before
it was written or after it died (it is full of NaN), and a kernel that writes past the end of its block.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import numpy as np

from cortex.compute.errors import BackendError
from cortex.compute.group import Group, HostedGroup
from cortex.compute.spec import ITEM_BYTES

from .backend import CudaBackend
from .device import Block, Launch, Libraries, LibraryCall, Properties, refused
from .kernels.host import HostLibrary, compiler, host_library
from .modules import Modules
from .options import Options

ALIGNMENT = 256
GUARD = 256  # bytes on both sides of a block that nobody may write
POISON = 0xFF  # NaN as a float of any size, -1 as a signed integer


@dataclass(eq=False)
class EmulatedGraph:
    """What was recorded, in order."""

    calls: list[Callable[[], object]]

    @property
    def launches(self) -> int:
        """Number of pieces of work inside."""
        return len(self.calls)


class EmulatedBlock(Block):
    """Host memory with guards, full of poison."""

    def __init__(self, size: int) -> None:
        raw = np.full(size + 2 * GUARD + ALIGNMENT, POISON, np.uint8)
        start = GUARD + (-(raw.ctypes.data + GUARD) % ALIGNMENT)
        super().__init__(raw.ctypes.data + start, size, raw)
        self._before, self._after = raw[start - GUARD : start], raw[start + size :]
        raw[start : start + size] = POISON

    @property
    def overrun(self) -> bool:
        """Whether somebody wrote outside."""
        return bool((self._before != POISON).any() or (self._after != POISON).any())


class EmulatedGroup(HostedGroup):
    """A group whose device memory is the host's."""

    def all_reduce_on_device(self, address: int, count: int, dtype: str, stream: int) -> None:
        """Sum at once, by the group of the host."""
        memory = memoryview((ctypes.c_uint8 * (count * ITEM_BYTES[dtype])).from_address(address))
        self.all_reduce(np.frombuffer(memory, np.dtype(dtype)))


class EmulatedDevice:
    """A device in the host's memory; `memory` bytes of it, so that running out can be tested."""

    name = "cuda-emulated"
    poisons = True

    def __init__(self, memory: int = 4 << 30, libraries: bool = True) -> None:
        versions = {"engine": "fallback: NumPy stands in for the libraries"} if libraries else {}
        self.properties = Properties("the emulated device", memory, versions=versions)
        self._blocks: WeakSet[EmulatedBlock] = WeakSet()
        self._recorded: list[Callable[[], object]] | None = None
        self._with_libraries = libraries
        self.uploads = self.downloads = self.replays = (
            0  # for tests: what a step costs beside its launches
        )

    def libraries(self, options: Options) -> Libraries:
        """Return NumPy behind the arguments of cuBLASLt and cuDNN, or nothing, so that our plain kernels run."""
        if not self._with_libraries:
            return Libraries(missing=("left out on purpose",))
        from .libraries.emulated import EmulatedDnn, EmulatedProducts

        return Libraries(EmulatedProducts(), EmulatedDnn())

    def of_process(self, rank: int) -> EmulatedDevice:
        """Return a device of the process's own."""
        return EmulatedDevice(self.properties.memory, self._with_libraries)

    def joined(self, group: Group) -> Group:
        """Return the group with sums in memory that is the host's."""
        return EmulatedGroup(group)

    def free_memory(self) -> int:
        """Return what the living blocks leave."""
        return self.properties.memory - sum(b.bytes for b in self._blocks)

    def allocate(self, size: int) -> Block:
        """Return a block full of poison.

        Raises:
            BackendError: the device is full, or it is capturing.
        """
        self._refuse("allocation")
        if size > self.free_memory():
            raise BackendError(
                f"out of memory: {size:,} bytes asked for, {self.free_memory():,} free; reduce the batch"
            )
        block = EmulatedBlock(size)
        self._blocks.add(block)
        return block

    def clear(self, address: int, size: int) -> None:
        """Set bytes to zero."""
        self._do(lambda: ctypes.memset(address, 0, size))

    def poison(self, address: int, size: int) -> None:
        """Fill bytes with what no reader survives."""
        self._do(lambda: ctypes.memset(address, POISON, size))

    def copy(self, target: int, source: int, size: int) -> None:
        """Copy; source and target may not overlap."""
        self._do(lambda: ctypes.memmove(target, source, size))

    def upload(self, address: int, array: np.ndarray) -> None:
        """Copy a dense host array to the device."""
        self._refuse("upload")
        self.uploads += 1
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def download(self, address: int, array: np.ndarray) -> None:
        """Copy device memory into a dense host array."""
        self._refuse("download")
        self.downloads += 1
        self.synchronise()
        ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def prepare(self, launches: Sequence[Launch]) -> list[Callable[[], None]]:
        """Compile and load what the launches need; return a function for each that runs or records it."""
        self._refuse("loading a kernel")
        bound = self._bound(launches)
        return [lambda call=call: self._do(call) for call in bound]  # type: ignore[misc]

    def begin_capture(self) -> None:
        """Record from now on.

        Raises:
            BackendError: it is capturing already.
        """
        self._refuse("a second capture")
        self._recorded = []

    def end_capture(self) -> EmulatedGraph:
        """Return what was recorded.

        Raises:
            BackendError: nothing is being captured.
        """
        if self._recorded is None:
            raise BackendError("end_capture: nothing is being captured; call begin_capture first")
        recorded, self._recorded = self._recorded, None
        return EmulatedGraph(recorded)

    def replay(self, graph: EmulatedGraph) -> None:
        """Run what was recorded."""
        self._refuse("replay")
        self.replays += 1
        with np.errstate(all="ignore"):  # as on a GPU: overflow is infinity, not a warning
            for call in graph.calls:
                call()

    def synchronise(self) -> None:
        """Look at the guards, as everything has run already.

        Raises:
            BackendError: a kernel wrote outside a block, or the device is capturing.
        """
        self._refuse("waiting")
        for block in self._blocks:
            if block.overrun:
                raise BackendError(
                    f"a kernel wrote outside its block of {block.bytes:,} bytes: an index or an extent is wrong"
                )

    def timed(self, work: Callable[[], None]) -> float:
        """Return the seconds that the work takes here; they say nothing about a GPU."""
        self._refuse("timing")
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    def _bound(self, launches: Sequence[Launch]) -> list[Callable[[], object]]:
        modules.prepare(x.target for x in launches)
        return [self._call(launch) for launch in launches]

    def _call(self, launch: Launch) -> Callable[[], object]:
        target, values = launch.target, launch.arguments
        if target == "copy":
            to, source, size = values
            return lambda: ctypes.memmove(to, source, size)
        if target == "clear":
            to, size = values
            return lambda: ctypes.memset(to, 0, size)
        if isinstance(target, LibraryCall):
            return lambda: target.run(values, 0)
        loaded = modules.find(target)
        function, arguments = loaded.module[loaded.kernel.name], loaded.arguments(values)
        return lambda: function(arguments)

    def _do(self, call: Callable[[], object]) -> None:
        if self._recorded is None:
            with np.errstate(all="ignore"):
                call()
        else:
            self._recorded.append(call)

    def _refuse(self, what: str) -> None:
        if self._recorded is not None:
            raise refused(what)


modules: Modules[HostLibrary] = Modules(host_library)  # of the process, whichever device asks


class EmulatedBackend(CudaBackend):
    """The CUDA backend on the emulated device: for tests where there is no GPU, and slow."""

    def __init__(self, **options: Any) -> None:
        super().__init__(EmulatedDevice(), **options)


def available() -> tuple[bool, str]:
    """Return whether there is the C++ compiler that the emulated device compiles its kernels with."""
    try:
        return True, f"the CUDA backend without a GPU, for tests; kernels compiled by {compiler()}"
    except BackendError as error:
        return False, str(error)
