"""The CPU backend without its native engine: NumPy providers against the specification, and which of them run."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.compute import Program, get_backend, get_num_threads, set_num_threads, threads
from cortex.compute import math as m
from cortex.compute.autodiff import gradients
from cortex.compute.cpu.backend import CpuBackend
from cortex.compute.cpu.maps import compiled
from cortex.compute.cpu.native import _load, engine, native
from cortex.compute.cpu.providers import numpy_convolution
from cortex.compute.ops import (
    Concatenate,
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
    MatMul,
    Pad,
    Pool,
    PoolGradient,
    Reduce,
    Slice,
    Transpose,
    Window,
)
from cortex.compute.ops.reduce import reshape_to


@pytest.fixture(autouse=True, scope="module")
def no_engine():
    """Take the engine away from every module that would ask for it, or has asked and remembers."""
    modules = [m for n, m in list(sys.modules.items()) if n.startswith("cortex.compute.cpu")]
    remembering = {f for m in modules for f in vars(m).values() if hasattr(f, "cache_clear")}
    remembering -= {native, engine, _load, compiled}
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            if getattr(module, "native", None) is native:
                patch.setattr(module, "native", lambda: None)
        for function in remembering:
            function.cache_clear()
        yield
    for function in remembering:
        function.cache_clear()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Cut batches into several chunks also where arrays are as small as here."""
    monkeypatch.setattr(numpy_convolution, "CHUNK_BYTES", 1 << 11)


def compare(p: Program, arrays: dict[str, np.ndarray], exact: bool = False) -> list[str]:
    """Run twice on both backends (memory is used again); return the modules of what ran, maps aside."""
    made = [get_backend("numpy").compile(p), CpuBackend().compile(p)]
    for executable in made:
        for name, array in arrays.items():
            executable.write(name, array)
        executable.run()
        executable.run()
    for name in p.outputs:
        expected, found = (e.read(name) for e in made)
        assert expected.dtype == found.dtype and expected.shape == found.shape
        tolerance = 0 if exact else 1e-4 if expected.dtype == np.float32 else 1e-11
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance, err_msg=name)
    low = made[1]._low
    assert {i.provider for i in low.instructions} <= {"numpy", "numba"}
    steps = [low.reports[k].op for k in low.owners]
    return [
        instruction.target.__module__.rpartition(".")[2]
        for instruction, step in zip(low.instructions, steps, strict=True)
        if step != "Map"
    ]


@st.composite
def windows(draw, pooling: bool = False):
    """Draw (window, extents) that fit, of rank 1 to 3."""
    rank = draw(st.integers(1, 3))
    top = 3 if rank == 3 else 4
    number = st.integers(1, top)
    size = tuple(draw(number) for _ in range(rank))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    dilation = tuple(1 if pooling else draw(st.integers(1, 2)) for _ in range(rank))
    limit = [k - 1 if pooling else 3 for k in size]
    padding = tuple((draw(st.integers(0, c)), draw(st.integers(0, c))) for c in limit)
    window = Window(size, stride, padding, dilation, draw(st.booleans()))
    extents = tuple(
        max(1, k - low - high) + draw(st.integers(0, 4))
        for k, (low, high) in zip(window.reach, padding, strict=True)
    )
    return window, extents


DTYPES = st.sampled_from(["float32", "float64"])


@settings(max_examples=60)
@given(
    windows(), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), DTYPES
)
def test_convolution_and_its_gradients(drawn, batch, channels, filters, groups, dtype) -> None:
    window, extents = drawn
    out = window.output("test", extents)
    shapes = {
        "x": (batch, channels * groups, *extents),
        "w": (filters * groups, channels, *window.size),
        "dy": (batch, filters * groups, *out),
    }
    p = Program()
    x, w, dy = (p.input(n, s, dtype) for n, s in shapes.items())
    p.output("y", p.apply(Convolution(window, groups), x, w))
    p.output("dx", p.apply(ConvolutionInputGradient(window, extents, groups), dy, w))
    p.output("dw", p.apply(ConvolutionKernelGradient(window, groups), x, dy))
    rng = np.random.default_rng(math.prod(extents))
    arrays = {n: rng.normal(size=s).astype(dtype) for n, s in shapes.items()}
    assert compare(p, arrays) == ["numpy_convolution"] * 3


@settings(max_examples=60)
@given(
    windows(pooling=True),
    st.integers(1, 3),
    st.integers(1, 3),
    DTYPES,
    st.booleans(),
    st.integers(0, 9),
)
def test_pooling_and_its_gradients(drawn, batch, channels, dtype, counts, seed) -> None:
    window, extents = drawn
    shape = (batch, channels, *extents)
    p = Program()
    x = p.input("x", shape, dtype)
    dy = p.input("dy", (*shape[:2], *window.output("test", extents)), dtype)
    y, index = p.apply(Pool("max", window), x)
    mean = p.apply(Pool("average", window, counts), x)
    p.output("y", y)
    p.output("index", index)
    p.output("mean", mean)
    p.output("dx", p.apply(PoolGradient("max", window, extents), dy, index))
    p.output("spread", p.apply(PoolGradient("average", window, extents, counts), dy))
    rng = np.random.default_rng(seed)
    arrays = {
        "x": rng.integers(-2, 3, shape).astype(dtype),
        "dy": rng.normal(size=dy.shape).astype(dtype),
    }
    assert compare(p, arrays) == ["numpy_pooling"] * 4


