"""Pooling in the compiled engine against loops over windows and cells in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

native = pytest.importorskip(
    "cortex.compute._native",
    reason="the compiled engine is not built: sh scripts/build_native.sh",
    exc_type=ImportError,
)
SUFFIX = {np.float32: "_f32", np.float64: "_f64"}
GUARD = 64


@pytest.fixture(autouse=True)
def restore():
    isa, threads = native.isa(), native.get_num_threads()
    yield
    native.set_isa(isa)
    native.set_num_threads(threads)


@dataclass(frozen=True)
class Case:
    """Windows over planes; `ceil` rounds the number of windows up."""

    planes: int
    image: tuple[int, int]
    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, bottom, left, right
    ceil: bool = False

    @property
    def out(self) -> tuple[int, int]:
        pads = (sum(self.padding[:2]), sum(self.padding[2:]))
        spans = [n + p - w for n, p, w in zip(self.image, pads, self.window, strict=True)]
        return tuple(
            (span + (s - 1 if self.ceil else 0)) // s + 1
            for span, s in zip(spans, self.stride, strict=True)
        )

    def integers(self, flag: int) -> list[int]:
        return [
            self.planes, *self.image, *self.window, *self.stride, *self.padding, *self.out, flag
        ]  # fmt: skip

    def windows(self):
        """Of each output: its position, the first row and column of its window."""
        for r in range(self.out[0]):
            for c in range(self.out[1]):
                yield (
                    r, c, r * self.stride[0] - self.padding[0], c * self.stride[1] - self.padding[2]
                )  # fmt: skip

    def real(self, first_row, first_column):
        """Number of each cell of a window inside the image, its row and column."""
        for i in range(self.window[0]):
            for j in range(self.window[1]):
                row, column = first_row + i, first_column + j
                if 0 <= row < self.image[0] and 0 <= column < self.image[1]:
                    yield i * self.window[1] + j, row, column

    def counted(self, first_row, first_column, count_padding) -> int:
        if not count_padding:
            return max(1, len(list(self.real(first_row, first_column))))
        top, bottom, left, right = self.padding
        rows = min(first_row + self.window[0], self.image[0] + bottom) - max(first_row, -top)
        columns = min(first_column + self.window[1], self.image[1] + right) - max(
            first_column, -left
        )
        return max(1, max(0, rows) * max(0, columns))


def run(name, dtype, outputs, inputs, case, flag):
    """Fill `outputs`, by one thread and by three; margins around them must stay."""
    integers = case.integers(flag)
    units, scratch, _ = native.plan(name + SUFFIX[dtype], integers)
    results = []
    for threads in (1, 3):
        native.set_num_threads(threads)
        memories = [np.full(out.size + 2 * GUARD, 77, out.dtype) for out in outputs]
        views = [
            memory[GUARD:-GUARD].reshape(out.shape)
            for memory, out in zip(memories, outputs, strict=True)
        ]
        buffers = [v.ctypes.data for v in (*views, *inputs)]
        native.run_kernel(name + SUFFIX[dtype], buffers, integers, [], units, threads, scratch)
        assert all((m[:GUARD] == 77).all() and (m[-GUARD:] == 77).all() for m in memories)
        results.append(views)
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    return results[0]


def maximum(case, x):
    y = np.full((case.planes, *case.out), -np.inf)
    index = np.full(y.shape, -1)
    for r, c, row, column in case.windows():
        for number, i, j in case.real(row, column):
            here, best = x[:, i, j], y[:, r, c]
            first_nan = np.isnan(here) & ~np.isnan(best)
            take = (here > best) | (index[:, r, c] < 0) | first_nan
            y[take, r, c], index[take, r, c] = here[take], number
    return y, index


def check_maximum(case, dtype, x):
    dtype_index = np.uint8 if np.prod(case.window) <= 255 else np.int32
    x = x.astype(dtype)
    expected, places = maximum(case, x)
    y, index = run(
        "max_pool", dtype, [np.empty(expected.shape, dtype), np.empty(expected.shape, dtype_index)],
        [x], case, dtype_index().itemsize,
    )  # fmt: skip
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(index, places.astype(dtype_index))
    alone = run("max_pool", dtype, [np.empty_like(y)], [x], case, 0)[0]
    np.testing.assert_array_equal(alone, expected)
    dy = np.random.default_rng(6).integers(-8, 9, y.shape).astype(dtype)  # sums are exact
    dx = np.zeros(x.shape)
    for r, c, row, column in case.windows():
        for number, i, j in case.real(row, column):
            dx[:, i, j] += np.where(places[:, r, c] == number, dy[:, r, c], 0)
    inputs = [dy, index.copy()]
    actual = run(
        "max_pool_gradient", dtype, [np.empty_like(x)], inputs, case, dtype_index().itemsize
    )[0]
    np.testing.assert_array_equal(actual, dx)


def check_average(case, dtype, x, count_padding):
    x = x.astype(dtype)
    y, dx = np.zeros((case.planes, *case.out)), np.zeros(x.shape)
    dy = np.random.default_rng(7).standard_normal(y.shape).astype(dtype)
    for r, c, row, column in case.windows():
        count = case.counted(row, column, count_padding)
        for _, i, j in case.real(row, column):
            y[:, r, c] += x[:, i, j] / count
            dx[:, i, j] += dy[:, r, c] / count
    tolerance = 2e-5 if dtype == np.float32 else 1e-13
    actual = run("average_pool", dtype, [np.empty(y.shape, dtype)], [x], case, count_padding)[0]
    np.testing.assert_allclose(actual, y, rtol=tolerance, atol=tolerance)
    actual = run("average_pool_gradient", dtype, [np.empty_like(x)], [dy], case, count_padding)[0]
    np.testing.assert_allclose(actual, dx, rtol=tolerance, atol=tolerance)


CASES = {
    "lenet": Case(6, (24, 24), (2, 2), (2, 2)),
    "halves of a wide image": Case(2, (4, 70), (2, 2), (2, 2)),
    "halves of an odd image": Case(3, (7, 9), (2, 2), (2, 2)),
    "halves of an odd image, rounded up": Case(3, (7, 9), (2, 2), (2, 2), ceil=True),
    "overlapping, padded": Case(3, (13, 12), (3, 3), (2, 2), (1, 1, 1, 1)),
    "asymmetric": Case(2, (9, 35), (3, 4), (1, 1), (2, 0, 1, 3)),
    "stride above window": Case(2, (17, 40), (2, 1), (3, 3)),
    "stride above window, rounded up": Case(2, (9, 9), (1, 1), (4, 4), ceil=True),
    "overhanging": Case(2, (11, 20), (3, 3), (4, 2), (1, 1, 1, 1), ceil=True),
    "whole image": Case(5, (7, 7), (7, 7), (1, 1)),
    "wide whole image": Case(2, (3, 37), (3, 37), (3, 37)),
    "large window": Case(2, (20, 40), (16, 17), (2, 2)),
    "one pixel": Case(1, (1, 1), (1, 1), (1, 1)),
    "padding all around a small image": Case(2, (2, 1), (3, 3), (2, 2), (2, 2, 2, 2)),
}


@pytest.mark.parametrize("isa", native.available_isas())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_pools(isa, dtype, name):
    native.set_isa(isa)
    case, rng = CASES[name], np.random.default_rng(8)
    shape = (case.planes, *case.image)
    check_maximum(case, dtype, rng.integers(-3, 4, shape).astype(float))  # with ties
    special = rng.integers(-3, 4, shape).astype(float)
    special[rng.random(shape) < 0.1] = np.nan
    special[rng.random(shape) < 0.4] = -np.inf
    check_maximum(case, dtype, special)
    for count_padding in (0, 1):
        check_average(case, dtype, rng.standard_normal(shape), count_padding)


@pytest.mark.parametrize("isa", native.available_isas())
@settings(max_examples=40)
@given(
    image=st.tuples(st.integers(1, 10), st.integers(1, 24)),
    window=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(*[st.integers(0, 2)] * 4),
    ceil=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_any_geometry(isa, image, window, stride, padding, ceil, dtype):
    native.set_isa(isa)
    image = tuple(max(n, w) for n, w in zip(image, window, strict=True))
    case = Case(2, image, window, stride, padding, ceil)
    rng = np.random.default_rng(9)
    check_maximum(case, dtype, rng.integers(-2, 3, (2, *image)).astype(float))
    check_average(case, dtype, rng.standard_normal((2, *image)), int(ceil))


def test_plan_is_one_unit_for_each_plane():
    assert native.plan("max_pool_f32", CASES["lenet"].integers(1)) == (6, 0, 1)
