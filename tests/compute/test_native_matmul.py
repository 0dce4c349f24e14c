"""Matrix products of the compiled engine against NumPy in float64, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.compute import Program, get_backend
from cortex.compute import math as m
from cortex.compute.cpu.providers.contraction import epilogue
from cortex.compute.expression import symbol
from cortex.compute.ops import MatMul

native = pytest.importorskip(
    "cortex.compute._native",
    reason="the compiled engine is not built: sh scripts/build_native.sh",
    exc_type=ImportError,
)
SUFFIX = {np.dtype(np.float32): "_f32", np.dtype(np.float64): "_f64"}
TOLERANCE = {np.dtype(np.float32): 3e-6, np.dtype(np.float64): 1e-14}
NONE, RELU, LEAKY = 0, 1, 2
NO_BIAS, COLUMNS, ROWS = 0, 1, 2
ADD, GATE, MASK = 1, 2, 3
GUARD = 64


@pytest.fixture(autouse=True)
def restore():
    isa, threads = native.isa(), native.get_num_threads()
    yield
    native.set_isa(isa)
    native.set_num_threads(threads)


def guarded(shape, dtype, value=np.nan):
    """An array between two margins of 7.5, and the check that they are still there."""
    size = int(np.prod(shape))
    memory = np.full(size + 2 * GUARD, 7.5, dtype)
    memory[GUARD : GUARD + size] = np.broadcast_to(value, shape).ravel()

    def check():
        assert (memory[:GUARD] == 7.5).all() and (memory[GUARD + size :] == 7.5).all()

    return memory[GUARD : GUARD + size].reshape(shape), check


def product(
    a,
    b,
    c,
    *,
    ta=0,
    tb=0,
    bias=None,
    bias_kind=0,
    activation=NONE,
    slope=0.0,
    accumulate=0,
    dense=None,
    use=0,
    factor=0.0,
    grain=1,
):
    """c[batch] = gate(activation(op(a) op(b) + bias + dense (+ c))); a or b without batch is shared by all."""
    batch, rows, columns = c.shape
    depth = a.shape[-2] if ta else a.shape[-1]
    integers = [
        batch, rows, columns, depth, ta, tb, a.shape[-1], b.shape[-1], columns,
        *(0 if x.ndim == 2 else x[0].size for x in (a, b, c)), bias_kind, activation, accumulate,
        use, columns, rows * columns, 0,
    ]  # fmt: skip
    name, kind = "matmul", SUFFIX[c.dtype]
    operands = [c, a, b, *(x for x in (bias, dense) if x is not None)]
    units, _, size = native.plan(f"{name}_pack{kind}", integers)
    if size:
        integers[-1] = 1
        packed, untouched = guarded((size,), c.dtype)
        operands.append(packed)
        run(f"{name}_pack{kind}", [packed, a, b], integers, [], units, grain, 0)
        untouched()
    units, scratch, parts = native.plan(name + kind, integers)
    assert parts == 1
    run(name + kind, operands, integers, [slope, factor], units, grain, scratch)
    return units, size


def run(name, operands, integers, reals, units, grain, scratch):
    buffers = [x.ctypes.data for x in operands]
    native.run_kernel(name, buffers, integers, reals, units, grain, scratch)


def activated(x, kind, slope):
    return (
        np.maximum(x, 0) if kind == RELU else np.where(x < 0, slope * x, x) if kind == LEAKY else x
    )


def check(rng, dtype, batch, rows, columns, depth, ta=0, tb=0, shared=(), bias_kind=0, **options):
    dtype = np.dtype(dtype)
    a = rng.standard_normal((batch, depth, rows) if ta else (batch, rows, depth)).astype(dtype)
    b = rng.standard_normal((batch, columns, depth) if tb else (batch, depth, columns)).astype(
        dtype
    )
    a, b = (x[0] if name in shared else x for name, x in (("a", a), ("b", b)))
    bias = None
    exact_a, exact_b = (x.astype(np.float64) for x in (a, b))
    expected = (exact_a.swapaxes(-1, -2) if ta else exact_a) @ (
        exact_b.swapaxes(-1, -2) if tb else exact_b
    )
    expected = np.broadcast_to(expected, (batch, rows, columns)).copy()
    before = np.nan
    if options.get("accumulate"):
        before = rng.standard_normal(expected.shape).astype(dtype)
        expected += before
    if bias_kind:
        bias = rng.standard_normal(columns if bias_kind == COLUMNS else rows).astype(dtype)
        expected += bias if bias_kind == COLUMNS else bias[:, None]
    use, dense = options.get("use", 0), None
    if use:
        dense = rng.standard_normal(expected.shape).astype(dtype)
        options["dense"] = dense
    expected += dense if use == ADD else 0
    expected = activated(expected, options.get("activation"), options.get("slope", 0.0))
    if use in (GATE, MASK):
        expected *= np.where(dense > 0, 1, options["factor"] if use == GATE else 0)
    c, untouched = guarded(expected.shape, dtype, before)
    again, _ = guarded(expected.shape, dtype, before)
    native.set_num_threads(1)
    made = product(a, b, c, ta=ta, tb=tb, bias=bias, bias_kind=bias_kind, **options)
    untouched()
    scale = max(1.0, np.sqrt(depth))
    np.testing.assert_allclose(c, expected, rtol=0, atol=TOLERANCE[dtype] * 8 * scale)
    native.set_num_threads(3)
    product(a, b, again, ta=ta, tb=tb, bias=bias, bias_kind=bias_kind, grain=2, **options)
    assert (c == again).all()
    return made


# Rows, columns, depth. Threads take units together that lie below each other, in bands: 4 and 4 of 270 rows in two
# blocks of columns, 5, 5 and 2 of 1100; and down all rows, then to the next of four equal blocks of 256 columns.
# Rows of 4 KB are copied: 1024 floats, 512 doubles.
SHAPES = [
    (1, 1, 1), (1, 10, 500), (10, 1, 33), (3, 129, 7), (8, 40, 65), (9, 17, 321), (15, 33, 2),
    (29, 70, 641), (64, 10, 500), (65, 97, 130), (270, 530, 45), (530, 70, 33), (40, 120, 800),
    (10, 500, 130), (1100, 40, 300), (200, 256, 90), (47, 96, 1024), (33, 600, 512),
]  # fmt: skip


@pytest.mark.parametrize("isa", native.available_isas())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposed", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_product(isa, dtype, transposed):
    native.set_isa(isa)
    rng = np.random.default_rng(1)
    for rows, columns, depth in SHAPES:
        check(rng, dtype, 1, rows, columns, depth, *transposed)


@pytest.mark.parametrize("isa", native.available_isas())
@settings(max_examples=60)
@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 80), st.integers(0, 50)),
    transposed=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    dtype=st.sampled_from([np.float32, np.float64]),
    bias_kind=st.integers(0, 2),
    activation=st.integers(0, 2),
    accumulate=st.integers(0, 1),
    use=st.integers(0, 3),
    shared=st.sampled_from([(), ("a",), ("b",), ("a", "b")]),
)
def test_epilogue(isa, sizes, transposed, dtype, bias_kind, activation, accumulate, use, shared):
    native.set_isa(isa)
    check(
        np.random.default_rng(2), dtype, *sizes, *transposed, shared=shared, bias_kind=bias_kind,
        activation=activation, slope=0.1, accumulate=accumulate, use=use, factor=0.3,
    )  # fmt: skip


@pytest.mark.parametrize("isa", native.available_isas())
def test_epilogue_after_several_blocks_of_depth(isa):
    native.set_isa(isa)
    for bias_kind in (COLUMNS, ROWS):
        check(
            np.random.default_rng(3), np.float64, 2, 37, 51, 700, 0, 1, bias_kind=bias_kind,
            activation=RELU, accumulate=1,
        )  # fmt: skip


@pytest.mark.parametrize("isa", native.available_isas())
def test_views_with_longer_rows(isa):
    native.set_isa(isa)
    rng = np.random.default_rng(4)
    for rows, columns, depth in [(5, 7, 11), (40, 50, 60), (33, 1, 20)]:
        a, b = rng.standard_normal((rows, depth + 3)), rng.standard_normal((depth, columns + 5))
        c = np.full((rows, columns + 2), 7.5)
        integers = [1, rows, columns, depth, 0, 0, depth + 3, columns + 5, columns + 2, *[0] * 10]
        units, scratch, _ = native.plan("matmul_f64", integers)
        native.run_kernel(
            "matmul_f64", [x.ctypes.data for x in (c, a, b)], integers, [], units, 1, scratch
        )
        expected = a[:, :depth] @ b[:, :columns]
        np.testing.assert_allclose(c[:, :columns], expected, rtol=1e-12, atol=1e-12)
        assert (c[:, columns:] == 7.5).all()


def test_not_a_number_and_infinity_pass_through():
    a = np.array([[1.0, np.nan], [np.inf, 1.0], [1.0, 1.0]])
    for isa in native.available_isas():
        native.set_isa(isa)
        c = np.empty((1, 3, 2))
        product(a, np.eye(2) + 1, c, activation=RELU)
        assert np.isnan(c[0, 0]).all() and np.isposinf(c[0, 1]).all() and (c[0, 2] == 3).all()


def test_a_matrix_product_keeps_many_threads_busy():
    integers = [1, 64, 512, 784, 0, 1, 784, 784, 512, *[0] * 10]
    assert native.plan("matmul_f32", integers)[0] >= 12


def test_plan_errors():
    with pytest.raises(ValueError, match="takes 19 integers, given 3"):
        native.plan("matmul_f32", [1, 2, 3])
    with pytest.raises(ValueError, match=r"not a kernel whose work is planned: .*matmul_f32"):
        native.plan("matmull_f32", [1])


def test_what_several_blocks_read_is_packed_once():
    """x w^T of a small batch: w is read where it lies, x is transposed once."""
    rng = np.random.default_rng(5)
    units, packed = check(rng, np.float32, 1, 64, 512, 784, 0, 1)
    assert units > 1 and packed >= 64 * 784
    assert check(rng, np.float32, 1, 64, 40, 20, 0, 0)[1] == 0
    assert check(rng, np.float32, 2, 64, 512, 300, 0, 1)[1] == 0


def test_few_rows_are_few_units():
    def units(columns, depth):
        integers = [1, 1, columns, depth, 0, 1, depth, depth, columns, *[0] * 10]
        return native.plan("matmul_f32", integers)[0]

    assert units(10, 256) == units(64, 784) == 1  # no thread is woken for what takes a microsecond
    assert 2 <= units(512, 784) <= 8


@pytest.mark.parametrize("isa", native.available_isas())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_few_columns_are_inner_products(isa, dtype):
    """x w^T to a few classes: a tile of 16 columns would be half empty, and w need not be packed."""
    native.set_isa(isa)
    rng = np.random.default_rng(6)
    for rows, columns, depth in [(13, 2, 64), (64, 10, 256), (97, 12, 131), (300, 10, 700)]:
        for bias_kind, accumulate, use in [(0, 0, 0), (COLUMNS, 0, MASK), (ROWS, 1, ADD)]:
            units, packed = check(
                rng, dtype, 1, rows, columns, depth, 0, 1, bias_kind=bias_kind, activation=RELU,
                accumulate=accumulate, use=use,
            )  # fmt: skip
            assert packed == 0 and (units > 1) == (rows == 300)

    def scratch(rows, columns, depth):
        integers = [1, rows, columns, depth, 0, 1, depth, depth, columns, *[0] * 10]
        return native.plan("matmul_f32", integers)[1]

    assert scratch(64, 12, 64) == 0  # nothing to pack
    assert scratch(64, 13, 64) > 0 and scratch(64, 12, 63) > 0


BUILDS = {
    "bias and relu": lambda y, b, d: m.maximum(y + b, 0),
    "residual": lambda y, b, d: d + (y + b),
    "residual and relu": lambda y, b, d: m.maximum(y + d + b, 0),
    "relu gradient": lambda y, b, d: y * m.where(d > 0, 1, 0),
    "leaky gradient": lambda y, b, d: y * m.where(d > 0, 1, 0.25),
    "mask": lambda y, b, d: m.where(d > 0, y, 0),
}


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("shape", [(64, 300, 40), (5, 7, 3), (1, 33, 20)])
def test_elementwise_work_on_a_result_is_done_by_the_product(name, shape):
    rows, columns, depth = shape
    rng = np.random.default_rng(6)
    arrays = [
        rng.standard_normal(s)
        for s in ((rows, depth), (depth, columns), (columns,), (rows, columns))
    ]
    arrays[3][0, :3] = 0.0, np.nan, -np.inf
    p = Program()
    values = [p.input(f"i{k}", x.shape, "float64") for k, x in enumerate(arrays)]
    product = p.apply(MatMul(), *values[:2])
    p.output("y", p.map(BUILDS[name], product, *values[2:]))
    found = []
    for backend in ("cpu", "numpy"):
        executable = get_backend(backend).compile(p)
        for k, x in enumerate(arrays):
            executable.write(f"i{k}", x)
        executable.run()
        found.append(executable.read("y"))
        if backend == "cpu":
            assert [(s.op, s.provider) for s in executable.report.steps] == [("Fused", "native")]
    np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "build",
    [
        lambda y, b, d: y * d,
        lambda y, b, d: y + y + d,
        lambda y, b, d: m.maximum(y, 0) + d,
        lambda y, b, d: (y + d) * m.where(d > 0, 1, 0),
        lambda y, b, d: m.where(d > 1, y, 0),
    ],
)
def test_other_work_is_not_taken_for_an_epilogue(build):
    y, b, d = symbol(0), symbol(1), symbol(2)
    e = epilogue(build(y, b, d))
    assert e is None or e.gate in e.added


def test_infinity_times_a_gradient_of_zero_is_no_number_and_a_mask_hides_it():
    a, b, d = np.array([[np.inf]]), np.eye(1), np.array([[[-1.0]]])
    for isa in native.available_isas():
        native.set_isa(isa)
        c = np.empty((1, 1, 1))
        product(a, b, c, dense=d, use=GATE)
        assert np.isnan(c).all()
        product(a, b, c, dense=d, use=MASK)
        assert (c == 0).all()
