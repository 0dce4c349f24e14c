"""Convolution and pooling on values in lanes against the reference in float64: kernels as their provider calls them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.compute import get_backend
from cortex.compute.cpu.lowering import lower
from cortex.compute.cpu.native import native
from cortex.compute.cpu.providers import winograd
from cortex.compute.cpu.providers.costs import dense_seconds, reorder_seconds, seconds
from cortex.compute.expression import symbol
from cortex.compute.layouts import BATCH_LANES, CHANNELS_LAST, Layout
from cortex.compute.math import maximum
from cortex.compute.ops import (
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
    Map,
    MatMul,
    Pool,
    PoolGradient,
    Window,
)
from cortex.compute.ops.arranged import CARRIED, Arranged
from cortex.compute.ops.chain import Chain
from cortex.compute.ops.fused import Fused
from cortex.compute.program import Op, Program
from cortex.compute.reference import KERNELS
from cortex.compute.spec import Spec

if native() is None:
    pytest.skip("the compiled engine is not built", allow_module_level=True)


@pytest.fixture(autouse=True, scope="module")
def direct_kernels_run():
    """Winograd may be faster: these are the tests of the direct kernels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "is_faster", lambda op, *specs: False)
        yield


TOLERANCE = {"float32": 3e-5, "float64": 1e-12}
GUARD = 64
LAYOUTS = pytest.mark.parametrize("layout", [BATCH_LANES, CHANNELS_LAST], ids=lambda v: v.name)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def arrange(layout: Layout, x: np.ndarray) -> np.ndarray:
    """The array in a layout; lanes without an example hold NaN (an index: 7)."""
    if layout is CHANNELS_LAST:
        return np.ascontiguousarray(np.moveaxis(x, 1, -1))
    blocks = -(-len(x) // 16)
    whole = np.full((blocks * 16, *x.shape[1:]), np.nan if x.dtype.kind == "f" else 7, x.dtype)
    whole[: len(x)] = x
    return np.ascontiguousarray(np.moveaxis(whole.reshape(blocks, 16, *x.shape[1:]), 1, -1))


def restore(layout: Layout, x: np.ndarray, batch: int) -> np.ndarray:
    if layout is CHANNELS_LAST:
        return np.moveaxis(x, -1, 1)
    return np.moveaxis(x, -1, 1).reshape(-1, *x.shape[1:-1])[:batch]


def execute(op: Op, arrays: Sequence[np.ndarray], outputs: int | None = None) -> list[np.ndarray]:
    """Lower one step and run its instructions: by one thread and by two, in other pieces, with margins that stay."""
    program = Program()
    values = [program.input(f"x{i}", a.shape, str(a.dtype)) for i, a in enumerate(arrays)]
    made = program.apply(op, *values)
    results = made if isinstance(made, tuple) else (made,)
    for i, value in enumerate(results[:outputs]):
        program.output(f"y{i}", value)
    low = lower(program)
    runs = []
    for threads in (1, 2):
        native().set_num_threads(threads)
        memory = {low.operand(v).place.root: a for v, a in zip(values, arrays, strict=True)}
        margins = []
        for instruction in low.instructions:
            assert str(instruction.target).startswith(
                ("lane_", "last_", "matmul_", "sum_partials_")
            )
            for operand in instruction.operands:
                root = operand.place.root
                if root not in memory:
                    whole = np.full(operand.spec.size + 2 * GUARD, 77, operand.spec.dtype)
                    margins.append(whole)
                    memory[root] = whole[GUARD:-GUARD].reshape(operand.spec.shape)
            native().run_kernel(
                instruction.target, [memory[o.place.root].ctypes.data for o in instruction.operands],
                instruction.integers, instruction.reals, instruction.units, threads, instruction.scratch,
            )  # fmt: skip
        assert all((m[:GUARD] == 77).all() and (m[-GUARD:] == 77).all() for m in margins)
        runs.append([memory[low.operand(v).place.root] for v in results[:outputs]])
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)
    return runs[0]


def apply(op: Op, layout: Layout, *dense: np.ndarray) -> list[np.ndarray]:
    """The dense results of an op on arranged values."""
    carried, to_layout = CARRIED[type(op)]
    batch = len(dense[0])
    arrays = [
        arrange(layout, a) if inside else a for a, inside in zip(dense, carried, strict=False)
    ]
    results = execute(Arranged(op, layout, batch), arrays)
    return [restore(layout, r, batch) for r in results] if to_layout else results


def close(actual: np.ndarray, expected: np.ndarray) -> None:
    scale = np.abs(expected).max(initial=1e-30)
    np.testing.assert_allclose(
        actual, expected, rtol=0, atol=TOLERANCE[str(actual.dtype)] * max(scale, 1)
    )


