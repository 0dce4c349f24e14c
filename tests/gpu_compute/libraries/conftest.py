"""The devices that tests of the libraries run on: the emulation everywhere, a GPU with `-m gpu`."""

from __future__ import annotations

import devices
import pytest


@pytest.fixture(params=["emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> devices.Emulated:
    """The emulation, or a GPU; a skip says why there is none."""
    if request.param == "emulated":
        return devices.Emulated()
    cupy = pytest.importorskip("cupy")
    try:
        return devices.Cuda(cupy)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"no GPU: {error}")
