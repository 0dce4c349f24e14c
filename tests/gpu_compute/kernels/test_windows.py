"""Pooling and direct convolution with their gradients, in both layouts, against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from device_cases import RNG, close, needs_compiler, normal, numbers, run, stored

from cortex.compute import reference
from cortex.compute.errors import BackendError
from cortex.compute.ops import (
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
    Pool,
    PoolGradient,
    Window,
)
from cortex.compute.ops.pool import index_dtype
from cortex.gpu_compute.kernels.geometry import convolving, pooling

pytestmark = needs_compiler
LAYOUTS = pytest.mark.parametrize("last", [False, True], ids=["channels-first", "channels-last"])


def laid(x, last):
    """The array as it lies in memory."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1) if last else x)


def logical(x, last):
    return np.moveaxis(x, -1, 1) if last else x


WINDOWS = [  # overlapping, padded on one side, with cells left over, along one axis, larger than 255 cells
    ((2, 3, 9, 11), Window.of(2, 2)),
    ((1, 5, 13, 10), Window.of(3, 2, ((1, 1), (0, 2)))),
    ((3, 2, 7, 8), Window.of((3, 2), (1, 3), ((2, 0), (1, 1)))),
    ((2, 3, 10, 10), Window.of(3, 2, 1, ceil=True)),
    ((2, 3, 10, 13), Window.of(2, 3, 0)),
    ((2, 33, 65), Window.of(3, 2, 1, rank=1)),
    ((1, 1, 20, 20), Window.of(17, 3, 8)),
    ((300, 1, 1, 1), Window.of(1)),
]


@LAYOUTS
@pytest.mark.parametrize(("shape", "window"), WINDOWS, ids=lambda v: str(v)[:30])
def test_max_pool_and_gradient_are_exact(shape, window, last):
    op = Pool("max", window)
    x = RNG.integers(0, 6, shape).astype(np.float32)  # ties
    x[RNG.random(shape) < 0.05] = np.nan
    x[0] = -np.inf
    wanted, wanted_index = reference.pool(op, x)
    dy = normal(*wanted.shape)
    back = PoolGradient("max", window, shape[2:])
    (wanted_dx,) = reference.pool_gradient(back, dy, wanted_index)

    bytes_ = np.dtype(index_dtype(window)).itemsize
    y, index = (laid(np.zeros_like(a), last) for a in (wanted, wanted_index))
    dx, geometry = laid(np.zeros_like(x), last), pooling(window, shape, last)
    run("max_pool", y, index, bytes_, laid(x, last), geometry, y.size)
    run("max_pool_gradient", dx, laid(dy, last), index, bytes_, geometry, dx.size)
    np.testing.assert_array_equal(logical(y, last), wanted)
    np.testing.assert_array_equal(logical(index, last), wanted_index)
    np.testing.assert_array_equal(logical(dx, last), wanted_dx)


@LAYOUTS
@pytest.mark.parametrize("count_padding", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "window"), WINDOWS, ids=lambda v: str(v)[:30])
def test_average_pool_and_gradient(shape, window, dtype, count_padding, last):
    x = normal(*shape, dtype=dtype)
    (wanted,) = reference.pool(Pool("average", window, count_padding), x)
    dy = normal(*wanted.shape, dtype=dtype)
    back = PoolGradient("average", window, shape[2:], count_padding)
    (wanted_dx,) = reference.pool_gradient(back, dy)
    y, dx = laid(np.zeros_like(wanted), last), laid(np.zeros_like(x), last)
    geometry, wide = pooling(window, shape, last), dtype == "float64"
    given = {"dtype": dtype, "wide": wide}
    run("average_pool", y, laid(x, last), int(count_padding), geometry, y.size, **given)
    run("average_pool_gradient", dx, laid(dy, last), int(count_padding), geometry, dx.size, **given)
    close(logical(y, last), wanted, dtype, 2)
    np.testing.assert_array_equal(logical(dx, last), wanted_dx)


def test_pooling_of_half_floats():
    window, x = Window.of(2, 2), stored(normal(2, 3, 8, 8), "bfloat16")
    wanted, wanted_index = reference.pool(Pool("max", window), numbers(x, "bfloat16"))
    y, index = np.zeros(wanted.shape, np.uint16), np.zeros_like(wanted_index)
    run("max_pool", y, index, 1, x, pooling(window, x.shape), y.size, dtype="bfloat16")
    np.testing.assert_array_equal(numbers(y, "bfloat16"), wanted)
    np.testing.assert_array_equal(index, wanted_index)


CONVOLUTIONS = [  # x, kernels, window, groups
    ((2, 3, 9, 8), (5, 3, 3, 3), Window.of(3, 1, 1), 1),
    ((1, 4, 12, 11), (6, 2, 3, 2), Window.of((3, 2), (2, 1), ((1, 2), (0, 1)), (1, 3)), 2),
    ((3, 5, 7, 7), (5, 1, 3, 3), Window.of(3, 2, 1), 5),
    ((2, 70, 5, 5), (66, 70, 1, 1), Window.of(1), 1),
    ((1, 1, 30, 31), (1, 1, 5, 5), Window.of(5, 3, 0, 2), 1),
    ((2, 3, 37), (7, 3, 4), Window.of(4, 2, 1, 2, rank=1), 1),
    ((1, 1, 1, 1), (1, 1, 1, 1), Window.of(1), 1),
]


@LAYOUTS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("xs", "ws", "window", "groups"), CONVOLUTIONS, ids=lambda v: str(v)[:24])
def test_convolution_and_gradients(xs, ws, window, groups, dtype, last):
    x, w, bias = normal(*xs, dtype=dtype), normal(*ws, dtype=dtype), normal(ws[0], dtype=dtype)
    exact = [a.astype(np.float64) for a in (x, w, bias)]
    (y,) = reference.convolution(Convolution(window, groups), *exact[:2])
    dy = normal(*y.shape, dtype=dtype)
    (dx,) = reference.convolution_input_gradient(
        ConvolutionInputGradient(window, xs[2:], groups), dy.astype(np.float64), exact[1]
    )
    (dw,) = reference.convolution_kernel_gradient(
        ConvolutionKernelGradient(window, groups), exact[0], dy.astype(np.float64)
    )
    g, parts = convolving(window, xs, ws, groups, last), 3
    x, w, dy = (laid(a, last) for a in (x, w, dy))
    found_y, found_dx = np.full_like(laid(y, last), 7, dtype), np.full_like(x, 7)
    found_dw = np.full((parts, *ws), 7, dtype)
    wide = xs == (1, 1, 30, 31) and dtype == "float32"
    run("convolution", found_y, x, w, bias, g, dtype=dtype, wide=wide)
    close(logical(found_y, last), y + bias.reshape(-1, *[1] * (y.ndim - 2)), dtype, 8, least=1)
    run("convolution", found_y, x, w, None, g, dtype=dtype, wide=wide)
    close(logical(found_y, last), y, dtype, 8, least=1)
    run("convolution_input_gradient", found_dx, dy, w, g, dtype=dtype, wide=wide)
    close(logical(found_dx, last), dx, dtype, 8, least=1)
    run("convolution_kernel_gradient", found_dw, x, dy, g, parts, dtype=dtype, wide=wide)
    close(found_dw.sum(0), dw, dtype, 8, least=1)


def test_three_spatial_axes_are_refused():
    window = Window.of(1, rank=3)
    with pytest.raises(BackendError, match=r"1 or 2 spatial axes, given a shape \(1, 2, 3, 4, 5\)"):
        pooling(window, (1, 2, 3, 4, 5))
