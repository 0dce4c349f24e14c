"""The number of threads: who says it, and that results do not depend on it."""

from __future__ import annotations

import os
import subprocess
import sys

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


PLACEMENT = """
import os
import time
import numpy as np
from cortex.compute import Program, get_backend, set_num_threads
from cortex.compute.ops import MatMul

def core(thread):
    with open(f"/proc/self/task/{thread}/stat") as text:
        return int(text.read().rpartition(")")[2].split()[36])

set_num_threads(2)
here, *others = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, {here, others[0]})
p = Program()
a = p.input("a", (512, 512), "float32")
p.output("c", p.apply(MatMul(), a, a))
product = get_backend("cpu").compile(p)
before = set(os.listdir("/proc/self/task"))
product.run()
(worker,) = map(int, set(os.listdir("/proc/self/task")) - before)
time.sleep(0.2)  # it sleeps by then, and moves no more
os.sched_setaffinity(os.getpid(), {here})
os.sched_setaffinity(worker, {here})
for _ in range(20):
    product.run()
assert core(worker) == here
os.sched_setaffinity(worker, {here, others[0]})
for _ in range(2000):
    product.run()
    if core(worker) != here:
        break
moved = core(worker) != here
time.sleep(0.2)
print(moved, os.sched_getaffinity(worker) == {here, others[0]})
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="threads are placed by hand on Linux, where there are two cores",
)
def test_a_worker_leaves_the_core_of_the_caller() -> None:
    """Beside the caller it would never run before the work is done; afterwards it may go anywhere again."""
    done = subprocess.run([sys.executable, "-c", PLACEMENT], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True True\n", "")
