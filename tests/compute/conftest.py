"""Fixtures of the compute tests."""

from __future__ import annotations

import os

import pytest

from cortex.compute.cpu.native import native


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """What Numba compiles here is not kept in the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        if "CORTEX_CACHE_DIR" not in os.environ:
            patch.setenv("CORTEX_CACHE_DIR", str(tmp_path_factory.mktemp("maps")))
        yield


@pytest.fixture(params=native().available_isas() if native() is not None else ["none"])
def isa(request):
    """Every instruction set in turn."""
    module = native()
    if module is None:
        pytest.skip("the native engine is not built")
    before, threads = module.isa(), module.get_num_threads()
    module.set_isa(request.param)
    yield request.param
    module.set_isa(before)
    module.set_num_threads(threads)
