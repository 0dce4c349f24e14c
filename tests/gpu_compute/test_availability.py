"""Why CUDA does not work here: every reason, in words, before anything is compiled."""

from __future__ import annotations

import ctypes
import logging
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from fake_cupy import Machine

from cortex import info
from cortex.compute import BackendError, availability, get_backend, registry
from cortex.gpu_compute import availability as gpu
from cortex.gpu_compute import emulated
from cortex.gpu_compute.kernels import nvrtc

NO_DRIVER = gpu.Driver(problem="no NVIDIA driver: libcuda.so.1: not found")
ONE_GPU = gpu.Driver(13000, 1)


def answering(status: int = 0, version: int = 13000, devices: int = 2):
    """Return what loads a driver that answers so."""

    def write(number: int):
        def call(pointer) -> int:
            pointer._obj.value = number
            return 0

        return call

    made = SimpleNamespace(
        cuInit=lambda flags: status, cuDriverGetVersion=write(version), cuDeviceGetCount=write(devices)
    )  # fmt: skip
    return lambda name: made


def test_the_driver_is_asked_without_cupy() -> None:
    def missing(name: str) -> ctypes.CDLL:
        raise OSError(f"{name}: cannot open shared object file")

    assert (
        gpu.driver(missing).problem
        == "no NVIDIA driver: libcuda.so.1: cannot open shared object file"
    )
    assert gpu.driver(answering()) == gpu.Driver(13000, 2)
    assert gpu.driver(answering(devices=0)).problem == "the NVIDIA driver finds no GPU"
    assert "cuInit gives error 100" in gpu.driver(answering(status=100)).problem


def test_versions_of_cupy() -> None:
    assert gpu.cupy_problem(None) == 'CuPy is not installed; pip install "cortex[gpu]"'
    assert gpu.cupy_problem("13.6.0").startswith("CuPy 13.6.0 is too old, 14 or later is needed")
    assert gpu.cupy_problem("14.2.0") == gpu.cupy_problem("15.0b1") == ""


def test_everything_missing_is_named_at_once(monkeypatch) -> None:
    monkeypatch.setattr(gpu, "cupy_version", lambda: "12.1")
    monkeypatch.setattr(nvrtc, "available", lambda: "NVRTC is not installed")
    for driver, first, there in (
        (NO_DRIVER, NO_DRIVER.problem, False),
        (ONE_GPU, "CuPy 12.1 is too old", True),
    ):
        monkeypatch.setattr(gpu, "driver", lambda driver=driver: driver)
        works, reason, device = gpu.cuda()
        assert not works and device == there
        assert reason.startswith(first) and "CuPy 12.1 is too old" in reason
        assert ("NVRTC is not installed" in reason) == there


def test_asking_on_a_machine_without_a_gpu_imports_next_to_nothing() -> None:
    code = (
        "import sys; from cortex.compute import availability; availability('cuda'); "
        "print(*[m for m in sys.modules if m.startswith('cortex.gpu_compute')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if availability("cuda").unused or availability("cuda").works:
        pytest.skip("there is a GPU")
    assert set(done.stdout.split()) == {
        f"cortex.gpu_compute{name}" for name in ("", ".availability", ".options")
    }


def test_a_gpu_that_goes_unused_is_told_apart(monkeypatch) -> None:
    monkeypatch.setattr(gpu, "driver", lambda: ONE_GPU)
    monkeypatch.setattr(gpu, "cupy_version", lambda: None)
    assert gpu.cuda()[2] is True
    assert availability("cuda").unused


def test_a_cupy_that_fails_is_a_reason(monkeypatch) -> None:
    monkeypatch.setattr(gpu, "driver", lambda: ONE_GPU)
    monkeypatch.setattr(gpu, "cupy_version", lambda: "14.2.0")
    monkeypatch.setattr(nvrtc, "available", lambda: None)
    monkeypatch.setitem(sys.modules, "cupy", None)  # its import fails
    works, reason, _ = gpu.cuda()
    assert not works and reason.startswith("CuPy cannot use the GPU: ModuleNotFoundError")


def test_a_library_that_is_missing_is_no_obstacle_but_said(monkeypatch) -> None:
    from cortex.gpu_compute.libraries import cublas, frontend

    monkeypatch.setattr(gpu, "driver", lambda: ONE_GPU)
    monkeypatch.setattr(gpu, "cupy_version", lambda: "14.2.0")
    monkeypatch.setattr(nvrtc, "available", lambda: None)
    monkeypatch.setitem(sys.modules, "cupy", Machine().module())
    monkeypatch.setattr(cublas, "available", lambda: (True, "cuBLASLt 13.1.0"))
    for found, end in (
        (True, "CuPy 14.2.0"),
        (False, "; cuDNN missing, so that our plain kernels stand in, .*"),
    ):
        monkeypatch.setattr(frontend, "available", lambda found=found: (found, "said"))
        works, reason, _ = gpu.cuda()
        assert works and re.search(f"Fake, compute capability 9.0, .*{end}$", reason)


@pytest.mark.parametrize(("unused", "level"), [(True, logging.WARNING), (False, logging.INFO)])
def test_auto_falls_to_the_cpu_and_says_so_once(monkeypatch, caplog, unused, level) -> None:
    state = registry.Availability("cuda", False, f"no driver {unused}", unused)
    real = registry.availability
    monkeypatch.setattr(registry, "availability", lambda n: state if n == "cuda" else real(n))
    with caplog.at_level(logging.INFO, "cortex"):
        names = [get_backend("auto").name for _ in range(3)]
    assert names == ["cpu"] * 3
    (record,) = caplog.records
    assert record.levelno == level
    assert (
        record.message == f"running on the backend cpu: cuda does not work here: no driver {unused}"
    )


def test_the_emulated_backend_needs_a_compiler_and_is_never_taken_unasked(monkeypatch) -> None:
    def none() -> str:
        raise BackendError("kernels: no C++ compiler")

    assert registry.names()[-1] == "cuda-emulated"
    monkeypatch.setattr(emulated, "compiler", none)
    assert emulated.available() == (False, "kernels: no C++ compiler")


def test_info_shows_the_emulated_backend_and_what_is_missing() -> None:
    text = info.text(info.collect())
    assert "cuda-emulated" in text and "cuBLASLt" in text


@pytest.mark.skipif(availability("cuda").works, reason="there is a GPU")
def test_cortex_verify_prints_the_reason_and_fails() -> None:
    code = "import sys; from cortex.cli import main; sys.argv = ['cortex', 'verify', '--backend', 'cuda']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert f"backend 'cuda' is not available: {availability('cuda').reason}" in done.stderr
