"""`CudaDevice`: an NVIDIA GPU through CuPy: memory, one non-blocking stream, modules, graphs, events.

Not verified on a GPU: docs/gpu-verification.md says when that changes.

The rules of capture shape it (CuPy 14): the stream is our own and non-blocking, because the default stream cannot be
captured; nothing is allocated and no array of CuPy's is computed with while it captures; uploads leave through pinned
memory on the same stream, so a launch that follows sees them without a wait.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex.compute.errors import BackendError

from .device import Block, Launch, LibraryCall, Properties, refused

if TYPE_CHECKING:
    from .libraries.protocols import DnnOps, MatmulOps

STAGES = 4  # pinned buffers in turn: the host fills one while the copies from the others are on their way
RESERVE = 64 << 20  # bytes left to the driver: lazily loaded modules, graphs, local memory


@dataclass(eq=False)
class CudaGraph:
    """A captured graph, and how many launches it holds."""

    graph: Any
    launches: int


class CudaDevice:
    """One GPU; `number` as CUDA counts them."""

    name = "cuda"
    poisons = False

    def __init__(self, number: int = 0) -> None:
        import cupy

        self._cupy: Any = cupy
        self._device = cupy.cuda.Device(number)
        self._device.use()
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self._stages: list[_Stage] = [_Stage(cupy) for _ in range(STAGES)]
        self._next_stage = 0
        self._functions: dict[Any, Any] = {}
        self._captured: int | None = None  # launches so far, while capturing

    @cached_property
    def properties(self) -> Properties:
        """Name, memory, multiprocessors, compute capability, versions."""
        runtime = self._cupy.cuda.runtime
        found = runtime.getDeviceProperties(self._device.id)
        versions = {
            "cupy": self._cupy.__version__,
            "cuda runtime": _version(runtime.runtimeGetVersion()),
            "cuda driver": _version(runtime.driverGetVersion()),
        }
        return Properties(
            found["name"].decode(), int(found["totalGlobalMem"]), int(found["multiProcessorCount"]),
            f"{found['major']}.{found['minor']}", versions,
        )  # fmt: skip

    @cached_property
    def products(self) -> MatmulOps | None:
        """cuBLASLt, where our extension is built and the library is found."""
        from .libraries import open_products

        return open_products()

    @cached_property
    def dnn(self) -> DnnOps | None:
        """cuDNN, where its frontend is installed and the library is found."""
        from .libraries import open_dnn

        return open_dnn(self.stream.ptr)

    def free_memory(self) -> int:
        """Return what the driver has free, less a reserve for the driver itself."""
        free, _ = self._cupy.cuda.runtime.memGetInfo()
        pool = self._cupy.get_default_memory_pool()
        return max(0, int(free) + int(pool.free_bytes()) - RESERVE)

    def allocate(self, size: int) -> Block:
        """Return memory that no pool hands to anybody else while the block lives."""
        self._refuse("allocation")
        try:
            with self.stream:
                owner = self._cupy.cuda.alloc(max(1, size))
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            raise BackendError(f"out of memory: {error}; reduce the batch") from None
        return Block(int(owner.ptr), size, owner)

    def clear(self, address: int, size: int) -> None:
        """Enqueue a memset."""
        self._count()
        self._cupy.cuda.runtime.memsetAsync(address, 0, size, self.stream.ptr)

    def poison(self, address: int, size: int) -> None:
        """Do nothing: poisoning is what the emulated device is for."""

    def copy(self, target: int, source: int, size: int) -> None:
        """Enqueue a copy on the device."""
        self._count()
        runtime = self._cupy.cuda.runtime
        runtime.memcpyAsync(
            target, source, size, runtime.memcpyDeviceToDevice, self.stream.ptr
        )

    def upload(self, address: int, array: np.ndarray) -> None:
        """Copy through pinned memory; returns when the array was staged, not when it has arrived."""
        self._refuse("upload")
        stage = self._stages[self._next_stage]
        self._next_stage = (self._next_stage + 1) % STAGES
        source = stage.fill(array)
        runtime = self._cupy.cuda.runtime
        runtime.memcpyAsync(
            address, source, array.nbytes, runtime.memcpyHostToDevice, self.stream.ptr
        )
        stage.sent.record(self.stream)

    def download(self, address: int, array: np.ndarray) -> None:
        """Copy to the host and wait."""
        self._refuse("download")
        runtime = self._cupy.cuda.runtime
        runtime.memcpyAsync(
            array.ctypes.data, address, array.nbytes, runtime.memcpyDeviceToHost, self.stream.ptr
        )
        self.stream.synchronize()

    def prepare(self, launches: Sequence[Launch]) -> list[Callable[[], None]]:
        """Load the modules of the launches' kernels, all in one compilation, and bind each launch."""
        self._refuse("loading a kernel")
        self._load([x.target for x in launches])
        return [self._bind(x) for x in launches]

    def _bind(self, launch: Launch) -> Callable[[], None]:
        target, arguments = launch.target, launch.arguments
        if target == "copy":
            return lambda: self.copy(*arguments)  # type: ignore[arg-type]
        if target == "clear":
            return lambda: self.clear(*arguments)  # type: ignore[arg-type]
        if isinstance(target, LibraryCall):
            addresses = [int(a) for a in arguments]

            def call() -> None:
                self._count()
                with self.stream:
                    target.run(addresses, self.stream.ptr)

            return call
        return self._bind_kernel(launch)
