"""Data that lives where the program runs: the same training as with batches from the host, on every backend."""

from __future__ import annotations

import numpy as np
import pytest
from gpu_steps import mlp, state, training

from cortex.compute import BackendError, Program, ShapeError, availability, get_backend
from cortex.compute.resident import Resident, repeat, resident

ROWS, BATCH = 29, 8


@pytest.fixture(params=["numpy", "cpu", "cuda-emulated", "launches of 2"])
def subject(request):
    name = "cuda-emulated" if request.param == "launches of 2" else request.param
    if not availability(name).works:
        pytest.skip(availability(name).reason)
    if request.param != "launches of 2":
        return get_backend(name)
    from cortex.gpu_compute.backend import CudaBackend
    from cortex.gpu_compute.emulated import EmulatedDevice

    return CudaBackend(EmulatedDevice(), steps_per_launch=2)


def columns() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(4)
    images = generator.standard_normal((ROWS, 36)).astype(np.float32)
    return {"image": images, "label": generator.integers(0, 5, ROWS).astype(np.int32)}


def test_an_epoch_equals_one_with_batches_from_the_host(subject) -> None:
    data, order = columns(), np.random.default_rng(8).permutation(ROWS)
    host = training(mlp(), subject, BATCH)
    host.memory.one_at_a_time = True
    names = list(host.program.inputs)
    rest = training(mlp(), subject, ROWS % BATCH, host.memory)
    for start in range(0, ROWS, BATCH):
        rows = order[start : start + BATCH]
        step = host if len(rows) == BATCH else rest
        for name, there in zip(names, data.values(), strict=True):
            step.write(name, there[rows])
        step.run()

    there = Resident(subject, ROWS)
    step = training(mlp(), there, BATCH)
    for name, array in zip(names, data.values(), strict=True):
        step.executable.write(f"data.{name}", array)
    step.executable.write("data.order", order)
    last = training(mlp(), there, ROWS % BATCH, step.memory)
    repeat(step.executable, ROWS // BATCH)
    repeat(last.executable, 1)
    assert step.executable.read("data.cursor") == ROWS
    for name, array in state(host).items():
        np.testing.assert_array_equal(step.executable.read(name), array, name)


def test_many_steps_are_few_launches() -> None:
    from cortex.gpu_compute.backend import CudaBackend
    from cortex.gpu_compute.emulated import EmulatedDevice

    device = EmulatedDevice()
    step = training(mlp(), Resident(CudaBackend(device, steps_per_launch=4), 100), 2)
    step.executable.write("data.order", np.arange(100))
    repeat(step.executable, 9)
    uploads = device.uploads
    repeat(step.executable, 8)
    assert device.replays == 2 + 1 + 2 and device.uploads == uploads


def test_beyond_the_last_row_is_an_error_not_a_read(subject) -> None:
    p = Program()
    p.output("y", p.input("x", (3, 2)) * 2)
    executable = Resident(subject, 4).compile(p)
    executable.write("data.cursor", np.int64(2))
    with pytest.raises(BackendError, match=r"Gather.* position 2 .*0\.\.3"):
        executable.run()
        executable.read("y")


def test_what_has_no_common_batch_is_refused() -> None:
    p = Program()
    p.output("y", p.input("x", (3, 2)) + p.input("s", ()))
    with pytest.raises(
        ShapeError, match=r"one batch axis of at most 9 rows, given x \(3, 2\), s \(\)"
    ):
        resident(p, 9)
    q = Program()
    q.output("y", q.input("x", (3, 2)) * 1)
    with pytest.raises(ShapeError, match="of at most 2 rows"):
        resident(q, 2)
    with pytest.raises(ShapeError, match="given none"):
        resident(Program(), 2)
