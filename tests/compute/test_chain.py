"""Chains: a convolution that pools its own result, where nobody else reads it."""

from __future__ import annotations

import numpy as np
import pytest

import cortex
from cortex import models, optimise
from cortex.compute.cpu.backend import CpuBackend
from cortex.compute.cpu.native import native
from cortex.compute.numpy_backend import NumpyBackend
from cortex.compute.ops import Convolution, Pool, Window
from cortex.compute.ops.chain import Chain
from cortex.compute.passes import fuse_chains
from cortex.compute.program import Program

needs_engine = pytest.mark.skipif(native() is None, reason="the compiled engine is missing")


def program(read_twice: bool) -> Program:
    p = Program()
    x, w = p.input("x", (2, 1, 8, 8)), p.persistent("w", (3, 1, 3, 3))
    y = p.apply(Convolution(Window.of(3)), x, w)
    pooled, index = p.apply(Pool("max", Window.of(2, 2)), y)
    p.output("pooled", pooled)
    p.output("index", index)
    if read_twice:
        p.output("y", y)
    return p


def test_two_ops_become_one_unless_somebody_else_reads_what_lies_between() -> None:
    fused = fuse_chains(program(False), lambda op, inputs: True)
    assert [type(s.op) for s in fused.steps] == [Chain]
    results = []
    for p in (program(False), fused):
        random = np.random.default_rng(0)
        executable = NumpyBackend().compile(p)
        executable.write("x", np.float32(random.normal(size=(2, 1, 8, 8))))
        executable.write("w", np.float32(random.normal(size=(3, 1, 3, 3))))
        executable.run()
        results.append([executable.read(n) for n in ("pooled", "index")])
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
    twice = fuse_chains(program(True), lambda op, inputs: True)
    assert [type(s.op) for s in twice.steps] == [Convolution, Pool]
    refused = fuse_chains(program(False), lambda op, inputs: False)
    assert [type(s.op) for s in refused.steps] == [Convolution, Pool]


@needs_engine
def test_lenet_trains_through_a_chain() -> None:
    random = np.random.default_rng(3)
    images = random.integers(0, 255, (32, 1, 28, 28)).astype(np.uint8)
    label = random.integers(0, 10, 32)
    losses = []
    for backend in (CpuBackend(), NumpyBackend()):
        step = cortex.training_step(
            models.lenet(), optimiser=optimise.Sgd(0.05), batch_size=32, backend=backend
        )
        if backend.name == "cpu":
            assert "Chain" in [s.op for s in step.report.steps]
        step.write("image", images)
        step.write("label", label)
        losses.append([(step.run(), float(step.read("loss")))[1] for _ in range(3)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-4)
