"""The devices that tests of the libraries run on: the emulation everywhere, a GPU with `-m gpu`."""

from __future__ import annotations

import os

import devices
import pytest

from cortex.gpu_compute.libraries import locate

# Set by test_bindings_run.py, for a process of its own: a library is opened once in a process.
BOUND = ["bound"] if "CORTEX_TEST_CUBLASLT" in os.environ else []


@pytest.fixture(params=[*BOUND, "emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> devices.Emulated:
    """The emulation, or a GPU; a skip says why there is none."""
    if request.param == "emulated":
        return devices.Emulated()
    if request.param == "bound":
        assert locate.bindings().open_library("cublasLt", [os.environ["CORTEX_TEST_CUBLASLT"]])
        return devices.Bound()
    cupy = pytest.importorskip("cupy")
    try:
        return devices.Cuda(cupy)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"no GPU: {error}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked for a GPU runs nowhere else: `-m gpu` counts no emulation as passed."""
    host = [
        item
        for item in items
        if item.get_closest_marker("gpu") and _device_of(item) in ("emulated", "bound")
    ]
    if host:
        config.hook.pytest_deselected(items=host)
        items[:] = [item for item in items if item not in set(host)]


def _device_of(item: pytest.Item) -> str | None:
    return getattr(item, "callspec", None) and item.callspec.params.get("device")
