"""Sums of maps in one pass: the same numbers, fewer passes, and no sum that depends on another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cortex
from cortex import layers, optimise
from cortex.compute.cpu.backend import CpuBackend
from cortex.compute.cpu.native import native
from cortex.compute.expression import symbol
from cortex.compute.numpy_backend import NumpyBackend
from cortex.compute.ops import Reduce
from cortex.compute.ops.reduce import mean, reduce_axes
from cortex.compute.ops.summed import SummedMap
from cortex.compute.passes import fuse_sums
from cortex.compute.program import Program
from cortex.network import Network

needs_engine = pytest.mark.skipif(native() is None, reason="the compiled engine is missing")


def count(program: Program, kind: type) -> int:
    return sum(isinstance(s.op, kind) for s in program.steps)


def moments() -> Program:
    """The mean, the variance around it, and two sums of the backward pass."""
    p = Program()
    x, dy = p.input("x", (6, 4, 10, 20)), p.input("dy", (6, 4, 10, 20))
    mu = mean(p, x, (0, 2, 3), keep=True)
    variance = mean(p, p.map(lambda x, m: (x - m) * (x - m), x, mu), (0, 2, 3), keep=True)
    p.output("mean", mu)
    p.output("variance", variance)
    p.output("shift", reduce_axes(p, "sum", dy, (0, 2, 3)))
    scaled = p.map(lambda dy, x, m, v: dy * (x - m) / v, dy, x, mu, variance)
    p.output("scale", reduce_axes(p, "sum", scaled, (0, 2, 3)))
    return p


def test_sums_of_the_same_values_share_a_pass_unless_one_needs_the_other() -> None:
    fused = fuse_sums(moments(), lambda op, inputs: True)
    assert count(fused, SummedMap) == 2 and count(fused, Reduce) == 1
    rest = [s.op for s in fused.steps if isinstance(s.op, SummedMap)]
    assert sorted(len(op.expressions) for op in rest) == [1, 2]


@needs_engine
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_kernel_agrees_with_the_reference(dtype: str) -> None:
    random = np.random.default_rng(0)
    data = {n: random.normal(1, 2, size=(6, 4, 10, 20)).astype(np.float32) for n in ("x", "dy")}
    results = []
    for backend in (NumpyBackend(), CpuBackend()):
        executable = backend.compile(moments())
        for name, array in data.items():
            executable.write(name, array)
        executable.run()
        results.append({n: executable.read(n) for n in ("mean", "variance", "shift", "scale")})
    for name, wanted in results[0].items():
        np.testing.assert_allclose(results[1][name], wanted, rtol=2e-5, atol=2e-4)


@needs_engine
@settings(deadline=None, max_examples=30)
@given(
    outer=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    inner=st.lists(st.integers(1, 900), min_size=1, max_size=1),
    reduce_first=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 99),
)
def test_rows_of_any_length(
    outer: list[int], inner: list[int], reduce_first: bool, dtype: str, seed: int
) -> None:
    from cortex.compute.cpu.lowering import Lowering
    from cortex.compute.cpu.providers.sums import summed_map
    from cortex.compute.plan.storage import Storage

    shape = (*outer, *inner)
    rank = len(shape)
    axes = tuple(sorted({rank - 1} | ({0} if reduce_first else set())))
    p = Program()
    x, y = p.input("x", shape, dtype), p.input("y", (*outer, 1), dtype)
    expressions = (symbol(0) * symbol(1), symbol(0) - 3, symbol(1))
    made = p.apply(SummedMap(expressions, dtype, shape, axes), x, y)
    for k, value in enumerate(made):
        p.output(f"out{k}", value)
    instructions = summed_map(Lowering(p, Storage(p)), p.steps[0])
    if len(axes) < rank or set(outer) == {1}:  # else a row is everything, and y moves within it
        assert (
            instructions is not None
            and instructions[0].target == f"tape_sum_{dtype[0]}{dtype[-2:]}"
        )
    random = np.random.default_rng(seed)
    a, b = random.normal(size=shape).astype(dtype), random.normal(size=(*outer, 1)).astype(dtype)
    executable = CpuBackend().compile(p)
    executable.write("x", a)
    executable.write("y", b)
    executable.run()
    wide, factor = a.astype(np.float64), b.astype(np.float64)
    wanted = (wide * factor, wide - 3, np.broadcast_to(factor, shape))
    for k, values in enumerate(wanted):
        scale = np.abs(values).sum(axis=axes, keepdims=True) + 1e-30
        error = np.abs(executable.read(f"out{k}") - values.sum(axis=axes, keepdims=True)) / scale
        assert error.max() < (1e-6 if dtype == "float32" else 1e-14)


@needs_engine
def test_batch_normalisation_reads_its_input_three_times() -> None:
    network = Network(
        [layers.Input(8, 16, 16), layers.BatchNormalisation(), layers.Relu(), layers.Linear(3)]
    )
    step = cortex.training_step(
        network, optimiser=optimise.Sgd(0.1), batch_size=32, loss=None, backend="cpu"
    )
    names = [s.op for s in step.report.steps]
    assert names.count("SummedMap") >= 1
