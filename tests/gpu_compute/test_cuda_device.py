"""`CudaDevice` against a stand-in for CuPy: what it enqueues, in which order, with which arguments."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from fake_cupy import Machine
from gpu_steps import mlp, small_lenet, state, train, training

from cortex.compute import BackendError, verify
from cortex.gpu_compute import cuda
from cortex.gpu_compute.backend import CudaBackend
from cortex.gpu_compute.cuda import STAGE_BYTES, CudaDevice
from cortex.gpu_compute.kernels import nvrtc

from .conftest import backend


@pytest.fixture
def machine(monkeypatch) -> Machine:
    made = Machine()
    monkeypatch.setitem(sys.modules, "cupy", made.module())
    monkeypatch.setattr(cuda, "compile_cuda", lambda text, architecture: text.encode())
    monkeypatch.setattr(cuda, "_products", _missing)
    monkeypatch.setattr(cuda, "_dnn", _missing)
    return made


def _missing(*_: object) -> None:
    raise BackendError("not here")


def test_properties_and_libraries(machine: Machine) -> None:
    device = CudaDevice()
    found = device.properties
    assert (found.name, found.capability, found.multiprocessors) == ("Fake", "9.0", 4)
    assert found.versions["cuda driver"] == "13.0"
    one = CudaBackend(device)
    assert one.libraries.products is None and one.libraries.missing == ("not here", "not here")
    assert one.capabilities.notes["device"] == "Fake"


@pytest.mark.parametrize(
    "group", ["memory/", "host/", "update/", "random/", "op/matmul", "op/gather"]
)
def test_checks_of_the_suite(machine: Machine, group: str) -> None:
    results = verify.run(CudaBackend(CudaDevice()), quick=True, filter=group)
    assert results and not [r for r in results if not r.passed]


def test_a_training_run_equals_the_emulated_one(machine: Machine) -> None:
    here = training(mlp(), CudaBackend(CudaDevice()))
    there = training(mlp(), backend(libraries=False))
    assert train(here, 4) == train(there, 4)
    for name, array in state(there).items():
        np.testing.assert_array_equal(here.read(name), array, name)


def test_a_step_is_one_graph_launch(machine: Machine) -> None:
    step = training(mlp(), CudaBackend(CudaDevice()))
    train(step, 1)
    launches = step.executable.launches
    machine.log.clear()
    step.run()
    assert machine.log == ["graph"]
    (graph,) = step.executable._graphs.values()
    assert graph.launches == launches == len(graph.graph.calls)


def test_uploads_go_through_pinned_memory_in_pieces(machine: Machine) -> None:
    device = CudaDevice()
    array = np.arange(STAGE_BYTES // 4 * 2 + 5, dtype=np.float32)
    block = device.allocate(array.nbytes)
    device.upload(block.address, array)
    assert machine.log == ["copy 1"] * 3
    back = np.empty_like(array)
    device.download(block.address, back)
    np.testing.assert_array_equal(back, array)


def test_what_a_capture_forbids(machine: Machine) -> None:
    device, array = CudaDevice(), np.zeros(2, np.float32)
    block = device.allocate(8)
    device.begin_capture()
    for what, forbidden in {
        "allocation": lambda: device.allocate(4),
        "upload": lambda: device.upload(block.address, array),
        "download": lambda: device.download(block.address, array),
        "waiting": lambda: device.synchronise(),
        "loading a kernel": lambda: device.prepare([]),
        "timing": lambda: device.timed(lambda: None),
        "a second capture": lambda: device.begin_capture(),
    }.items():
        with pytest.raises(BackendError, match=f"{what} while a graph is being captured"):
            forbidden()
    assert device.end_capture().launches == 0
    with pytest.raises(BackendError, match="nothing is being captured"):
        device.end_capture()
    assert device.timed(lambda: None) == pytest.approx(2e-3)


def test_out_of_memory_is_said_in_our_words(machine: Machine) -> None:
    device = CudaDevice()
    machine.free = 1 << 10
    with pytest.raises(BackendError, match="out of memory: .*; reduce the batch"):
        device.allocate(1 << 20)


@pytest.mark.slow
@pytest.mark.skipif(nvrtc.available() is not None, reason="NVRTC is not installed")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_everything_a_step_launches_compiles_for_an_h100(
    machine: Machine, monkeypatch, precision
) -> None:
    """Each unit goes through NVRTC for sm_90 before the host runs it."""
    compiled = []

    def compile_both(text: str, architecture: int) -> bytes:
        compiled.append(len(nvrtc.compile_cuda(text, architecture)))
        return text.encode()

    monkeypatch.setattr(cuda, "compile_cuda", compile_both)
    step = training(small_lenet(), CudaBackend(CudaDevice(), precision=precision))
    train(step, 1)
    assert len(compiled) >= 6 and min(compiled) > 1000


def test_processes_take_the_gpus_in_turn(machine: Machine) -> None:
    device = CudaDevice()
    assert [device.of_process(rank).number for rank in range(5)] == [0, 1, 0, 1, 0]
    assert device.of_process(2) is device