@pytest.mark.parametrize("stride", [1, 2])
def test_max_pooling_keeps_what_is_no_number(stride: int) -> None:
    p = Program()
    x = p.input("x", (2, 1, 4, 4), "float64")
    window = Window.of(2, stride)
    y, index = p.apply(Pool("max", window), x)
    dy = p.input("dy", y.shape, "float64")
    p.output("y", y)
    p.output("index", index)
    p.output("dx", p.apply(PoolGradient("max", window, (4, 4)), dy, index))
    values = np.arange(32.0).reshape(2, 1, 4, 4)
    values[0, 0, 0, 1] = values[0, 0, 1, 0] = np.nan
    values[1, 0, 2:, 2:] = -np.inf
    given = np.ones(y.shape)
    given[1, 0, 0, 0] = np.inf
    given[0, 0, -1, -1] = np.nan
    compare(p, {"x": values, "dy": given}, exact=True)


def test_max_pooling_without_a_reader_of_the_index_makes_none() -> None:
    p = Program()
    x = p.input("x", (2, 3, 6, 6), "float32")
    y, _ = p.apply(Pool("max", Window.of(2, 2)), x)
    p.output("y", y)
    assert compare(p, {"x": np.arange(216, dtype="float32").reshape(x.shape)}) == ["numpy_pooling"]
    (instruction,) = CpuBackend().compile(p)._low.instructions
    assert "uint8" not in {o.spec.dtype for o in instruction.outputs}


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int32", "int64", "bool"])
@pytest.mark.parametrize("kind", ["sum", "prod", "max", "min", "argmax"])
def test_reductions(kind: str, dtype: str) -> None:
    if dtype == "bool" and kind in ("max", "min", "argmax"):
        pytest.skip("extrema are of numbers")
    p = Program()
    x = p.input("x", (3, 4, 5), dtype)
    for axes in ((0,), (1,), (2,)) if kind == "argmax" else ((0,), (2,), (0, 2), (0, 1, 2)):
        for keep in (False, True):
            p.output(f"{axes}{keep}", p.apply(Reduce(kind, axes, keep), x))
    array = np.random.default_rng(3).integers(0, 2 if dtype == "bool" else 4, x.shape).astype(dtype)
    assert set(compare(p, {"x": array})) == {"numpy_direct"}


def test_movements() -> None:
    p = Program()
    x = p.input("x", (3, 4, 5), "float32")
    p.output("transposed", p.apply(Transpose((2, 0, 1)), x))
    p.output("cut", p.apply(Slice((0, 1, 0), (3, 4, 5), (2, 1, 3)), x))
    p.output("padded", p.apply(Pad((1, 0, 2), (0, 3, 1), (1, 0, 2), 0.5), x))
    for axis in range(3):
        p.output(f"joined{axis}", p.apply(Concatenate(axis), x, m.exp(x), x))
    array = np.random.default_rng(3).normal(size=x.shape).astype("float32")
    assert set(compare(p, {"x": array})) == {"numpy_direct"}


def test_movements_of_nothing() -> None:
    p = Program()
    x = p.input("x", (0, 4), "float32")
    p.output("padded", p.apply(Pad((1, 0), (2, 1), (1, 0), 0.5), x))
    p.output("sum", p.apply(Reduce("sum", (0,)), x))
    p.output("joined", p.apply(Concatenate(1), x, x))
    compare(p, {"x": np.zeros((0, 4), "float32")}, exact=True)


def test_pieces_that_are_computed_in_place_are_not_copied() -> None:
    p = Program()
    x = p.input("x", (6,), "float32")
    p.output("joined", p.apply(Concatenate(0), m.exp(x), m.tanh(x)))
    assert compare(p, {"x": np.linspace(-1, 1, 6, dtype="float32")}) == []


def test_a_network_and_its_gradient() -> None:
    rng = np.random.default_rng(5)
    p = Program()
    x = p.input("x", (5, 1, 14, 14), "float64")
    w, v = p.input("w", (4, 1, 3, 3), "float64"), p.input("v", (7, 4 * 6 * 6), "float64")
    y, _ = p.apply(Pool("max", Window.of(2, 2)), p.apply(Convolution(Window.of(3)), x, w))
    y = p.apply(MatMul(False, True), reshape_to(p, m.maximum(y, 0.0), (5, 144)), v)
    loss = p.apply(Reduce("sum", (0, 1)), y * y)
    p.output("loss", loss)
    for name, g in zip("wv", gradients(p, loss, [w, v]), strict=True):
        p.output(f"d{name}", g)
    arrays = {n: rng.normal(size=i.shape) for n, i in p.inputs.items()}
    ran = set(compare(p, arrays))
    assert ran == {"numpy_convolution", "numpy_pooling", "numpy_direct", "contraction"}


def test_memory_of_a_convolution_is_bounded(monkeypatch) -> None:
    limit = 1 << 18
    monkeypatch.setattr(numpy_convolution, "CHUNK_BYTES", limit)
    p = Program()
    x = p.input("x", (64, 8, 32, 32), "float32")
    y = p.apply(Convolution(Window.of(5, 1, 2)), x, p.input("w", (8, 8, 5, 5), "float32"))
    p.output("y", y)
    columns = x.spec.bytes * 25
    used = CpuBackend().compile(p).report.bytes["activations"]
    one = columns // 64  # at least one example at a time
    assert y.spec.bytes < used < y.spec.bytes + 1.1 * max(limit, one) < columns / 5


def test_threads_cannot_be_set_without_the_engine() -> None:
    set_num_threads(3)
    assert get_num_threads() == 1
    assert "no native engine" in threads.source()


@pytest.mark.parametrize("count", [0, -2, 1.5, True, "2"])
def test_a_number_of_threads_is_a_positive_integer(count: object) -> None:
    with pytest.raises(ValueError, match=r"set_num_threads: expected an integer >= 1, given "):
        set_num_threads(count)
