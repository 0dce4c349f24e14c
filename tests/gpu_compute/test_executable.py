"""Executables on the device: capture, replay, warm-up, memory, debug mode."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from gpu_steps import BATCH, mlp, small_lenet, state, train, training

from cortex.compute import BackendError, Program, ShapeError, get_backend
from cortex.compute import math as m
from cortex.compute.expression import constant
from cortex.compute.ops import (
    Concatenate,
    Dropout,
    Gather,
    Map,
    MatMul,
    Pool,
    Reshape,
    Slice,
    SoftmaxCrossEntropy,
    Window,
)
from cortex.compute.ops.random import random, random_state
from cortex.compute.plan.storage import Operand, Place, Root
from cortex.compute.spec import Spec
from cortex.gpu_compute.backend import CudaBackend
from cortex.gpu_compute.emulated import EmulatedDevice
from cortex.gpu_compute.memory import DeviceMemory

from .conftest import backend

NETWORKS = pytest.mark.parametrize("network", [mlp, small_lenet], ids=["mlp", "lenet"])


@NETWORKS
@pytest.mark.parametrize("libraries", [True, False], ids=["libraries", "plain kernels"])
def test_captured_equals_eager_bit_for_bit(network, libraries: bool) -> None:
    eager = training(network(), backend(libraries, capture=False))
    captured = training(network(), backend(libraries))
    assert train(eager, 6) == train(captured, 6)
    for name, array in state(eager).items():
        np.testing.assert_array_equal(array, captured.read(name), name)


@NETWORKS
@pytest.mark.parametrize("libraries", [True, False], ids=["libraries", "plain kernels"])
def test_training_agrees_with_the_cpu(network, libraries: bool) -> None:
    here = training(network(), backend(libraries), adam=False)
    cpu = training(network(), "cpu", adam=False)
    np.testing.assert_allclose(train(here, 8), train(cpu, 8), rtol=2e-5)
    for name, array in state(cpu).items():
        limit = 2e-4 * (np.abs(array).max() + 1e-6)
        np.testing.assert_allclose(here.read(name), array, atol=limit, rtol=0, err_msg=name)


def test_masks_are_those_of_the_cpu_bit_for_bit() -> None:
    found = []
    for one in (backend(), get_backend("cpu")):
        p = Program()
        x = p.input("x", (7, 1001))
        p.output("uniform", random(p, "uniform", (1003,)))
        p.output("dropped", p.apply(Dropout(0.3, p.next_random()), x, *random_state(p)))
        executable = one.compile(p)
        executable.write("x", np.ones((7, 1001)))
        executable.write("random.seed", np.uint64(2**63 + 5))
        masks = []
        for step in range(3):
            executable.write("random.step", np.int64(step))
            executable.run()
            masks += [executable.read("uniform"), executable.read("dropped")]
        found.append(masks)
    for here, cpu in zip(*found, strict=True):
        np.testing.assert_array_equal(here, cpu)
    assert not np.array_equal(found[0][1], found[0][3])  # a replay draws anew


def descending(rows: int = 4) -> Program:
    """One step of gradient descent whose rate lies in the state."""
    p = Program()
    w, rate = p.persistent("w", (rows, 3)), p.persistent("rate", ())
    x = p.input("x", (5, 3))
    y = p.apply(MatMul(transpose_b=True), x, w)
    p.update("w", w - rate * p.apply(MatMul(transpose_a=True), y, x))
    p.output("y", y)
    return p


def test_a_changed_rate_reaches_the_replay(emulated: CudaBackend) -> None:
    executable = emulated.compile(descending())
    x, w = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    w = w[:4]
    executable.write("x", x)
    executable.write("w", w)
    for rate in (0.1, 0.1, 0.02):
        executable.write("rate", np.float32(rate))
        executable.run()
        w = w - np.float32(rate) * ((x @ w.T).T @ x)
        np.testing.assert_allclose(executable.read("w"), w, rtol=1e-5)
    assert emulated.device.replays == 3


def test_the_warm_up_leaves_no_trace() -> None:
    p = Program()
    count = p.persistent("count", (), "int64")
    p.update("count", count + 1)
    executable = backend().compile(p)
    executable.write("count", np.int64(5))
    executable.run()
    assert executable.read("count") == 6


@pytest.mark.parametrize("per_launch", [1, 4])
def test_several_runs_at_once(per_launch: int) -> None:
    one = backend(steps_per_launch=per_launch)
    p = Program()
    v = p.persistent("v", (3,))
    p.update("v", v * 0.5 + 1)
    executable = one.compile(p)
    executable.run(11)
    expected = np.zeros(3, np.float32)
    for _ in range(11):
        expected = expected * np.float32(0.5) + 1
    np.testing.assert_array_equal(executable.read("v"), expected)
    assert one.device.replays == {1: 11, 4: 2 + 3}[per_launch]


def test_a_captured_step_is_one_call_without_copies_to_the_host() -> None:
    one = backend()
    step = training(mlp(), one)
    train(step, 1)
    before = one.device.uploads, one.device.downloads, one.device.replays
    step.run()
    assert (one.device.uploads, one.device.downloads, one.device.replays) == (
        *before[:2],
        before[2] + 1,
    )


def test_the_last_smaller_batch_shares_the_memory() -> None:
    one = backend()
    step = training(mlp(), one)
    step.memory.one_at_a_time = True
    free = one.device.free_memory()
    last = training(mlp(), one, BATCH - 3, step.memory)
    assert free - one.device.free_memory() < 4096  # inputs and constants; arena and state are there
    train(step, 2)
    train(last, 1)
    reference, smaller = training(mlp(), "cpu"), None
    train(reference, 2)
    smaller = training(mlp(), "cpu", BATCH - 3, reference.memory)
    train(smaller, 1)
    for name, array in state(reference).items():
        np.testing.assert_allclose(step.read(name), array, atol=1e-4, err_msg=name)


def test_the_collector_rests_while_capturing_and_works_again_afterwards(monkeypatch) -> None:
    one, seen = backend(), []
    begin = one.device.begin_capture
    monkeypatch.setattr(one.device, "begin_capture", lambda: (seen.append(gc.isenabled()), begin()))
    p = Program()
    p.output("y", p.input("x", (3,)) + 1)
    one.compile(p).run()
    assert seen == [False] and gc.isenabled()


def test_a_failed_capture_ends() -> None:
    one = backend()
    p = Program()
    p.output("y", p.input("x", (3,)) + 1)
    executable = one.compile(p)
    executable._warm_up()
    executable._calls.append(lambda: one.device.allocate(4))
    with pytest.raises(BackendError, match="allocation while a graph is being captured"):
        executable.run()
    one.device.synchronise()  # it captures no more


def test_a_capture_that_a_library_breaks_is_said_in_our_words(monkeypatch) -> None:
    one = backend()
    p = Program()
    p.output("y", p.input("x", (3,)) + 1)
    executable = one.compile(p)

    def broken() -> None:
        one.device._recorded = None
        raise RuntimeError("cudaErrorStreamCaptureInvalidated")

    monkeypatch.setattr(one.device, "end_capture", broken)
    with pytest.raises(
        BackendError,
        match=r"could not be captured .*RuntimeError: cudaError.*'cuda:capture=false' runs it",
    ):
        executable.run()


def test_memory_that_died_is_poisoned() -> None:
    """A kernel that read a value after its life would get NaN: here one is made to."""
    one = backend()
    p = Program()
    x = p.input("x", (64,))
    y = m.tanh(
        p.apply(MatMul(), p.apply(Reshape((8, 8)), x), p.constant(np.eye(8, dtype=np.float32)))
    )
    z = p.apply(MatMul(), y, y)
    p.output("z", p.apply(MatMul(), z, p.constant(np.ones((8, 1), np.float32))))
    executable = one.compile(p)
    executable.write("x", np.ones(64))
    executable.run()
    assert np.isfinite(executable.read("z")).all()
    arena = np.empty(executable._arena.bytes // 4, np.float32)
    one.device.download(executable._arena.address, arena)
    output = executable._buffers.outputs["z"]
    at = (output.address - executable._arena.address) // 4
    assert np.isfinite(arena[at : at + 8]).all()
    assert np.isnan(np.delete(arena, np.s_[at : at + 8])).all()


def test_too_large_programs_are_refused_before_anything_is_allocated() -> None:
    device = EmulatedDevice(memory=1 << 20)
    one = CudaBackend(device)
    p = Program()
    with p.scope("wide"):
        x = p.input("x", (512, 512))
        y = p.apply(MatMul(), x, x)
    p.output("y", p.apply(MatMul(), y, y))
    with pytest.raises(
        BackendError,
        match=r"out of memory: the program needs 3\.\d MiB, the emulated device has 1\.0 MiB free; largest: "
        r"(input x|wide float32\[512, 512\]) .*; reduce the batch",
    ):
        one.compile(p)
    assert device.free_memory() == 1 << 20


def test_the_announced_bytes_are_what_is_allocated() -> None:
    one = backend()
    free = one.device.free_memory()
    step = training(small_lenet(), one)
    assert free - one.device.free_memory() == step.report.total
    train(step, 2)
    assert free - one.device.free_memory() == step.report.total  # a run allocates nothing


def test_a_memory_of_another_device_is_refused() -> None:
    p = Program()
    p.output("y", p.input("x", (3,)) + 1)
    for memory, said in (
        (get_backend("cpu").compile(p).memory, "HostMemory"),
        (DeviceMemory(EmulatedDevice()), "DeviceMemory of another one"),
    ):
        with pytest.raises(BackendError, match=f"expected a memory of this device, given {said}"):
            backend().compile(p, memory)


def test_an_index_without_a_row_is_raised_at_the_next_read_and_forgotten() -> None:
    p = Program()
    with p.scope("rows"):
        p.output("y", p.apply(Gather(), p.input("x", (4, 2)), p.input("i", (3,), "int32")))
    executable = backend().compile(p)
    executable.write("x", np.ones((4, 2)))
    executable.write("i", [0, 9, -1])
    executable.run()
    with pytest.raises(BackendError, match=r"in 'rows': Gather: .* position 1 is not in 0\.\.3"):
        executable.read("y")
    assert executable.read("y").shape == (3, 2)


def test_unknown_names_and_wrong_shapes() -> None:
    executable = backend().compile(descending())
    with pytest.raises(ShapeError, match="nothing is named 'ratte' here; did you mean 'rate'"):
        executable.read("ratte")
    with pytest.raises(ShapeError, match=r"write 'w': expected shape \(4, 3\), given \(3, 4\)"):
        executable.write("w", np.zeros((3, 4)))


def test_unknown_options() -> None:
    with pytest.raises(BackendError, match="unknown precision 'tf23'; did you mean 'tf32'"):
        backend(precision="tf23")
    with pytest.raises(BackendError, match="steps_per_launch: expected an integer >= 1, given 0"):
        backend(steps_per_launch=0)


def test_an_op_that_nothing_computes_is_named() -> None:
    p = Program()
    window = Window.of(2, 2, rank=3)
    with p.scope("deep"):
        p.output("y", p.apply(Pool("average", window), p.input("x", (1, 1, 4, 4, 4))))
    with pytest.raises(
        BackendError, match=r"in 'deep': cuda-emulated: nothing here computes Pool.*float32\[1"
    ):
        backend().compile(p)


def test_debug_mode_names_the_first_nan() -> None:
    p = Program()
    x = p.input("x", (2, 3))
    with p.scope("first"):
        y = m.log(x)
    with p.scope("second"):
        p.output("z", p.apply(MatMul(transpose_b=True), y, y))
    p.output("y", y)
    executable = backend(debug=True).compile(p)
    executable.write("x", np.ones((2, 3)))
    executable.run()
    executable.write("x", [[1, 1, 1], [1, -1, 1]])
    with pytest.raises(BackendError, match=r"Map of 'first' .*NaN at \(1, 1\) of float32\[2, 3\]"):
        executable.run()


def test_debug_mode_checks_labels() -> None:
    p = Program()
    x, labels = p.input("x", (3, 4)), p.input("labels", (3,), "int32")
    with p.scope("loss"):
        p.output("terms", p.apply(SoftmaxCrossEntropy(), x, labels))
    executable = backend(debug=True).compile(p)
    executable.write("x", np.ones((3, 4)))
    executable.write("labels", [0, -1, 3])
    executable.run()
    executable.write("labels", [0, -1, 4])
    with pytest.raises(
        BackendError, match=r"in 'loss': .* the label at position 2 is no class in 0\.\.3"
    ):
        executable.run()


def test_a_moved_operand_starts_further_on() -> None:
    operand = Operand(Place(Root("arena", 80), 8), Spec((10,), "float64"))
    assert operand.moved(3).place.offset == 32


def joined(*pieces: int, update: bool = False) -> Program:
    """Values of these sizes (0: three zeros) joined behind one another."""
    p = Program()
    x = p.input("x", (sum(pieces),))
    parts, start = [], 0
    for size in pieces:
        zeros = p.apply(Map((constant(0.0),), ("float32",), (3,)))
        parts.append(p.apply(Slice((start,), (start + size,)), x) * 2 if size else zeros)
        start += size
    whole = p.apply(Concatenate(0), *parts)
    p.output("y", whole)
    if update:
        p.persistent("s", whole.shape)
        p.update("s", whole)
        p.output("old", p.state["s"] + 0)
    return p


@pytest.mark.parametrize("update", [False, True])
def test_padding_is_one_clear_before_everything_else(update: bool) -> None:
    executable = backend().compile(joined(4, 0, 5, 0, 2, update=update))
    x = np.arange(1, 12, dtype=np.float32)
    wanted = np.concatenate([2 * x[:4], np.zeros(3), 2 * x[4:9], np.zeros(3), 2 * x[9:]])
    executable.write("x", x)
    for _ in range(2):
        executable.run()
        np.testing.assert_array_equal(executable.read("y"), wanted)
    if update:
        np.testing.assert_array_equal(executable.read("old"), wanted)
    else:
        first = executable._low.instructions[0]
        assert first.target == "clear" and len(executable._low.instructions) == 4
