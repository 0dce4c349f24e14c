"""The CPU backend against the specification: random programs, hazards of memory, what runs where, no native engine."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import identity, random_program, random_training

from cortex.compute import BackendError, Program, ShapeError, get_backend
from cortex.compute import math as m
from cortex.compute.autodiff import gradients
from cortex.compute.cpu.native import native
from cortex.compute.host import HostMemory
from cortex.compute.ops import (
    Convolution,
    Gather,
    MatMul,
    Pool,
    Random,
    Reduce,
    Reshape,
    ScatterAdd,
    Slice,
    Window,
)
from cortex.compute.ops.random import random


def run_both(program: Program, runs: int = 1) -> None:
    """Run on the CPU and on NumPy with equal inputs and state; every name must agree."""
    made = [get_backend(name).compile(program) for name in ("numpy", "cpu")]
    rng = np.random.default_rng(2)
    for group in (program.inputs, program.state):
        for name, value in group.items():
            array = (
                0.5 * rng.normal(size=value.shape)
                if value.spec.is_float
                else np.zeros(value.shape, value.dtype)
            )
            for executable in made:
                executable.write(name, array)
    for _ in range(runs):
        for executable in made:
            executable.run()
    tolerance = 1e-11 if any(v.dtype == "float64" for v in program.inputs.values()) else 3e-5
    for name in (*program.outputs, *program.state, *program.views):
        expected, found = (e.read(name) for e in made)
        assert expected.dtype == found.dtype and expected.shape == found.shape
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance, err_msg=name)


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_random_programs(seed: int) -> None:
    run_both(random_program(seed))


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from(["float64", "float32"]))
def test_random_programs_with_state(seed: int, dtype: str) -> None:
    run_both(random_training(seed, 12, dtype), runs=3)


def test_two_states_swap() -> None:
    p = Program()
    a, b = p.persistent("a", (5,)), p.persistent("b", (5,))
    p.update("a", b)
    p.update("b", a)
    run_both(p, runs=3)


def test_an_output_shows_old_state_that_is_overwritten() -> None:
    p = Program()
    a = p.persistent("a", (2, 3))
    p.output("old", a)
    p.output("part", p.apply(Slice((1, 0), (2, 3)), a))
    p.output("flat", p.apply(Reshape((6,)), a))
    p.update("a", a * 2)
    run_both(p, runs=3)


def test_an_update_waits_for_later_readers() -> None:
    p = Program()
    a = p.persistent("a", (8,))
    new = a * 3
    late = p.apply(Reduce("sum", (0,)), a + identity(p, new))
    p.update("a", new)
    p.output("late", late)
    run_both(p, runs=2)


def test_an_update_that_shifts_its_own_state() -> None:
    p = Program()
    a = p.persistent("a", (8,))
    from cortex.compute.ops import Concatenate

    p.update(
        "a", p.apply(Concatenate(0), p.apply(Slice((1,), (8,)), a), p.apply(Slice((0,), (1,)), a))
    )
    run_both(p, runs=3)


def test_one_value_under_two_names_and_an_input_as_output() -> None:
    p = Program()
    x = p.input("x", (4,))
    y = x + 1
    p.output("y", y)
    p.output("z", y)
    p.output("x again", x)
    run_both(p)


def test_constants_as_outputs_and_updates() -> None:
    p = Program()
    c = p.constant(np.arange(4, dtype=np.float32))
    p.persistent("s", (4,))
    p.output("c", c)
    p.update("s", c)
    run_both(p, runs=2)


def test_executables_share_state_by_name() -> None:
    backend = get_backend("cpu")
    train, show = Program(), Program()
    w = train.persistent("w", (4,))
    train.update("w", w + 1)
    show.output("twice", show.persistent("w", (4,)) * 2)
    memory = HostMemory()
    a, b = backend.compile(train, memory), backend.compile(show, memory)
    a.write("w", np.arange(4.0))
    a.run()
    b.run()
    np.testing.assert_array_equal(b.read("twice"), 2 * (np.arange(4) + 1))


def test_shared_state_must_agree() -> None:
    backend, memory = get_backend("cpu"), HostMemory()
    p, q = Program(), Program()
    p.update("w", p.persistent("w", (4,)) * 1.5)
    q.update("w", q.persistent("w", (5,)) * 1.5)
    backend.compile(p, memory)
    with pytest.raises(BackendError, match=r"state 'w'.*float32\[5\].*float32\[4\]"):
        backend.compile(q, memory)


def small_network(dtype: str = "float32", batch: int = 6) -> Program:
    """A convolution, pooling, dropout, a product, and a step of gradient descent on flat parameters."""
    p = Program()
    x = p.input("x", (batch, 2, 9, 9), dtype)
    p.persistent("w", (256,), dtype)
    kernels = p.view("kernels", "w", 0, (3, 2, 3, 3))
    weights = p.view("weights", "w", 64, (48, 4))
    y = p.apply(Convolution(Window.of(3, 1, 1)), x, kernels) + p.constant(np.ones((3, 1, 1)), dtype)
    y, _ = p.apply(Pool("max", Window.of(2, 2)), m.maximum(y, 0))
    y = y * m.where(random(p, "uniform", y.shape, dtype) < 0.5, 2.0, 0.0)
    z = m.tanh(p.apply(MatMul(), p.apply(Reshape((batch, 48)), y), weights))
    loss = p.apply(Reduce("sum", (0, 1)), z * z) / batch
    (gradient,) = gradients(p, loss, [p.state["w"]])
    p.output("loss", loss)
    p.update("w", p.state["w"] - 0.1 * gradient)
    return p


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("batch", [1, 6, 17])
def test_a_training_step(dtype: str, batch: int) -> None:
    run_both(small_network(dtype, batch), runs=4)


@pytest.mark.skipif(native() is None, reason="the native engine is not built")
def test_nothing_of_a_training_step_falls_to_numpy() -> None:
    executable = get_backend("cpu").compile(small_network())
    providers = executable.report.providers()
    assert "numpy" not in providers, executable.report
    fused = [s for s in executable.report.steps if s.op == "Fused"]
    assert fused and all(s.provider == "native" for s in fused)


def test_memory_of_activations_is_shared_and_reported() -> None:
    p = Program()
    x = p.input("x", (64, 64))
    for _ in range(20):
        x = p.apply(MatMul(), x, x)
    p.output("y", x)
    report = get_backend("cpu").compile(p).report
    assert report.bytes["activations"] == 2 * 64 * 64 * 4
    assert report.unplanned_bytes == 20 * 64 * 64 * 4
    assert "reduced from" in str(report)


def test_a_bad_index_is_reported_after_the_run_and_forgotten() -> None:
    p = Program()
    table, index = p.input("table", (5, 3)), p.input("index", (4,), "int32")
    p.output("rows", p.apply(Gather(), table, index))
    p.output("back", p.apply(ScatterAdd(5), index, p.input("updates", (4, 2))))
    executable = get_backend("cpu").compile(p)
    executable.write("index", np.array([0, 4, 7, 1]))
    with pytest.raises(BackendError, match=r"index.* position 2 .*0\.\.4"):
        executable.run()
    executable.write("index", np.array([0, 4, 2, 1]))
    executable.run()


def test_random_numbers_equal_the_specification() -> None:
    p = Program()
    p.output("u", random(p, "uniform", (37, 11)))
    p.output("v", random(p, "uniform", (37, 11), "float64"))
    p.output("n", random(p, "normal", (1001,)))
    assert sum(isinstance(s.op, Random) for s in p.steps) == 3
    made = [get_backend(name).compile(p) for name in ("numpy", "cpu")]
    for executable in made:
        executable.write("random.seed", np.array(12345678901234, np.uint64))
        executable.run()
        executable.run()
    for name, tolerance in (("u", 0), ("v", 0), ("n", 2e-6)):
        a, b = (e.read(name) for e in made)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("x", np.zeros((2, 2)), r"write 'x': expected shape \(2, 3\), given \(2, 2\)"),
        ("y", np.zeros((2, 3)), "nothing is named 'y'"),
        ("i", np.zeros(3), "write 'i': expected dtype int32, given float64"),
        ("b", np.array([1, 2, 300]), r"write 'b': values 1\.\.300 do not fit into uint8"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, array: np.ndarray, message: str) -> None:
    p = Program()
    x = p.input("x", (2, 3))
    p.input("i", (3,), "int32")
    p.input("b", (3,), "uint8")
    p.output("out", x * 2)
    with pytest.raises(ShapeError, match=message):
        get_backend("cpu").compile(p).write(name, array)


SCRIPT = """
import numpy as np
from cortex.compute import get_backend
from test_cpu_backend import small_network
made = [get_backend(n).compile(small_network()) for n in ("numpy", "cpu")]
rng = np.random.default_rng(0)
x, w = rng.normal(size=(6, 2, 9, 9)), rng.normal(size=256)
for e in made:
    e.write("x", x); e.write("w", w)
    for _ in range(3): e.run()
