"""The few calls of CuPy that `CudaDevice` makes, on the host: memory is NumPy's, modules are compiled by g++.

It checks how the device uses CuPy (order, addresses, argument types, what happens while capturing), not CuPy itself.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np

from cortex.gpu_compute.kernels.host import host_library


class OutOfMemoryError(Exception):
    pass


class Memory:
    def __init__(self, machine: Machine, size: int) -> None:
        machine.refuse("cudaMalloc")
        if size > machine.free:
            raise OutOfMemoryError(f"Out of memory allocating {size} bytes")
        self.raw = np.full(size + 256, 0xAA, np.uint8)
        self.ptr = self.raw.ctypes.data + -self.raw.ctypes.data % 256


class Graph:
    def __init__(self, machine: Machine, calls: list[Any]) -> None:
        self.machine, self.calls, self.uploaded = machine, calls, False

    def upload(self, stream: Stream) -> None:
        self.uploaded = True

    def launch(self, stream: Stream) -> None:
        assert self.uploaded and stream is self.machine.stream
        self.machine.log.append("graph")
        for call in self.calls:
            call()


class Stream:
    def __init__(self, machine: Machine, non_blocking: bool = False) -> None:
        assert non_blocking, "the default stream cannot be captured"
        self.machine, self.ptr, self.recorded = machine, 77, None
        machine.stream = self

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin_capture(self, mode: int) -> None:
        assert mode == 2 and self.recorded is None
        self.recorded = []

    def end_capture(self) -> Graph:
        calls, self.recorded = self.recorded, None
        return Graph(self.machine, calls)

    def synchronize(self) -> None:
        self.machine.refuse("cudaStreamSynchronize")


class Event:
    def __init__(self, disable_timing: bool = False) -> None:
        self.stream: Any = None

    def record(self, stream: Stream) -> None:
        self.stream = stream

    def synchronize(self) -> None:
        if self.stream is not None:
            self.stream.machine.refuse("cudaEventSynchronize")


class Machine:
    """What stands behind the module: one stream, a log of what was enqueued."""

    def __init__(self, free: int = 1 << 30) -> None:
        self.free, self.log, self.stream = free, [], None
        self.functions: list[Any] = []

    def refuse(self, what: str) -> None:
        assert self.stream is None or self.stream.recorded is None, f"{what} while capturing"

    def enqueue(self, name: str, stream: int, call: Any) -> None:
        assert stream == self.stream.ptr, f"{name} on another stream"
        self.log.append(name)
        if self.stream.recorded is None:
            call()
        else:
            self.stream.recorded.append(call)

    def module(self) -> Any:
        """Return what `import cupy` gives."""
        machine = self

        class Module:
            def load(self, cubin: bytes) -> None:
                machine.refuse("cuModuleLoad")
                self.library = host_library(cubin.decode())

            def get_function(self, name: str) -> Any:
                machine.functions.append(self.library[name])
                return SimpleNamespace(ptr=len(machine.functions) - 1)

        def memcpy(target: int, source: int, size: int, kind: int, stream: int) -> None:
            if kind != 3:
                machine.refuse("a copy from or to the host")
            machine.enqueue(f"copy {kind}", stream, lambda: ctypes.memmove(target, source, size))

        def memset(address: int, value: int, size: int, stream: int) -> None:
            machine.enqueue("set", stream, lambda: ctypes.memset(address, value, size))

        def launch(function: int, *rest: int) -> None:
            *geometry, shared, stream, arguments, extra = rest
            assert all(n >= 1 for n in geometry) and len(geometry) == 6 and shared == extra == 0
            called = machine.functions[function]
            machine.enqueue("launch", stream, lambda: called(SimpleNamespace(address=arguments)))

        found = {
            "name": b"Fake",
            "totalGlobalMem": 1 << 30,
            "multiProcessorCount": 4,
            "major": 9,
            "minor": 0,
        }
        runtime = SimpleNamespace(
            memcpyAsync=memcpy, memsetAsync=memset, memGetInfo=lambda: (machine.free, 1 << 30),
            memcpyDeviceToDevice=3, memcpyHostToDevice=1, memcpyDeviceToHost=2,
            getDeviceProperties=lambda number: found, getDeviceCount=lambda: 2,
            runtimeGetVersion=lambda: 13000, driverGetVersion=lambda: 13000,
        )  # fmt: skip
        cuda = SimpleNamespace(
            runtime=runtime, driver=SimpleNamespace(launchKernel=launch), Event=Event,
            Device=lambda number: SimpleNamespace(use=lambda: None),
            Stream=lambda non_blocking: Stream(machine, non_blocking),
            alloc=lambda size: Memory(machine, size), memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            alloc_pinned_memory=lambda size: Pinned(size), function=SimpleNamespace(Module=Module),
            get_elapsed_time=lambda start, stop: 2.0,
        )  # fmt: skip
        pool = SimpleNamespace(free_bytes=lambda: 0, free_all_blocks=lambda: None)
        return SimpleNamespace(
            __version__="14.2.0", cuda=cuda, get_default_memory_pool=lambda: pool
        )


class Pinned(bytearray):
    """A buffer that knows its address."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.ptr = ctypes.addressof((ctypes.c_char * size).from_buffer(self))
