"""Training on devices of several processes (threads here, each with an emulated device) is that of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gpu_steps import small_lenet
from sharing import after, assert_same
from threads import in_threads

import cortex
from cortex.compute import Program
from cortex.compute.ops import AllReduce
from cortex.gpu_compute.backend import CudaBackend
from cortex.gpu_compute.emulated import EmulatedDevice
from cortex.optimise import Sgd


def batches() -> list[dict[str, np.ndarray]]:
    """Two batches of 8, and one of 2, of which one process of three has nothing."""
    spec = cortex.training_step(
        small_lenet(), optimiser=Sgd(0.1), batch_size=1, backend="numpy"
    ).columns["image"]
    rng = np.random.default_rng(2)
    return [
        {
            "image": rng.integers(0, 256, (n, *spec.shape[1:])).astype(spec.dtype),
            "label": rng.integers(0, 5, n),
        }
        for n in (8, 8, 2)
    ]


def trained(group: Any, **options: Any) -> dict[str, np.ndarray]:
    """Return all state and losses of a step on each batch, on a device of this process's own."""
    backend = CudaBackend(EmulatedDevice(), **options)
    return after(small_lenet(), batches(), group, optimiser=Sgd(0.05), backend=backend)


@pytest.mark.parametrize("size", [2, 3])
def test_steps_are_those_of_one_device(size: int) -> None:
    assert_same(trained(None), in_threads(size, trained), 2e-5)


def test_captured_sums_are_those_of_every_launch() -> None:
    captured, eager = (
        in_threads(2, lambda g, c=c: trained(g, capture=c))[1] for c in (True, False)
    )
    for name, array in captured.items():
        np.testing.assert_array_equal(array, eager[name], name)


def test_the_sum_is_part_of_the_step_and_in_place() -> None:
    def instructions(group: Any) -> list[Any]:
        backend = CudaBackend(EmulatedDevice())
        step = cortex.training_step(
            small_lenet(), optimiser=Sgd(0.1), batch_size=8, backend=backend, group=group
        )
        return step.executable._low.instructions

    assert not any(i.provider == "group" for i in instructions(None))
    shared = in_threads(2, instructions)[0]
    sizes = {k: i.writes[0].spec.size for k, i in enumerate(shared) if i.provider == "group"}
    gradients = max(sizes, key=lambda k: sizes[k])
    assert shared[gradients - 1].provider != "device copy"


def test_a_backend_joins_a_group_once() -> None:
    def same(group: Any) -> bool:
        backend = CudaBackend(EmulatedDevice())
        joined = backend.joined(group)
        return backend.joined(group) is joined and joined.device is not backend.device

    assert in_threads(2, same) == [True, True]


def test_what_is_read_later_stays_as_it_is() -> None:
    p = Program()
    x = p.input("x", (5,)) * 2
    p.output("whole", p.apply(AllReduce(), x))
    p.output("own", x)

    def run(group: Any) -> tuple[np.ndarray, np.ndarray]:
        executable = CudaBackend(EmulatedDevice()).joined(group).compile(p)
        executable.write("x", np.full(5, 1 + group.rank, np.float32))
        executable.run()
        return executable.read("own"), executable.read("whole")

    for rank, (own, whole) in enumerate(in_threads(2, run)):
        np.testing.assert_array_equal(own, np.full(5, 2 + 2 * rank))
        np.testing.assert_array_equal(whole, np.full(5, 6))


def test_without_a_group_nothing_is_summed() -> None:
    p = Program()
    p.output("y", p.apply(AllReduce(), p.input("x", (3,))))
    executable = CudaBackend(EmulatedDevice()).compile(p)
    executable.write("x", np.arange(3, dtype=np.float32))
    executable.run()
    np.testing.assert_array_equal(executable.read("y"), np.arange(3))
