"""Layouts are reshapes: what is arranged and restored is the same, and ops on arranged values agree with dense ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.compute.errors import ShapeError
from cortex.compute.layouts import BATCH_LANES, CHANNELS_LAST, Layout
from cortex.compute.numpy_backend import NumpyBackend
from cortex.compute.ops import Convolution, ConvolutionKernelGradient, MatMul, Pool, Window
from cortex.compute.ops.arranged import Arranged
from cortex.compute.program import Program

LAYOUTS = pytest.mark.parametrize("layout", [BATCH_LANES, CHANNELS_LAST], ids=lambda v: v.name)


def run(program: Program, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    executable = NumpyBackend().compile(program)
    for name, array in arrays.items():
        executable.write(name, array)
    executable.run()
    return {name: executable.read(name) for name in program.outputs}


@LAYOUTS
@given(
    batch=st.integers(1, 35),
    channels=st.integers(1, 4),
    extents=st.lists(st.integers(1, 3), max_size=2),
)
def test_what_is_arranged_is_restored(
    layout: Layout, batch: int, channels: int, extents: list[int]
) -> None:
    shape = (batch, channels, *extents)
    program = Program()
    x = program.input("x", shape)
    arranged = layout.arrange(program, x)
    assert arranged.shape == layout.shape(shape)
    assert layout.dense(arranged.shape, batch) == shape
    program.output("arranged", arranged)
    program.output("y", layout.restore(program, arranged, batch))
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    result = run(program, x=data)
    np.testing.assert_array_equal(result["y"], data)
    if layout is CHANNELS_LAST:
        np.testing.assert_array_equal(result["arranged"], np.moveaxis(data, 1, -1))
    else:
        example = batch - 1
        np.testing.assert_array_equal(
            result["arranged"][example // 16, ..., example % 16], data[example]
        )
        assert not result["arranged"][-1, ..., (batch - 1) % 16 + 1 :].any()


@LAYOUTS
def test_an_arranged_op_is_the_op(layout: Layout) -> None:
    random = np.random.default_rng(1)
    x, w = random.normal(size=(19, 3, 6, 7)), random.normal(size=(5, 3, 3, 3))
    window = Window.of(3, 2, 1)
    program = Program()
    dense = program.input("x", x.shape, "float64")
    kernels = program.input("w", w.shape, "float64")
    inside = layout.arrange(program, dense)
    convolution, pool = Convolution(window), Pool("max", Window.of(2))
    y = program.apply(Arranged(convolution, layout, 19), inside, kernels)
    pooled, index = program.apply(Arranged(pool, layout, 19), y)
    dw = program.apply(Arranged(ConvolutionKernelGradient(window), layout, 19), inside, y)
    wanted = program.apply(convolution, dense, kernels)
    want_pooled, want_index = program.apply(pool, wanted)
    program.output("y", layout.restore(program, y, 19))
    program.output("pooled", layout.restore(program, pooled, 19))
    program.output("index", layout.restore(program, index, 19))
    program.output("dw", dw)
    program.output("want_y", wanted)
    program.output("want_pooled", want_pooled)
    program.output("want_index", want_index)
    program.output("want_dw", program.apply(ConvolutionKernelGradient(window), dense, wanted))
    result = run(program, x=x, w=w)
    for name in ("y", "pooled", "index", "dw"):
        np.testing.assert_array_equal(result[name], result[f"want_{name}"])


def test_an_op_without_an_arranged_form_is_named() -> None:
    program = Program()
    a = program.input("a", (1, 2, 2, 16))
    with pytest.raises(ShapeError, match="Arranged: MatMul has no arranged form; Convolution"):
        program.apply(Arranged(MatMul(), BATCH_LANES, 16), a, a)
