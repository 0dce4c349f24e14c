"""The layout pass: what it transposes, and that it changes no number."""

from __future__ import annotations

import numpy as np
import pytest

from cortex.compute import Program, get_backend
from cortex.compute import math as m
from cortex.compute.autodiff import gradients
from cortex.compute.layouts import to_first, to_last
from cortex.compute.numpy_backend import NumpyBackend
from cortex.compute.ops import (
    BatchNormalisation,
    BiasedConvolution,
    Convolution,
    Pool,
    Reduce,
    Reshape,
    Transpose,
    Window,
)
from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.passes import decompose, simplify
from cortex.compute.verify import close, execute
from cortex.gpu_compute.passes.layout import ChannelsLast, channels_last
from cortex.gpu_compute.providers.convolution import is_convolution
from cortex.gpu_compute.providers.pooling import is_pooling

from .conftest import backend


def rewritten(program: Program) -> Program:
    kept = simplify(decompose(program, lambda s: isinstance(s.op, BatchNormalisation)))
    return simplify(channels_last(kept, lambda s: is_convolution(s.op), is_pooling))


def transposes(program: Program) -> int:
    return sum(isinstance(s.op, Transpose) for s in program.steps)


def chain(training: bool = False) -> Program:
    """Convolution, bias, relu, pooling, batch normalisation, convolution with stride, mean over the image."""
    p = Program()
    x, w, b = p.input("x", (3, 2, 9, 8)), p.input("w", (5, 2, 3, 3)), p.input("b", (5,))
    scale, shift, v = p.input("scale", (5,)), p.input("shift", (5,)), p.input("v", (4, 5, 3, 3))
    y = m.maximum(p.apply(BiasedConvolution(Window.of(3, 1, 1)), x, w, b), 0)
    z, _ = p.apply(Pool("max", Window.of(2, 2)), y)
    z, mean, _ = p.apply(BatchNormalisation((0, 2, 3), 1e-3), z, scale, shift)
    z = p.apply(Convolution(Window.of(3, 2, 1)), z, v)
    out = reduce_axes(p, "sum", z, (2, 3)) * 0.25
    p.output("out", out)
    p.output("mean", mean)
    if training:
        loss = reduce_axes(p, "sum", out * out, None)
        for name, g in zip("xwb", gradients(p, loss, [x, w, b]), strict=True):
            p.output(f"d{name}", g)
    return p


def draws(program: Program) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    return {n: generator.normal(size=v.shape) for n, v in program.inputs.items()}


def test_a_chain_is_transposed_at_its_ends_only() -> None:
    program = rewritten(chain())
    assert transposes(program) == 3  # the image and two kernels; the result has no image left
    kinds = [type(s.op.op).__name__ for s in program.steps if isinstance(s.op, ChannelsLast)]
    assert kinds == ["Convolution", "Pool", "Convolution"]


def test_gradients_stay_channels_last_too() -> None:
    # the image, its gradient, two kernels and the gradient of one of them; nothing in between
    assert transposes(rewritten(chain(training=True))) <= 6


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_no_number_changes(training: bool) -> None:
    program = chain(training)
    given = draws(program)
    wanted = execute(NumpyBackend(), program, given)
    for one in (NumpyBackend(), get_backend("cpu")):
        got = execute(one, rewritten(program), given)
        for name in program.outputs:
            close(name, got.read(name), wanted.read(name), factor=10)


def test_values_read_in_both_orders() -> None:
    p = Program()
    x, w = p.input("x", (2, 3, 5, 4)), p.input("w", (6, 3, 3, 3))
    y = p.apply(Convolution(Window.of(3)), x, w)
    p.output("y", y)
    p.output("flat", p.apply(Reshape((2, 36)), y))
    p.output("rows", p.apply(Reduce("max", (2,)), y))
    p.output("kept", p.apply(Reduce("sum", (0, 2, 3), True), y) + p.input("c", (6, 1, 1)))
    p.output("shifted", y + p.input("row", (1, 1, 3, 2)) * p.input("s", ()))
    given = draws(p)
    wanted, got = execute(NumpyBackend(), p, given), execute(NumpyBackend(), rewritten(p), given)
    for name in p.outputs:
        close(name, got.read(name), wanted.read(name))


def test_a_program_without_convolutions_stays_as_it_is() -> None:
    p = Program()
    p.output("y", p.apply(Pool("average", Window.of(2, 2)), p.input("x", (1, 2, 4, 4))))
    assert channels_last(p, lambda s: is_convolution(s.op), is_pooling) is p


def test_orders_are_inverse() -> None:
    for rank in (3, 4, 5):
        assert [to_last(rank)[a] for a in to_first(rank)] == list(range(rank))


def test_the_library_runs_the_convolutions_of_the_emulated_device() -> None:
    report = backend().compile(chain(training=True)).report
    assert report.providers()["cuDNN float32"] == 5
    plain = backend(libraries=False).compile(chain(training=True)).report
    assert "cuDNN float32" not in plain.providers()
