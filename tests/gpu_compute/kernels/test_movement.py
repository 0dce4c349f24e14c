"""Fill, copies, strided movement and transposes: the same bits as NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from device_cases import RNG, expected, needs_compiler, run

from cortex.compute.errors import BackendError
from cortex.compute.ops import Concatenate, Pad, Slice, Transpose
from cortex.gpu_compute.kernels.geometry import MAX_AXES, Move, moves_of

pytestmark = needs_compiler
RAW = {1: "raw8", 2: "raw16", 4: "raw32", 8: "raw64"}


def numbers(shape, dtype):
    return RNG.integers(0, 100, shape).astype(dtype)


def bits(value, dtype):
    return int(np.asarray(value, dtype).view(f"u{np.dtype(dtype).itemsize}"))


def moved(op, *arrays):
    """Run a movement op as the kernels do: a fill for padding, then one copy per move."""
    y = np.empty_like(expected(op, *arrays))
    raw = RAW[y.itemsize]
    y.view(f"u{y.itemsize}")[...] = 77
    if isinstance(op, Pad):
        run("fill", y, bits(op.value, y.dtype), y.size, dtype=raw)
    for move in moves_of(op, [a.shape for a in arrays], y.shape):
        x, flat = arrays[move.number].reshape(-1), y.reshape(-1)
        if move.size:
            values = flat[move.to_offset :], x[move.source_offset :], move.structure, move.size
            run("copy_strided", *values, dtype=raw)
    return y


OPS = [
    (Transpose((1, 0)), [(37, 70)]),
    (Transpose((0, 2, 3, 1)), [(3, 5, 7, 11)]),
    (Transpose((3, 1, 0, 2)), [(3, 5, 7, 11)]),
    (Transpose((4, 2, 0, 1, 3)), [(2, 3, 4, 5, 6)]),
    (Slice((1, 2), (30, 65), (2, 3)), [(37, 70)]),
    (Slice((0, 5), (9, 5)), [(9, 8)]),
    (Slice((3,), (900,), (7,)), [(901,)]),
    (Pad((1, 2), (3, 4), (0, 2), 5.0), [(9, 31)]),
    (Pad((0,), (0,), (3,)), [(300,)]),
    (Pad((1, 1), (0, 2), (), 1.0), [(0, 4)]),
    (Concatenate(0), [(3, 7), (5, 7), (0, 7)]),
    (Concatenate(1), [(3, 7), (3, 1), (3, 300)]),
    (Concatenate(2), [(2, 3, 4), (2, 3, 9)]),
]


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float64", "bool"])
@pytest.mark.parametrize(("op", "shapes"), OPS, ids=lambda v: str(v)[:40])
def test_movement_ops(op, shapes, dtype):
    arrays = [numbers(s, dtype) for s in shapes]
    np.testing.assert_array_equal(moved(op, *arrays), expected(op, *arrays))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 33, 65), (3, 32, 64), (2, 1, 100), (2, 100, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_transpose_through_squares(shape, dtype):
    x = numbers(shape, dtype)
    y = np.zeros((shape[0], shape[2], shape[1]), dtype)
    run("transpose", y, x, *shape, dtype=RAW[y.itemsize])
    np.testing.assert_array_equal(y, x.swapaxes(1, 2))


def test_transpose_of_wide_items_and_wide_indices():
    x = RNG.integers(0, 2**60, (2, 35, 33, 2)).astype(np.uint64)
    y = np.zeros((2, 33, 35, 2), np.uint64)
    run("transpose", y, x, 2, 35, 33, dtype="raw128", wide=True)
    np.testing.assert_array_equal(y, x.swapaxes(1, 2))


def test_copy_and_fill():
    x, y, z = numbers(1000, "int64"), np.zeros(1000, np.int64), np.zeros(1001, np.float32)
    run("copy", y, x, 999, dtype="raw64")
    np.testing.assert_array_equal(y, [*x[:999], 0])
    run("fill", z, bits(1.5, np.float32), 1000, dtype="raw32")
    assert z[:1000].tolist() == [1.5] * 1000 and z[1000] == 0


def test_moves_are_merged_and_recognised():
    assert moves_of(Transpose((0, 2, 3, 1)), [(3, 5, 7, 11)], (3, 7, 11, 5))[0].matrices == (
        3,
        5,
        77,
    )
    assert moves_of(Transpose((1, 0)), [(37, 70)], (70, 37))[0].matrices == (1, 37, 70)
    assert moves_of(Transpose((1, 0)), [(1, 70)], (70, 1))[0].is_copy
    assert moves_of(Concatenate(0), [(3, 7), (5, 7)], (8, 7))[1].is_copy
    assert moves_of(Slice((0, 0), (3, 5)), [(3, 7)], (3, 5))[0].matrices is None


def test_too_many_axes_are_refused():
    n = MAX_AXES + 1
    move = Move(0, (2,) * n, tuple(3**k for k in range(n)), 0, tuple(5**k for k in range(n)), 0)
    with pytest.raises(BackendError, match="a copy over 9 axes that cannot be merged; at most 8"):
        _ = move.structure