np.testing.assert_allclose(made[0].read("w"), made[1].read("w"), rtol=1e-4, atol=1e-5)
print(sorted(made[1].report.providers()), get_backend("cpu").capabilities.notes["engine"])
"""


def test_large_arrays_are_written_whatever_their_layout() -> None:
    """From 256 KB on all threads copy what lies as the input does; the rest NumPy converts."""
    p = Program()
    p.outputs["y"] = p.input("x", (300, 301)) * 1
    made = get_backend("cpu").compile(p)
    x = np.random.default_rng(4).random((300, 301), np.float32)
    for written in (x, np.asfortranarray(x), x.astype(np.float64), np.repeat(x, 2, 1)[:, ::2]):
        made.write("x", np.zeros_like(x))
        made.write("x", written)
        made.run()
        assert np.array_equal(made.read("y"), x)


@pytest.mark.skipif(native() is None, reason="without the compiled engine denormal numbers stay")
def test_denormal_numbers_are_zero_unless_exact() -> None:
    """A first moment that is never fed again would stay at 1e-44 for ever and slow its update down."""
    p = Program()
    p.outputs["halved"] = p.input("x", (100,)) * 0.5
    for name, expected in (("cpu", 0), ("cpu:exact", 5e-41)):
        made = get_backend(name).compile(p)
        made.write("x", np.full(100, 1e-40, np.float32))
        made.run()
        np.testing.assert_allclose(made.read("halved"), expected, rtol=1e-4, err_msg=name)


def test_without_the_native_engine() -> None:
    here = os.path.dirname(__file__)
    path = os.pathsep.join(
        [here, os.path.join(here, "..", "support"), os.environ.get("PYTHONPATH", "")]
    )
    environment = {**os.environ, "CORTEX_NATIVE": "0", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "native" not in done.stdout.split("]")[0]
    assert "fallback: switched off by CORTEX_NATIVE=0" in done.stdout


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_kernel_that_covers_the_image_is_a_matrix_product(dtype: str) -> None:
    p = Program()
    x, w = p.input("x", (5, 3, 4, 6), dtype), p.input("w", (7, 3, 4, 6), dtype)
    bias = p.input("b", (7, 1, 1), dtype)
    y = m.maximum(p.apply(Convolution(Window.of((4, 6))), x, w) + bias, 0)
    total = p.apply(Reduce("sum", (0, 1, 2, 3)), y * y)
    for name, g in zip("xwb", gradients(p, total, [x, w, bias]), strict=True):
        p.output(f"d{name}", g)
    p.output("y", y)
    run_both(p)
    if native() is not None:
        kernels = [i.target for i in get_backend("cpu").compile(p)._low.instructions]
        assert sum(str(k).startswith("matmul") for k in kernels) == 3
        assert not any(str(k).startswith("convolution") for k in kernels)
