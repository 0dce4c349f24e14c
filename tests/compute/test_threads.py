"""The number of threads: who says it, and that results do not depend on it."""

from __future__ import annotations

import numpy as np
import pytest

from cortex.compute import get_num_threads, set_num_threads, threads
from cortex.compute.cpu.native import native
from cortex.executables import training_step
from cortex.models import lenet
from cortex.optimise.optimisers import Adam

pytestmark = pytest.mark.skipif(
    native() is None, reason="the native engine is not built: sh scripts/build_native.sh"
)


@pytest.fixture(autouse=True)
def restore(monkeypatch):
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = get_num_threads()
    yield
    set_num_threads(before)


def test_what_is_set_is_what_is_used() -> None:
    set_num_threads(3)
    assert get_num_threads() == native().get_num_threads() == 3


def test_too_many_threads_are_refused() -> None:
    with pytest.raises(ValueError, match="set_num_threads: expected 1 to "):
        set_num_threads(10**6)


def test_the_source_is_named(monkeypatch) -> None:
    cores = native().available_cores()
    set_num_threads(cores)
    assert threads.source() == "the cores this process may use"
    set_num_threads(cores + 1)
    assert threads.source() == "set_num_threads"
    monkeypatch.setenv("OMP_NUM_THREADS", f"{cores + 1},2")
    assert threads.source() == "OMP_NUM_THREADS"
    monkeypatch.setenv("CORTEX_NUM_THREADS", f"{cores + 1}")
    assert threads.source() == "CORTEX_NUM_THREADS"


def test_results_do_not_depend_on_the_number() -> None:
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (37, 1, 28, 28), dtype=np.uint8)
    labels = rng.integers(0, 10, 37).astype(np.int32)
    found = []
    for count in (1, 2, 5):
        set_num_threads(count)
        step = training_step(lenet(), optimiser=Adam(), batch_size=37)
        step.write("image", images)
        step.write("label", labels)
        for _ in range(3):
            step.run()
        found.append(step.read("parameters.0"))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
