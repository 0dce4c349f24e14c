"""`CudaDevice`: an NVIDIA GPU through CuPy: memory, one non-blocking stream, modules, graphs, events.

Not verified on a GPU: docs/gpu-verification.md says when that changes.

The rules of capture shape it (CuPy 14): the stream is our own and non-blocking, because the default stream cannot be
captured; nothing is allocated while it captures; uploads leave through pinned memory on the same stream, so that a
launch that follows sees them without a wait. Kernels are launched through the driver with arguments of their exact
types: CuPy would pass a Python float as a double and an int as 64 bits, and the kernel would read rubbish.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from cortex.compute.errors import BackendError
from cortex.compute.group import Group

from .device import Block, Launch, Libraries, LibraryCall, Properties, refused
from .kernels.launch import launch_for
from .kernels.nvrtc import compile_cuda
from .modules import Modules
from .options import Options

STAGES = 4  # pinned buffers in turn: the host fills one while the copies from the others are on their way
STAGE_BYTES = 16 << 20  # of one; longer arrays go in pieces
RESERVE = 64 << 20  # bytes left to the driver: modules that are loaded later, graphs, local memory
RELAXED = 2  # cudaStreamCaptureModeRelaxed: other threads may allocate meanwhile


@dataclass(eq=False)
class CudaGraph:
    """A captured graph, how many launches it holds, and what must live as long as it does."""

    graph: Any
    launches: int


class CudaDevice:
    """One GPU; `number` as CUDA counts them."""

    name = "cuda"
    poisons = False

    def __init__(self, number: int = 0) -> None:
        import cupy

        self._cupy: Any = cupy
        self._runtime: Any = cupy.cuda.runtime
        self._driver: Any = cupy.cuda.driver
        self.number = number
        cupy.cuda.Device(number).use()
        self.stream: Any = cupy.cuda.Stream(non_blocking=True)
        self._stages = [_Stage(cupy) for _ in range(STAGES)]
        self._captured: int | None = None  # launches so far, while capturing
        self._modules: Modules[Any] = Modules(self._loaded)

    @cached_property
    def properties(self) -> Properties:
        """Name, memory, multiprocessors, compute capability, versions."""
        found = self._runtime.getDeviceProperties(self.number)
        versions = {
            "cupy": str(self._cupy.__version__),
            "cuda runtime": _version(self._runtime.runtimeGetVersion()),
            "cuda driver": _version(self._runtime.driverGetVersion()),
        }
        return Properties(
            found["name"].decode(), int(found["totalGlobalMem"]), int(found["multiProcessorCount"]),
            f"{found['major']}.{found['minor']}", versions,
        )  # fmt: skip

    def of_process(self, rank: int) -> CudaDevice:
        """Return the GPU of a process: they take those of a machine in turn, machines being alike."""
        number = rank % int(self._runtime.getDeviceCount())
        return self if number == self.number else CudaDevice(number)

    def joined(self, group: Group) -> Group:
        """Return the group with sums by NCCL."""
        from .nccl import NcclGroup

        return NcclGroup(group, self.number)

    def libraries(self, options: Options) -> Libraries:
        """Return cuBLASLt and cuDNN in the mode asked for; where one is missing, why."""
        missing: list[str] = []
        products = _opened(missing, partial(_products, self.number))
        dnn = _opened(missing, partial(_dnn, self.number, options, self.properties.memory))
        return Libraries(products, dnn, tuple(missing))

    def free_memory(self) -> int:
        """Return what the driver and CuPy's pool have free, less a reserve for the driver itself."""
        free, _ = self._runtime.memGetInfo()
        pool = self._cupy.get_default_memory_pool()
        return max(0, int(free) + int(pool.free_bytes()) - RESERVE)

    def allocate(self, size: int) -> Block:
        """Return memory that the pool hands to nobody else while the block lives.

        Raises:
            BackendError: the device is full, or it is capturing.
        """
        self._refuse("allocation")
        try:
            with self.stream:
                owner = self._cupy.cuda.alloc(max(1, size))
        except self._cupy.cuda.memory.OutOfMemoryError:
            self._cupy.get_default_memory_pool().free_all_blocks()  # held in other sizes
            try:
                with self.stream:
                    owner = self._cupy.cuda.alloc(max(1, size))
            except self._cupy.cuda.memory.OutOfMemoryError as error:
                raise BackendError(f"out of memory: {error}; reduce the batch") from None
        return Block(int(owner.ptr), size, owner)

    def clear(self, address: int, size: int) -> None:
        """Enqueue setting bytes to zero."""
        self._count()
        self._runtime.memsetAsync(address, 0, size, self.stream.ptr)

    def poison(self, address: int, size: int) -> None:
        """Do nothing: poisoning is what the emulated device is for."""

    def copy(self, target: int, source: int, size: int) -> None:
        """Enqueue a copy on the device."""
        self._count()
        kind = self._runtime.memcpyDeviceToDevice
        self._runtime.memcpyAsync(target, source, size, kind, self.stream.ptr)

    def upload(self, address: int, array: np.ndarray) -> None:
        """Copy through pinned memory; returns when the array is staged, not when it has arrived."""
        self._refuse("upload")
        flat = array.reshape(-1).view(np.uint8)
        for start in range(0, flat.size, STAGE_BYTES):
            piece = flat[start : start + STAGE_BYTES]
            stage = self._stages.pop(0)
            self._stages.append(stage)
            source, kind = stage.fill(piece), self._runtime.memcpyHostToDevice
            self._runtime.memcpyAsync(address + start, source, piece.size, kind, self.stream.ptr)
            stage.sent.record(self.stream)

    def download(self, address: int, array: np.ndarray) -> None:
        """Copy to the host and wait."""
        self._refuse("download")
        kind = self._runtime.memcpyDeviceToHost
        self._runtime.memcpyAsync(array.ctypes.data, address, array.nbytes, kind, self.stream.ptr)
        self.stream.synchronize()

    def prepare(self, launches: Sequence[Launch]) -> list[Callable[[], None]]:
        """Compile and load what the launches need; return a function for each that enqueues it."""
        self._refuse("loading a kernel")
        self._modules.prepare(x.target for x in launches)
        return [self._bound(x) for x in launches]

    def begin_capture(self) -> None:
        """Record from now on.

        Raises:
            BackendError: it is capturing already.
        """
        self._refuse("a second capture")
        self.stream.synchronize()
        self.stream.begin_capture(RELAXED)
        self._captured = 0

    def end_capture(self) -> CudaGraph:
        """Return what was recorded, sent to the device.

        Raises:
            BackendError: nothing is being captured.
        """
        if self._captured is None:
            raise BackendError("end_capture: nothing is being captured; call begin_capture first")
        launches, self._captured = self._captured, None
        graph = self.stream.end_capture()
        graph.upload(self.stream)
        return CudaGraph(graph, launches)

    def replay(self, graph: CudaGraph) -> None:
        """Enqueue a graph: one call, whatever it holds."""
        self._refuse("replay")
        graph.graph.launch(self.stream)

    def synchronise(self) -> None:
        """Wait until all enqueued work is done."""
        self._refuse("waiting")
        self.stream.synchronize()

    def timed(self, work: Callable[[], None]) -> float:
        """Return the seconds that the device takes for what `work` enqueues, between two events of the stream."""
        self._refuse("timing")
        start, stop = self._cupy.cuda.Event(), self._cupy.cuda.Event()
        start.record(self.stream)
        work()
        stop.record(self.stream)
        stop.synchronize()
        return float(self._cupy.cuda.get_elapsed_time(start, stop)) / 1e3

    def _loaded(self, text: str) -> Any:
        """Compile for this GPU (never to PTX: a newer compiler's is refused by an older driver) and load."""
        module = self._cupy.cuda.function.Module()
        module.load(compile_cuda(text, int(self.properties.capability.replace(".", ""))))
        return module

    def _bound(self, launch: Launch) -> Callable[[], None]:
        target, values = launch.target, launch.arguments
        if target == "copy":
            return partial(self.copy, *values)
        if target == "clear":
            return partial(self.clear, *values)
        if isinstance(target, LibraryCall):
            return partial(self._call, target, [int(v) for v in values])
        loaded = self._modules.find(target)
        arguments = loaded.arguments(values)
        geometry = launch_for(arguments, self.properties.multiprocessors)
        function = loaded.module.get_function(loaded.kernel.name)
        numbers = (*geometry.grid, 1, *geometry.block, 1, geometry.shared)

        def enqueue() -> None:
            self._count()
            stream = self.stream.ptr
            self._driver.launchKernel(function.ptr, *numbers, stream, arguments.address, 0)

        return enqueue

    def _call(self, call: LibraryCall, addresses: list[int]) -> None:
        self._count()
        call.run(addresses, self.stream.ptr)

    def _count(self) -> None:
        if self._captured is not None:
            self._captured += 1

    def _refuse(self, what: str) -> None:
        if self._captured is not None:
            raise refused(what)


