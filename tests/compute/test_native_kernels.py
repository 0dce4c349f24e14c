"""Every kernel for moving, reducing, gathering and random numbers against NumPy, in every ISA.

Each call runs on 1, 2, 3 and 5 threads with different grains and must give the same bits.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.compute import philox

native = pytest.importorskip(
    "cortex.compute._native",
    reason="the compiled engine is not built: sh scripts/build_native.sh",
    exc_type=ImportError,
)

SHORT = {
    "bool": "bool",
    "uint8": "u8",
    "int32": "i32",
    "int64": "i64",
    "float32": "f32",
    "float64": "f64",
}
NUMBERS = ["float32", "float64", "int32", "int64", "uint8"]


@pytest.fixture(autouse=True, params=native.available_isas(), scope="module")
def isa(request):
    before, threads = native.isa(), native.get_num_threads()
    native.set_isa(request.param)
    yield request.param
    native.set_isa(before)
    native.set_num_threads(threads)


def call(name, out, inputs, integers, units, accumulate=False):
    """Run a kernel on several numbers of threads from the same start; returns `out`."""
    initial, first = out.copy(), None
    for threads, grain in [(1, max(1, units)), (1, 1), (2, 1), (3, 2), (5, 3)]:
        native.set_num_threads(threads)
        out[...] = initial
        addresses = [a.ctypes.data for a in (out, *inputs)]
        native.run_kernel(name, addresses, integers, [], units, grain)
        if first is None:
            first = out.tobytes()
        assert out.tobytes() == first, f"{name} on {threads} threads differs"
    return out


def random_array(rng, shape, dtype):
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)


def strides(array):
    return [s // array.itemsize for s in array.strides]


def copy(out, x):
    integers = [out.ndim, *out.shape, *strides(out), *strides(x)]
    units = out.shape[0] if out.ndim else 1
    return call(f"copy_b{out.itemsize}", out, [x], integers, units)


# -- copies -------------------------------------------------------------------------------------

SIZES = ["uint8", "uint16", "float32", "float64"]


@settings(max_examples=60)
@given(st.data())
def test_copy_of_any_view(data):
    dtype = data.draw(st.sampled_from(SIZES))
    rank = data.draw(st.integers(0, 5))
    shape = data.draw(st.tuples(*[st.integers(0 if rank < 3 else 1, 9)] * rank))
    x = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    axes = data.draw(st.permutations(range(rank)))
    cuts = tuple(
        slice(data.draw(st.integers(0, n // 2)), None, data.draw(st.sampled_from([1, 2, 3])))
        for n in (shape[a] for a in axes)
    )
    flips = tuple(slice(None, None, data.draw(st.sampled_from([1, -1]))) for _ in range(rank))
    view = np.asarray(x.transpose(axes)[cuts][flips])
    out = np.zeros(view.shape, dtype)
    assert np.array_equal(copy(out, view), view)
    target = np.zeros([2 * n + 1 for n in view.shape], dtype)
    expected = target.copy()
    inside = (*(slice(1, 2 * n + 1, 2) for n in view.shape), ...)  # an interior Pad
    expected[inside] = view
    copy(target[inside], view)
    assert np.array_equal(target, expected)


@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 70), (16, 16), (64, 64), (65, 33), (127, 130), (3, 200), (200, 3)]
)
def test_transpose(shape, dtype):
    x = np.random.default_rng(1).integers(0, 250, shape).astype(dtype)
    assert np.array_equal(copy(np.zeros(shape[::-1], dtype), x.T), x.T)


@pytest.mark.parametrize("dtype", SIZES)
def test_transposes_of_more_axes_and_broadcasts(dtype):
    x = np.random.default_rng(2).integers(0, 250, (3, 17, 5, 19)).astype(dtype)
    for axes in [(0, 2, 3, 1), (0, 3, 1, 2), (3, 2, 1, 0), (1, 0, 2, 3), (2, 3, 0, 1)]:
        view = x.transpose(axes)
        assert np.array_equal(copy(np.zeros(view.shape, dtype), view), view)
    for shape in [(4, 3, 17, 5, 19), (3, 17, 5, 19)]:
        view = np.broadcast_to(x[:, :1], shape)
        assert np.array_equal(copy(np.zeros(shape, dtype), view), view)
    eight = x.reshape(3, 17, 1, 5, 1, 19, 1, 1)
    view = eight.transpose(5, 2, 1, 7, 0, 6, 3, 4)
    assert np.array_equal(copy(np.zeros(view.shape, dtype), view), view)


@pytest.mark.parametrize("dtype", SIZES)
def test_fill(dtype):
    for value in [0, 3, 200] if np.dtype(dtype).kind == "u" else [0.0, -1.5, math.pi]:
        out = np.ones((5, 7, 9), dtype)
        inside = out[1:4, ::2, 3:]
        bits = int(np.array(value, dtype).view(f"i{out.itemsize}"))
        expected = out.copy()
        expected[1:4, ::2, 3:] = value
        integers = [bits, 3, *inside.shape, *strides(inside)]
        native.run_kernel(f"fill_b{out.itemsize}", [inside.ctypes.data], integers, [], 3)
        assert np.array_equal(out, expected)


@pytest.mark.parametrize("source", SHORT)
@pytest.mark.parametrize("target", SHORT)
@pytest.mark.parametrize("size", [0, 1, 97])
def test_cast(source, target, size):
    x = random_array(np.random.default_rng(3), size, source)
    if np.dtype(target) == np.uint8:
        x = np.abs(x)
    out = np.zeros(size, target)
    call(f"cast_{SHORT[source]}_{SHORT[target]}", out, [x], [], size)
    assert np.array_equal(out, x.astype(target))


# -- reductions ---------------------------------------------------------------------------------

REDUCTIONS = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min}


def reduce(kind, x, block=None, columns=None):
    """Reduce the middle axis of x [outer, reduce, inner] in parts of `block`."""
    outer, rows, inner = x.shape
    block = block or max(1, rows)
    columns = columns or max(32, inner)
    parts = max(1, -(-rows // block))
    wide = kind in ("sum", "prod") and x.dtype.kind != "f"
    out = np.zeros((outer, parts, inner), "int64" if wide else x.dtype)
    name = f"{kind}_{SHORT[str(x.dtype)]}"
    units = outer * parts * -(-inner // columns)
    return call(name, out, [x], [rows, inner, block, columns], units)


def expected_reduction(kind, x):
    if x.dtype.kind == "f":
        return REDUCTIONS[kind](x.astype("float64"), axis=1, keepdims=True).astype(x.dtype)
    dtype = {"dtype": "int64"} if kind in ("sum", "prod") else {}
    return REDUCTIONS[kind](x, axis=1, keepdims=True, **dtype)


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("kind", REDUCTIONS)
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1), (3, 10, 1), (2, 33, 1), (2, 1500, 1), (1, 7, 3), (2, 100, 5), (3, 1, 40)]
    + [(1, 70, 64), (2, 33, 65), (1, 40, 700), (2, 5, 33)],
)
def test_reduce(kind, dtype, shape):
    x = random_array(np.random.default_rng(4), shape, dtype)
    if kind == "prod":
        x = (x * 0.1 + 1).astype(dtype) if x.dtype.kind == "f" else (x % 3).astype(dtype)
    expected = expected_reduction(kind, x)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(reduce(kind, x), expected, rtol=tolerance, atol=tolerance)
    if shape[2] > 32:
        assert np.array_equal(reduce(kind, x, columns=33), reduce(kind, x))


@settings(max_examples=40)
@given(
    st.sampled_from(NUMBERS),
    st.sampled_from(["sum", "max"]),
    st.tuples(st.integers(0, 3), st.integers(1, 150), st.integers(1, 80)),
    st.integers(1, 60),
)
def test_reduction_in_parts(dtype, kind, shape, block):
    x = random_array(np.random.default_rng(5), shape, dtype)
    partial = reduce(kind, x, block=block)
    assert partial.shape[1] == -(-shape[1] // block)
    for part in range(partial.shape[1]):
        one = expected_reduction(kind, x[:, part * block : (part + 1) * block])
        np.testing.assert_allclose(partial[:, part : part + 1], one, rtol=1e-5, atol=1e-5)
    both = reduce(kind, partial)
    np.testing.assert_allclose(both, expected_reduction(kind, x), rtol=1e-5, atol=1e-5)


def test_empty_and_boolean_reductions():
    empty = np.zeros((2, 0, 3))
    assert np.array_equal(reduce("sum", empty), np.zeros((2, 1, 3)))
    assert np.array_equal(reduce("prod", empty), np.ones((2, 1, 3)))
    flags = np.array([[[0], [1], [0]], [[1], [1], [1]], [[0], [0], [0]]], "uint8")
    assert reduce("max", flags).ravel().tolist() == [1, 1, 0]
    assert reduce("min", flags).ravel().tolist() == [0, 1, 0]
    assert reduce("sum", flags).ravel().tolist() == [1, 3, 0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("inner", [1, 3, 70])
def test_not_a_number_wins(dtype, inner):
    x = random_array(np.random.default_rng(6), (2, 150, inner), dtype)
    for row in [0, 77, 149]:
        bad = x.copy()
        bad[1, row, inner - 1] = np.nan
        for kind in ["max", "min"]:
            result = reduce(kind, bad)
            assert np.array_equal(result, REDUCTIONS[kind](bad, axis=1, keepdims=True), True)
            assert np.isnan(result).sum() == 1


@pytest.mark.parametrize("shape", [(1, 1_000_000, 1), (1, 1_000_000, 3), (1, 100_000, 40)])
def test_long_float32_sums_stay_accurate(shape):
    x = np.random.default_rng(7).random(shape, np.float32)
    exact = x.astype("float64").sum(1, keepdims=True)
    native.set_num_threads(2)
    for block in [shape[1], 4096]:
        parts = -(-shape[1] // block)
        out = np.zeros((1, parts, shape[2]), "float32")
        total = np.zeros((1, 1, shape[2]), "float32")
        executor = native.Executor()
        a, b, c = (array.ctypes.data for array in (x, out, total))
        executor.add("sum_f32", [b, a], [shape[1], shape[2], block, 64], [], parts)
        executor.add("sum_f32", [c, b], [parts, shape[2], parts, 64], [], 1)
        executor.run()
        assert np.max(np.abs(total / exact - 1)) < 3e-7


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 10, 1), (3, 1000, 1), (2, 9, 4), (3, 50, 70)])
def test_argmax_takes_the_first_and_not_a_number(dtype, shape):
    rng = np.random.default_rng(8)
    x = rng.integers(0, 6, shape).astype(dtype)  # many ties
    arrays = [x, random_array(rng, shape, dtype)]
    if x.dtype.kind == "f" and shape[1] > 3:
        arrays.append(x.copy())
        arrays[-1][:, 3] = arrays[-1][:, -1] = np.nan
        arrays.append(np.full(shape, -np.inf, dtype))
    for array in arrays:
        out = np.full((shape[0], shape[2]), -1, "int32")
        call(f"argmax_{SHORT[dtype]}", out, [array], [shape[1], shape[2]], shape[0])
        assert np.array_equal(out, array.argmax(1))


# -- rows by index ------------------------------------------------------------------------------


@pytest.mark.parametrize("index", ["uint8", "int32", "int64"])
@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("width", [1, 3, 64, 100])
def test_gather_and_scatter_add(index, dtype, width):
    rng = np.random.default_rng(9)
    rows, count = 23, 57
    x = random_array(rng, (rows, width), dtype)
    indices = rng.integers(0, rows, count).astype(index)
    error = np.array([-1])
    out = np.zeros((count, width), dtype)
    integers = [rows, width * out.itemsize]
    call(f"gather_{SHORT[index]}", out, [x, indices, error], integers, count)
    assert np.array_equal(out, x[indices]) and error[0] == -1
    if dtype == "uint8":
        return
    expected = x.copy()
    np.add.at(expected, indices, out)  # in the order of the index, too
    name = f"scatter_add_{SHORT[dtype]}_{SHORT[index]}"
    call(name, x, [out, indices, error], [rows, width, count], rows)
    assert np.array_equal(x, expected) and error[0] == -1


@pytest.mark.parametrize("bad", [-1, 5, 2**40])
def test_an_index_out_of_range_is_reported_at_its_first_position(bad):
    x, error = np.ones((5, 3)), np.array([-1])
    indices = np.array([0, 4, bad, 2, bad, 1])
    out = np.ones((6, 3))
    native.set_num_threads(3)
    addresses = [a.ctypes.data for a in (out, x, indices, error)]
    native.run_kernel("gather_i64", addresses, [5, 24], [], 6)
    assert error[0] == 2
    assert np.array_equal(out.sum(1), [3, 3, 0, 3, 0, 3])
    addresses[2] = indices[1:].ctypes.data
    native.run_kernel("gather_i64", addresses, [5, 24], [], 5)
    assert error[0] == 1  # an earlier position replaces a later one
    addresses[2] = indices.ctypes.data
    native.run_kernel("gather_i64", addresses, [5, 24], [], 6)
    assert error[0] == 1  # and stays until it is read and reset
    error[0], out[...] = -1, 1
    sums = np.zeros((5, 3))
    addresses = [a.ctypes.data for a in (sums, out, indices, error)]
    native.run_kernel("scatter_add_f64_i64", addresses, [5, 3, 6], [], 5)
    assert error[0] == 2
    assert np.array_equal(sums[:, 0], [1, 1, 1, 0, 1])


# -- random numbers -----------------------------------------------------------------------------


def random(kind, count, dtype, seed=0, step=0, op=0, first=0):
    out = np.zeros(count, dtype)
    inputs = [np.array([seed], np.uint64), np.array([step], np.int64)]
    return call(f"random_{kind}", out, inputs, [op, count, first], -(-count // 256))


def test_philox_gives_the_published_numbers():
    """Known answers of Random123, tests/kat_vectors, philox4x32 with 10 rounds."""
    ones = 0xFFFFFFFF
    signed = (0x85A308D3 << 32 | 0x243F6A88) - (1 << 64)
    cases = [
        ((0, 0, 0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (((ones << 32) + ones, -1, ones, -1), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x299F31D0 << 32 | 0xA4093822, 0x13198A2E, 0x03707344, signed),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ]
    for (seed, step, op, first), words in cases:
        bits = random("bits_u32", 4, "uint32", seed, step, op, first)
        assert " ".join(f"{word:08x}" for word in bits) == words


@pytest.mark.parametrize("count", [0, 1, 4, 7, 255, 256, 257, 1003])
def test_random_numbers_equal_the_definition(count):
    seed, step, op = 0x123456789ABCDEF0, 17, 5
    bits = random("bits_u32", count, "uint32", seed, step, op)
    assert np.array_equal(bits, philox.words(count, seed, step, op))
    for dtype in ["float32", "float64"]:
        uniform = random(f"uniform_{SHORT[dtype]}", count, dtype, seed, step, op)
        assert np.array_equal(uniform, philox.uniform(count, seed, step, op, dtype))
        normal = random(f"normal_{SHORT[dtype]}", count, dtype, seed, step, op)
        expected = philox.normal(count, seed, step, op, "float64")
        tolerance = 1e-6 if dtype == "float32" else 4e-15
        np.testing.assert_allclose(normal, expected, rtol=0, atol=tolerance)


def test_blocks_beyond_32_bits_and_shards():
    whole = random("bits_u32", 4000, "uint32", 1, 2, 3, first=2**32 - 500)
    parts = [
        random("bits_u32", n, "uint32", 1, 2, 3, first=2**32 - 500 + at // 4)
        for at, n in [(0, 1600), (1600, 2400)]
    ]
    assert np.array_equal(whole, np.concatenate(parts))
    assert np.array_equal(whole[2000:2004], random("bits_u32", 4, "uint32", 1, 2, 3, first=2**32))


def test_normal_numbers_keep_small_and_large_radii():
    """The extremes of the radius, found in the definition: words next to 0 and next to 2^32."""
    count = 1 << 20
    expected = philox.normal(count, 3, 1, 0, "float64")
    result = random("normal_f32", count, "float32", 3, 1, 0)
    assert np.abs(result - expected).max() < 1e-6
    assert np.abs(expected).max() > 4.5
    assert abs(result.mean()) < 5e-3 and abs(result.std() - 1) < 5e-3


def test_every_instruction_set_gives_the_same_random_bits(isa):
    here = random("normal_f64", 1000, "float64", 9)
    native.set_isa("base")
    assert np.array_equal(here, random("normal_f64", 1000, "float64", 9))
    native.set_isa(isa)
