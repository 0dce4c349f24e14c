"""Reductions over rows and columns, whole and in parts."""

from __future__ import annotations

import numpy as np
import pytest
from device_cases import RNG, close, needs_compiler, normal, numbers, run, stored

from cortex.gpu_compute.kernels import parts_of

pytestmark = needs_compiler
NUMPY = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min}
SHAPES = [(1, 1, 1), (3, 301, 1), (1, 1037, 1), (2, 65, 37), (5, 3, 1), (1, 300, 70), (7, 1, 3)]


def reduced(kind, x, dtype, parts=1, wide=False):
    """x [outer, count, inner] reduced along count, in two passes where there are parts."""
    outer, count, inner = x.shape
    integer = x.dtype.kind in "bui" and dtype not in ("float16", "bfloat16")
    summed = "int64" if integer else "float32" if dtype in ("float16", "bfloat16") else dtype
    result = (summed if kind in ("sum", "prod") else dtype), None
    kept = {"float16": "uint16", "bfloat16": "uint16"}.get(result[0], result[0])
    y = np.zeros((outer, parts, inner), kept)
    if inner == 1:
        run(f"{kind}_rows", y, x, outer, count, parts, dtype=dtype, wide=wide)
    else:
        run(f"{kind}_columns", y, x, outer, count, inner, parts, dtype=dtype, wide=wide)
    return y[:, 0] if parts == 1 else reduced(kind, y, result[0])


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats(shape, dtype, parts):
    x = normal(*shape, dtype=dtype)
    for kind in ("sum", "max", "min"):
        close(reduced(kind, x, dtype, parts), NUMPY[kind](x.astype(np.float64), 1), dtype)
    x = (1 + x / 100).astype(dtype)
    close(reduced("prod", x, dtype, parts), np.prod(x.astype(np.float64), 1), dtype, 100)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64"])
@pytest.mark.parametrize("shape", SHAPES[1:5], ids=str)
def test_integers_are_exact(shape, dtype):
    x = RNG.integers(0, 2 if dtype == "bool" else 200, shape).astype(dtype)
    np.testing.assert_array_equal(reduced("sum", x, dtype, 3), x.sum(1, dtype=np.int64))
    for kind in ("max", "min"):
        np.testing.assert_array_equal(reduced(kind, x, dtype, 3), NUMPY[kind](x, 1))
    x = np.where(x > 150, 2, 1).astype(dtype)
    np.testing.assert_array_equal(reduced("prod", x, dtype), np.prod(x, 1, dtype=np.int64))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_of_half_floats_are_float32(dtype):
    x = stored(normal(3, 700, 1), dtype)
    found = reduced("sum", x, dtype, 2)
    assert found.dtype == np.float32
    close(found, numbers(x, dtype).astype(np.float64).sum(1))


def test_long_sums_lose_nothing():
    """A team of one adds a million numbers as precisely as a thousand threads would."""
    x = (1 + RNG.random((1, 1 << 20, 1))).astype(np.float32)
    np.testing.assert_allclose(
        reduced("sum", x, "float32"), x.astype(np.float64).sum(1), rtol=1.2e-7
    )


def test_infinities_and_nans():
    x = np.array([[1, np.inf, 2], [1, -np.inf, np.inf], [1, np.nan, 2]], np.float32)[:, :, None]
    np.testing.assert_array_equal(reduced("sum", x, "float32").ravel(), [np.inf, np.nan, np.nan])
    np.testing.assert_array_equal(reduced("max", x, "float32").ravel(), [np.inf, np.inf, np.nan])
    np.testing.assert_array_equal(reduced("min", x, "float32").ravel(), [1, -np.inf, np.nan])
    empty = np.zeros((2, 0, 1), np.float32)
    assert reduced("sum", empty, "float32").ravel().tolist() == [0, 0]
    assert reduced("prod", empty, "float32").ravel().tolist() == [1, 1]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8"])
def test_argmax_is_the_first_of_equals(shape, dtype):
    x = RNG.integers(0, 5, shape).astype(dtype)
    if dtype == "float32" and shape[1] > 100:
        x[0, 57:59] = np.nan
    y = np.zeros((shape[0], shape[2]), np.int32)
    sizes = shape[:2] if shape[2] == 1 else shape
    run("argmax_rows" if shape[2] == 1 else "argmax_columns", y, x, *sizes, dtype=dtype)
    np.testing.assert_array_equal(y, np.argmax(x, 1))


def test_wide_indices():
    x = normal(3, 301, 5)
    close(reduced("sum", x, "float32", 2, wide=True), x.astype(np.float64).sum(1))


def test_parts_depend_on_sizes_alone():
    assert parts_of(1 << 20, 1) == 256
    assert parts_of(1 << 20, 10_000) == 1
    assert parts_of(1000, 1) == 1
    assert parts_of(100_352, 64) == 9
    assert parts_of(100_352, 64, columns=True) == 256  # two tiles of 32 columns
    assert parts_of(64, 10, columns=True) == 1