def wide(*arrays: np.ndarray) -> list[np.ndarray]:
    return [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]


# ---------------------------------------------------------------- convolution


def check_convolution(
    layout: Layout, dtype: str, shape: Sequence[int], filters: int, window: Window, groups: int = 1
) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=shape).astype(dtype)
    w = rng.normal(size=(filters, shape[1] // groups, *window.size)).astype(dtype)
    forward = Convolution(window, groups)
    expected = KERNELS[Convolution](forward, *wide(x, w))[0]
    close(apply(forward, layout, x, w)[0], expected)
    dy = rng.normal(size=expected.shape).astype(dtype)
    if layout is BATCH_LANES:
        back = ConvolutionInputGradient(window, tuple(shape[2:]), groups)
        close(apply(back, layout, dy, w)[0], KERNELS[type(back)](back, *wide(dy, w))[0])
        kernel = ConvolutionKernelGradient(window, groups)
        close(apply(kernel, layout, x, dy)[0], KERNELS[type(kernel)](kernel, *wide(x, dy))[0])


def window(size, stride=1, padding=0, dilation=1) -> Window:  # noqa: ANN001
    return Window.of(size, stride, padding, dilation, rank=2)


CONVOLUTIONS = {
    "lenet 1": ((33, 1, 14, 14), 20, window(5)),
    "lenet 2": ((17, 20, 8, 8), 50, window(5)),
    "stem": ((16, 3, 9, 8), 64, window(3, 1, 1)),
    "same 3x3, channels in pieces": ((5, 150, 8, 9), 40, window(3, 1, 1)),
    "stride 2 of a wide layer": ((18, 64, 9, 9), 96, window(3, 2, 1)),
    "rows in strips": ((3, 4, 40, 20), 18, window(3, 1, 1)),
    "pointwise": ((20, 70, 6, 5), 33, window(1)),
    "pointwise, stride": ((15, 64, 9, 8), 48, window(1, 2)),
    "weights half a page apart": ((2, 512, 4, 4), 18, window(1)),
    "one pixel": ((34, 7, 4, 4), 19, window(4)),
    "one pixel image": ((3, 5, 1, 1), 6, window(1)),
    "asymmetric": ((2, 3, 10, 9), 4, window((4, 3), 1, ((0, 3), (2, 1)))),
    "stride above kernel": ((2, 3, 20, 19), 4, window((2, 1), (3, 4))),
    "dilated": ((2, 4, 19, 17), 6, window(3, 1, 2, 2)),
    "dilated, strided": ((2, 4, 21, 18), 6, window((3, 2), (2, 3), ((1, 0), (2, 2)), (3, 2))),
    "more padding than kernel": ((2, 3, 4, 5), 6, window(2, 1, ((4, 3), (3, 5)))),
    "one dimension": ((3, 5, 60), 7, Window.of(9, 1, 4, rank=1)),
    "one long dimension": ((1, 3, 700), 4, Window.of(5, 2, 0, 3, rank=1)),
}
GROUPED = {
    "grouped": ((3, 12, 11, 10), 15, window(3, 1, 1), 3),
    "grouped, wide": ((3, 32, 6, 6), 64, window(3, 1, 1), 2),
    "depthwise": ((17, 20, 7, 8), 20, window(3, 1, 1), 20),
    "depthwise, multiplier, stride": ((2, 6, 14, 15), 12, window((5, 3), 2), 6),
}


@LAYOUTS
@DTYPES
@pytest.mark.parametrize("name", [*CONVOLUTIONS, *GROUPED])
def test_convolutions(isa: str, dtype: str, layout: Layout, name: str) -> None:
    check_convolution(layout, dtype, *{**CONVOLUTIONS, **GROUPED}[name])


@st.composite
def convolutions(draw):  # noqa: ANN001, ANN201
    pair = lambda low, high: st.tuples(*[st.integers(low, high)] * 2)  # noqa: E731
    size, dilation, stride = draw(pair(1, 4)), draw(pair(1, 3)), draw(pair(1, 3))
    padding = draw(st.tuples(pair(0, 3), pair(0, 3)))
    least = [
        max(1, (k - 1) * d + 1 - sum(p)) for k, d, p in zip(size, dilation, padding, strict=True)
    ]
    extents = [n + e for n, e in zip(least, draw(pair(0, 9)), strict=True)]
    groups = draw(st.integers(1, 3))
    batch = draw(st.sampled_from([1, 2, 15, 16, 17, 33]))
    shape = (batch, groups * draw(st.integers(1, 6)), *extents)
    return shape, groups * draw(st.integers(1, 18)), window(size, stride, padding, dilation), groups


@settings(max_examples=30)
@given(case=convolutions(), dtype=st.sampled_from(["float32", "float64"]), data=st.data())
def test_any_convolution(case, dtype: str, data) -> None:  # noqa: ANN001
    before = native().isa()
    try:
        native().set_isa(data.draw(st.sampled_from(native().available_isas())))
        for layout in (BATCH_LANES, CHANNELS_LAST):
            check_convolution(layout, dtype, *case)
    finally:
        native().set_isa(before)


@LAYOUTS
@DTYPES
def test_bias_and_activation(isa: str, dtype: str, layout: Layout) -> None:
    rng = np.random.default_rng(4)
    x, w = (
        rng.normal(size=(19, 5, 6, 7)).astype(dtype),
        rng.normal(size=(21, 5, 3, 3)).astype(dtype),
    )
    op, bias = Convolution(window(3, 1, 1)), np.linspace(-1, 1, 21).astype(dtype)
    y = KERNELS[Convolution](op, *wide(x, w))[0]
    arranged = Arranged(op, layout, 19)
    shape = (21, 1, 1, 1) if layout is BATCH_LANES else (21,)
    for expression, inputs, expected in (
        (symbol(0) + symbol(1), [bias], y + bias[:, None, None]),
        (maximum(symbol(0) + symbol(1), 0), [bias], np.maximum(y + bias[:, None, None], 0)),
        (maximum(symbol(0), 0.0), [], np.maximum(y, 0)),
    ):
        arrays = [arrange(layout, x), w, *(b.reshape(shape) for b in inputs)]
        found = execute(Fused(arranged, 2, expression), arrays)[0]
        close(restore(layout, found, 19), expected)


# ---------------------------------------------------------------- pooling


def check_pool(layout: Layout, dtype: str, shape: Sequence[int], window: Window) -> None:
    rng = np.random.default_rng(5)
    x = rng.integers(-3, 4, shape).astype(dtype)  # with ties
    x[rng.random(shape) < 0.05] = np.nan
    if not any(
        p for pair in window.padding for p in pair
    ):  # real cells win over padding, even minus infinity
        x[rng.random(shape) < 0.3] = -np.inf
    op = Pool("max", window)
    expected, places = KERNELS[Pool](op, x)
    found, index = apply(op, layout, x)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(index, places)
    x = rng.normal(size=shape).astype(dtype)
    averages = [Pool("average", window, count) for count in (False, True)]
    for average in averages:
        close(apply(average, layout, x)[0], KERNELS[Pool](average, *wide(x))[0])
    if layout is CHANNELS_LAST:
        return
    dy = rng.integers(-8, 9, expected.shape).astype(dtype)  # sums are exact
    back = PoolGradient("max", window, tuple(shape[2:]))
    np.testing.assert_array_equal(
        apply(back, layout, dy, index.copy())[0], KERNELS[PoolGradient](back, dy, places)[0]
    )
    for average in averages:
        back = PoolGradient("average", window, tuple(shape[2:]), average.count_padding)
        close(apply(back, layout, dy)[0], KERNELS[PoolGradient](back, *wide(dy))[0])


POOLS = {
    "lenet": ((33, 6, 12, 12), Window.of(2, 2)),
    "halves of an odd image": ((16, 3, 7, 9), Window.of(2, 2)),
    "halves of an odd image, rounded up": ((17, 3, 7, 9), Window.of(2, 2, ceil=True)),
    "overlapping, padded": ((3, 3, 13, 12), Window.of(3, 2, 1)),
    "asymmetric": ((2, 2, 9, 35), Window.of((3, 4), 1, ((2, 0), (1, 3)))),
    "stride above window": ((2, 2, 17, 20), Window.of((2, 1), 3)),
    "stride above window, rounded up": ((2, 5, 9, 9), Window.of(1, 4, ceil=True)),
    "overhanging": ((2, 18, 11, 20), Window.of(3, (4, 2), 1, ceil=True)),
    "whole image": ((5, 40, 7, 7), Window.of(7)),
    "large window": ((2, 2, 20, 20), Window.of((16, 17), 2)),
    "one dimension": ((20, 5, 31), Window.of(3, 2, 1, rank=1)),
}


@LAYOUTS
@DTYPES
@pytest.mark.parametrize("name", POOLS)
def test_pools(isa: str, dtype: str, layout: Layout, name: str) -> None:
    check_pool(layout, dtype, *POOLS[name])


@settings(max_examples=30)
@given(
    batch=st.sampled_from([1, 15, 16, 17, 33]),
    channels=st.integers(1, 20),
    image=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(*[st.integers(0, 3)] * 4),
    ceil=st.booleans(),
    layout=st.sampled_from([BATCH_LANES, CHANNELS_LAST]),
    dtype=st.sampled_from(["float32", "float64"]),
    isa=st.sampled_from(native().available_isas()),
)
def test_any_pool(batch, channels, image, size, stride, padding, ceil, layout, dtype, isa) -> None:  # noqa: ANN001
    before = native().isa()
    extents = tuple(max(n, k) for n, k in zip(image, size, strict=True))
    pads = [
        (min(a, k - 1), min(b, k - 1))
        for a, b, k in zip(padding[::2], padding[1::2], size, strict=True)
    ]
    try:
        native().set_isa(isa)
        check_pool(
            layout, dtype, (batch, channels, *extents), Window.of(size, stride, pads, ceil=ceil)
        )
    finally:
        native().set_isa(before)


def test_an_index_that_nobody_reads_is_not_written(isa: str) -> None:
    x = np.random.default_rng(6).normal(size=(16, 2, 6, 6)).astype("float32")
    op = Pool("max", Window.of(2, 2))
    found = execute(Arranged(op, BATCH_LANES, 16), [arrange(BATCH_LANES, x)], outputs=1)[0]
    np.testing.assert_array_equal(restore(BATCH_LANES, found, 16), KERNELS[Pool](op, x)[0])


# ---------------------------------------------------------------- convolution and pooling in one pass

CHAINS = {
    "lenet": ((33, 1, 12, 12), 20, window(5), Window.of(2, 2), 1),
    "an odd row is left": ((16, 4, 9, 10), 7, window((2, 3)), Window.of(2, 2), 1),
    "windows of 3 x 2, stride, groups": (
        (5, 4, 16, 14),
        6,
        window(2, 2),
        Window.of((3, 2), (3, 2)),
        2,
    ),
    "dilated, one dimension": (
        (2, 3, 30),
        9,
        Window.of(3, 1, 0, 2, rank=1),
        Window.of(4, 4, rank=1),
        1,
    ),
    "an index of four bytes": ((2, 2, 20, 20), 3, window(3), Window.of((16, 18), (16, 18)), 1),
}


@DTYPES
@pytest.mark.parametrize("name", CHAINS)
def test_a_convolution_is_pooled_where_it_is_computed(isa: str, dtype: str, name: str) -> None:
    shape, filters, win, pooling, groups = CHAINS[name]
    rng = np.random.default_rng(8)
    x = rng.integers(-2, 3, shape).astype(dtype)  # exact sums, with ties
    w = rng.integers(-2, 3, (filters, shape[1] // groups, *win.size)).astype(dtype)
    bias = rng.integers(-3, 4, filters).astype(dtype)
    layout, batch, ones = BATCH_LANES, len(x), (1,) * (len(shape) - 1)
    convolution, pool = Arranged(Convolution(win, groups), layout, batch), Pool("max", pooling)
    rectified = Fused(convolution, 2, maximum(symbol(0) + symbol(1), 0))
    y = KERNELS[Convolution](Convolution(win, groups), x, w)[0]
    biased = np.maximum(y + bias.reshape(-1, *ones[1:]), 0)
    for first, more, before in (
        (rectified, [bias.reshape(-1, *ones)], biased),
        (convolution, [], y),
    ):
        op = Chain(first, Arranged(pool, layout, batch))
        for outputs in (2, 1):
            found = execute(op, [arrange(layout, x), w, *more], outputs)
            for one, expected in zip(found, KERNELS[Pool](pool, before), strict=False):
                np.testing.assert_array_equal(restore(layout, one, batch), expected)


def test_a_chain_that_no_kernel_takes_is_decomposed(isa: str) -> None:
    rng = np.random.default_rng(9)
    x, w = rng.normal(size=(2, 3, 8, 8)), rng.normal(size=(4, 3, 3, 3))
    for convolution, pool in (
        (Convolution(window(3, 1, 1)), Pool("max", Window.of(2, 2))),
        (Convolution(window(3)), Pool("max", Window.of(3, 2))),
        (Convolution(window(3)), Pool("average", Window.of(2, 2))),
    ):
        program = Program()
        values = [
            program.input("x", BATCH_LANES.shape(x.shape), "float64"),
            program.input("w", w.shape, "float64"),
        ]
        op = Chain(Arranged(convolution, BATCH_LANES, 2), Arranged(pool, BATCH_LANES, 2))
        made = program.apply(op, *values)
        program.output("y", made[0] if isinstance(made, tuple) else made)
        executable = get_backend("cpu").compile(program)
        executable.write("x", arrange(BATCH_LANES, x))
        executable.write("w", w)
        executable.run()
        assert [s.op for s in executable.report.steps] == ["Arranged", "Arranged"]
        expected = KERNELS[Pool](pool, KERNELS[Convolution](convolution, x, w)[0])[0]
        close(restore(BATCH_LANES, executable.read("y"), 2), expected)


# ---------------------------------------------------------------- the backend, and what it expects to pay


def test_the_backend_keeps_arranged_ops_and_their_epilogue(isa: str) -> None:
    rng = np.random.default_rng(7)
    x, w = rng.normal(size=(18, 3, 8, 8)), rng.normal(size=(20, 3, 5, 5))
    program = Program()
    values = [program.input(n, a.shape, "float64") for n, a in (("x", x), ("w", w))]
    bias = program.input("b", (20, 1, 1, 1), "float64")
    inside = BATCH_LANES.arrange(program, values[0])
    y = program.apply(Arranged(Convolution(window(5)), BATCH_LANES, 18), inside, values[1])
    rectified = program.apply(
        Map((maximum(symbol(0) + symbol(1), 0),), ("float64",), y.shape), y, bias
    )
    pooled, _ = program.apply(Arranged(Pool("max", Window.of(2, 2)), BATCH_LANES, 18), rectified)
    program.output("y", BATCH_LANES.restore(program, pooled, 18))
    executable = get_backend("cpu").compile(program)
    for name, array in (("x", x), ("w", w), ("b", np.linspace(-1, 1, 20).reshape(20, 1, 1, 1))):
        executable.write(name, array)
    executable.run()
    dense = KERNELS[Convolution](Convolution(window(5)), x, w)[0]
    dense = np.maximum(dense + np.linspace(-1, 1, 20)[:, None, None], 0)
    close(executable.read("y"), KERNELS[Pool](Pool("max", Window.of(2, 2)), dense)[0])
    assert [s.op for s in executable.report.steps if s.op in ("Chain", "Fused", "Arranged")] == [
        "Chain"
    ]
    names = executable._executor.kernel_names()  # noqa: SLF001
    assert "lane_convolution_pool_f64" in names


def arranged_spec(shape: Sequence[int]) -> Spec:
    return Spec(BATCH_LANES.shape(tuple(shape)), "float32")


def test_lanes_are_cheaper_for_a_strided_layer_and_for_few_channels() -> None:
    for shape, filters, win in (
        ((64, 64, 32, 32), 128, window(3, 2, 1)),
        ((64, 1, 28, 28), 20, window(5)),
    ):
        op, w = Convolution(win), Spec((filters, shape[1], *win.size), "float32")
        dense = dense_seconds(op, Spec(shape, "float32"), w)
        lanes = seconds(Arranged(op, BATCH_LANES, 64), arranged_spec(shape), w)
        assert 0 < lanes < dense < 1
        alone = seconds(Arranged(op, BATCH_LANES, 1), arranged_spec((1, *shape[1:])), w)
        assert alone > dense_seconds(op, Spec((1, *shape[1:]), "float32"), w)


def test_what_no_kernel_takes_has_no_price() -> None:
    x, w = Spec((2, 8, 8, 3), "float32"), Spec((4, 3, 3, 3), "float32")
    back = ConvolutionKernelGradient(window(3))
    assert seconds(Arranged(back, CHANNELS_LAST, 2), x, Spec((2, 6, 6, 4), "float32")) is None
    assert seconds(Arranged(Convolution(window(3)), CHANNELS_LAST, 2), x, w) > 0
    assert seconds(Convolution(window(3)), x, w) is None
    assert dense_seconds(MatMul(), x, w) is None
    assert reorder_seconds(x) < reorder_seconds(Spec((64, 64, 32, 32), "float32"))


def test_pools_have_a_price_in_every_layout() -> None:
    x = (64, 20, 24, 24)
    op = Pool("max", Window.of(2, 2))
    y, index = (s.shape for s in op.infer(Spec(x, "float32")))
    back = PoolGradient("max", Window.of(2, 2), x[2:])
    lanes = seconds(Arranged(op, BATCH_LANES, 64), arranged_spec(x))
    assert 0 < lanes < 1e-3 and 0 < dense_seconds(op, Spec(x, "float32")) < 1e-3
    places = Spec(BATCH_LANES.shape(index), "uint8")
    assert 0 < seconds(Arranged(back, BATCH_LANES, 64), arranged_spec(y), places) < 1e-3
