"""Fixtures of the compute tests."""

from __future__ import annotations

import pytest

from cortex.compute.cpu.native import native


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
