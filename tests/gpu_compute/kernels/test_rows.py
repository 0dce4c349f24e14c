"""Gather, scatter-add, one-hot rows, counters and the checks that report the first wrong position."""

from __future__ import annotations

import numpy as np
import pytest
from device_cases import RNG, close, needs_compiler, normal, numbers, run, stored

from cortex.compute import reference
from cortex.compute.ops import Gather, ScatterAdd

pytestmark = needs_compiler
SIZES = [(1, 1, 1), (7, 300, 5), (40, 1, 3), (3, 65, 70), (5, 0, 4), (2, 1025, 33)]
KINDS = ["uint8", "int32", "int64"]


def cell():
    return np.full(1, -1, np.int64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "count", "width"), SIZES)
def test_gather(rows, count, width, kind):
    x, index, error = normal(rows, width), RNG.integers(0, rows, count).astype(kind), cell()
    y = np.full((count, width), 7, np.float32)
    run("gather", y, x, index, index.itemsize, error, rows, width, count, dtype="raw32")
    np.testing.assert_array_equal(y, reference.gather(Gather(), x, index)[0])
    assert error[0] == -1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize(("rows", "count", "width"), SIZES)
def test_scatter_add_is_in_order(rows, count, width, dtype, kind):
    """In the order of the index, so the same bits as the definition."""
    index, error = RNG.integers(0, rows, count).astype(kind), cell()
    updates = (100 * normal(count, width)).astype(dtype)
    y = np.full((rows, width), 7, dtype)
    run("scatter_add", y, index, index.itemsize, updates, error, rows, width, count, dtype=dtype)
    np.testing.assert_array_equal(y, reference.scatter_add(ScatterAdd(rows), index, updates)[0])
    assert error[0] == -1


def test_half_floats_are_added_in_float():
    updates, index = stored(normal(50, 3), "bfloat16"), RNG.integers(0, 4, 50).astype(np.int32)
    y, error = np.zeros((4, 3), np.uint16), cell()
    run("scatter_add", y, index, 4, updates, error, 4, 3, 50, dtype="bfloat16")
    wanted = reference.scatter_add(ScatterAdd(4), index, numbers(updates, "bfloat16"))[0]
    np.testing.assert_array_equal(y, stored(wanted, "bfloat16"))


def test_the_first_wrong_position_is_reported_and_skipped():
    index = np.array([0, 2, -1, 5, 1], np.int32)
    x, y, error = normal(3, 2), np.full((5, 2), 7, np.float32), cell()
    run("gather", y, x, index, 4, error, 3, 2, 5, dtype="raw32")
    assert error[0] == 2
    np.testing.assert_array_equal(y, [x[0], x[2], [0, 0], [0, 0], x[1]])
    z, error = np.zeros((3, 2), np.float32), cell()
    run("scatter_add", z, index, 4, y, error, 3, 2, 5)
    assert error[0] == 2
    np.testing.assert_array_equal(z, [y[0], y[4], y[1]])
    error = np.zeros(1, np.int64)  # an earlier one stays
    run("check_indices", index, 4, error, 0, 3, 5, dtype="raw32")
    assert error[0] == 0


def test_labels_and_numbers_are_checked():
    error = cell()
    run("check_indices", np.array([-1, 0, 9, 10, 11], np.int64), 8, error, -1, 10, 5, dtype="raw8")
    assert error[0] == 3
    x = normal(1000)
    x[[400, 700]], x[300] = np.nan, np.inf
    for infinities, wanted in ((0, 400), (1, 300)):
        error = cell()
        run("check_numbers", x, error, infinities, x.size)
        assert error[0] == wanted
    error = cell()
    run("check_numbers", stored(x, "float16"), error, 1, x.size, dtype="float16")
    assert error[0] == 300
    error = cell()
    run("check_numbers", normal(99), error, 1, 99)
    assert error[0] == -1


def test_one_hot_and_tick():
    labels, y = np.array([2, -1, 0, 3], np.int32), np.full((4, 3), 7, np.float32)
    run("one_hot", y, labels, 4, 4, 3)
    np.testing.assert_array_equal(y, [[0, 0, 1], [0, 0, 0], [1, 0, 0], [0, 0, 0]])
    steps = np.array([5, 9], np.int64)
    run("tick", steps, 3, 1)
    assert steps.tolist() == [8, 9]


def test_wide_rows():
    x, index, error = normal(9, 8), np.array([8, 0, 3], np.int64), cell()
    y = np.zeros((3, 8), np.float32)
    run("gather", y, x, index, 8, error, 9, 2, 3, dtype="raw128", wide=True)
    np.testing.assert_array_equal(y, x[index])
    z = np.zeros((9, 8), np.float32)
    run("scatter_add", z, index, 8, y, error, 9, 8, 3, wide=True)
    close(z[index], y)