class _Stage:
    """Pinned memory that is filled again when the copy from it has left; `sent` is recorded behind that copy."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self.sent = cupy.cuda.Event(disable_timing=True)
        self._memory: Any = None
        self._array = np.empty(0, np.uint8)

    def fill(self, piece: np.ndarray) -> int:
        """Copy bytes in and return their address."""
        self.sent.synchronize()
        if self._array.size < piece.size:
            size = max(4096, 1 << (int(piece.size) - 1).bit_length())
            self._memory = self._cupy.cuda.alloc_pinned_memory(size)
            self._array = np.frombuffer(self._memory, np.uint8, size)
        self._array[: piece.size] = piece
        return int(self._memory.ptr)


def _opened(missing: list[str], make: Callable[[], Any]) -> Any:
    try:
        return make()
    except BackendError as error:
        missing.append(str(error))
        return None


def _products(number: int) -> Any:
    from .libraries.cublas import CublasLt

    return CublasLt(number)


def _dnn(number: int, options: Options, memory: int) -> Any:
    from .libraries.frontend import FrontendDnn
    from .libraries.plan_cache import PlanCache

    return FrontendDnn(
        tf32=options.precision == "tf32", deterministic=options.deterministic,
        workspace_limit=memory // 32, cache=PlanCache(), device=number,
    )  # fmt: skip


def _version(number: int) -> str:
    return f"{number // 1000}.{number // 10 % 100}"
