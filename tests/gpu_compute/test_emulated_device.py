"""The emulated device: memory, graphs, and the errors that a GPU would not give."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from cortex.compute.errors import BackendError
from cortex.gpu_compute.device import KernelTarget, Launch, out_of_memory, readable
from cortex.gpu_compute.emulated import GUARD, EmulatedDevice
from cortex.gpu_compute.kernels.source import Variant, kernel


@pytest.fixture
def device() -> EmulatedDevice:
    return EmulatedDevice(memory=1 << 20)


def fetched(device: EmulatedDevice, address: int, count: int, dtype: str = "float32") -> np.ndarray:
    array = np.empty(count, dtype)
    device.download(address, array)
    return array


def test_new_memory_is_aligned_and_full_of_nan(device: EmulatedDevice) -> None:
    for size in (4, 400, 4096):
        block = device.allocate(size)
        assert block.address % 256 == 0
        assert np.isnan(fetched(device, block.address, size // 4)).all()
        assert (fetched(device, block.address, size, "int8") == -1).all()


def test_what_is_uploaded_comes_back(device: EmulatedDevice) -> None:
    block = device.allocate(40)
    device.upload(block.address, np.arange(10, dtype=np.float32))
    assert fetched(device, block.address, 10).tolist() == list(range(10))
    device.copy(block.address, block.address + 20, 20)
    assert fetched(device, block.address, 10).tolist() == [*range(5, 10), *range(5, 10)]
    device.clear(block.address, 8)
    assert fetched(device, block.address, 3).tolist() == [0, 0, 7]
    device.poison(block.address + 8, 4)
    assert np.isnan(fetched(device, block.address, 3)[2])


def test_free_memory_is_what_living_blocks_leave(device: EmulatedDevice) -> None:
    block = device.allocate(1 << 19)
    assert device.free_memory() == 1 << 19
    with pytest.raises(BackendError, match=r"out of memory: 600,000 bytes asked for, 524,288 free"):
        device.allocate(600_000)
    del block
    assert device.free_memory() == 1 << 20


def test_a_kernel_that_writes_outside_its_block_is_found(device: EmulatedDevice) -> None:
    block = device.allocate(64)
    target = KernelTarget(kernel("fill"), Variant.of("raw32", 17))
    for count in (16, 17):
        (call,) = device.prepare([Launch(target, (block.address, 0, count))])
        call()
        if count == 16:
            device.synchronise()
    with pytest.raises(BackendError, match="wrote outside its block of 64 bytes"):
        device.synchronise()
    ctypes.memset(block.address + 64, 0xFF, GUARD)
    device.synchronise()


def test_a_graph_records_and_replays(device: EmulatedDevice) -> None:
    block = device.allocate(8)
    (call,) = device.prepare([Launch("copy", (block.address + 4, block.address, 4))])
    device.upload(block.address, np.array([1, 2], np.float32))
    device.begin_capture()
    call()
    device.clear(block.address, 4)
    graph = device.end_capture()
    assert graph.launches == 2
    assert fetched(device, block.address, 2).tolist() == [1, 2]
    device.replay(graph)
    assert fetched(device, block.address, 2).tolist() == [0, 1]
    device.upload(block.address, np.array([7, 0], np.float32))
    device.replay(graph)
    assert fetched(device, block.address, 2).tolist() == [0, 7]


def test_what_a_capture_forbids(device: EmulatedDevice) -> None:
    block, array = device.allocate(8), np.zeros(2, np.float32)
    device.begin_capture()
    graph = device.end_capture()
    device.begin_capture()
    for what, forbidden in {
        "allocation": lambda: device.allocate(4),
        "upload": lambda: device.upload(block.address, array),
        "download": lambda: device.download(block.address, array),
        "waiting": lambda: device.synchronise(),
        "loading a kernel": lambda: device.prepare([]),
        "replay": lambda: device.replay(graph),
        "a second capture": lambda: device.begin_capture(),
    }.items():
        with pytest.raises(
            BackendError, match=f"{what} while a graph is being captured: .* before"
        ):
            forbidden()
    device.end_capture()
    with pytest.raises(BackendError, match="nothing is being captured; call begin_capture first"):
        device.end_capture()


def test_bytes_for_people() -> None:
    assert [readable(n) for n in (5, 1 << 20, 3 << 29)] == ["5 bytes", "1.0 MiB", "1.5 GiB"]
    error = out_of_memory(3 << 30, 1 << 30, "the GPU", [("conv1 float32[9]", 2 << 30)])
    assert str(error).startswith(
        "out of memory: the program needs 3.0 GiB, the GPU has 1.0 GiB free; "
        "largest: conv1 float32[9] (2.0 GiB); reduce the batch"
    )
