"""Backends of the GPU tests: the emulated device, with libraries by NumPy and with our plain kernels alone."""

from __future__ import annotations

import shutil

import pytest

from cortex.gpu_compute.backend import CudaBackend
from cortex.gpu_compute.emulated import EmulatedDevice


def backend(libraries: bool = True, **options) -> CudaBackend:
    """Return a backend on an emulated device of its own."""
    if shutil.which("c++") is None and shutil.which("g++") is None:
        pytest.skip("the emulated device needs a C++ compiler")
    return CudaBackend(EmulatedDevice(libraries=libraries), **options)


@pytest.fixture(params=["libraries", "plain kernels"])
def emulated(request) -> CudaBackend:
    """An emulated device, with and without libraries."""
    return backend(libraries=request.param == "libraries")
