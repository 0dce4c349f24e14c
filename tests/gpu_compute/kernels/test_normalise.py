"""Layer, root-mean-square, batch and local response normalisation with their gradients, against the composite ops."""

from __future__ import annotations

import numpy as np
import pytest
from device_cases import close, expected, gradients, needs_compiler, normal, numbers, run, stored

from cortex.compute.ops import (
    BatchNormalisation,
    LayerNormalisation,
    LocalResponseNormalisation,
    RmsNormalisation,
)

pytestmark = needs_compiler
HALF = pytest.param("float16", marks=pytest.mark.slow)  # bfloat16 goes the same way
EPSILON = 1e-5
ROWS = [(1, 1), (5, 33), (3, 1037), (300, 8)]


def wide(x, dtype):
    return numbers(x, dtype).astype(np.float64)


def arithmetic(dtype):
    return "float64" if dtype == "float64" else "float32"


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", HALF])
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_layer_norm(shape, dtype):
    rows, width = shape
    x, dy = stored(2 * normal(*shape) + 1, dtype), stored(normal(*shape), dtype)
    scale, bias = stored(normal(width), dtype), stored(normal(width), dtype)
    y, dx, mean, inverse = (
        np.zeros_like(x),
        np.zeros_like(x),
        *np.zeros((2, rows), arithmetic(dtype)),
    )
    parts = 3 if rows > 3 else 1
    dscale, dbias = np.zeros((2, parts, width), arithmetic(dtype))
    run("layer_norm", y, mean, inverse, x, scale, bias, EPSILON, *shape, dtype=dtype)
    run("layer_norm_gradient", dx, x, scale, dy, EPSILON, *shape, dtype=dtype)
    run("norm_parameter_gradient", dscale, dbias, x, dy, mean, inverse, *shape, parts, dtype=dtype)
    op, given = LayerNormalisation((1,), EPSILON), [wide(a, dtype) for a in (x, scale, bias)]
    wanted = gradients(op, given, [wide(dy, dtype)])
    close(numbers(y, dtype), expected(op, *given), dtype, 4)
    close(numbers(dx, dtype), wanted[0], dtype, 20, least=1)
    close(dscale.sum(0), wanted[1], arithmetic(dtype), 40, least=1)
    close(dbias.sum(0), wanted[2], arithmetic(dtype), 8)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_rms_norm(shape, dtype):
    rows, width = shape
    x, dy, scale = (stored(a, dtype) for a in (normal(*shape) + 1, normal(*shape), normal(width)))
    y, dx, inverse = np.zeros_like(x), np.zeros_like(x), np.zeros(rows, arithmetic(dtype))
    dscale = np.zeros((1, width), arithmetic(dtype))
    run("rms_norm", y, inverse, x, scale, EPSILON, *shape, dtype=dtype)
    run("rms_norm_gradient", dx, x, scale, dy, EPSILON, *shape, dtype=dtype)
    run("norm_parameter_gradient", dscale, None, x, dy, None, inverse, *shape, 1, dtype=dtype)
    op, given = RmsNormalisation((1,), EPSILON), [wide(a, dtype) for a in (x, scale)]
    wanted = gradients(op, given, [wide(dy, dtype)])
    close(numbers(y, dtype), expected(op, *given), dtype, 4)
    close(numbers(dx, dtype), wanted[0], dtype, 20, least=1)
    close(dscale[0], wanted[1], arithmetic(dtype), 40, least=1)


def test_statistics_need_not_be_kept():
    x, scale, bias, y = normal(3, 5), normal(5), normal(5), np.zeros((3, 5), np.float32)
    run("layer_norm", y, None, None, x, scale, bias, EPSILON, 3, 5)
    close(y, expected(LayerNormalisation((1,), EPSILON), x, scale, bias), scale=4)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", HALF])
@pytest.mark.parametrize("last", [False, True], ids=["channels-first", "channels-last"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 3, 35), (5, 70, 49), (130, 2, 1)], ids=str)
def test_batch_norm(shape, last, dtype):
    """x [N, C, S], statistics by parts: rows of channels-first memory, column parts of channels-last memory."""
    n, c, inner = shape
    order = (0, 2, 1) if last else (0, 1, 2)
    kind = arithmetic(dtype)
    plain, c_dy = 2 * normal(*shape, dtype=kind) + 3, normal(*shape, dtype=kind)
    x, dy = (stored(np.ascontiguousarray(a.transpose(order)), dtype) for a in (plain, c_dy))
    scale, bias = normal(c, dtype=kind), normal(c, dtype=kind)
    rows, parts = n * inner, 3 if last else n
    size = -(-rows // parts) if last else inner
    stats = np.zeros((6, parts, c), kind)
    mean, variance, total, total_z = np.zeros((4, c), kind)
    y, dx = np.zeros_like(x), np.zeros_like(x)
    if last:
        run("moments_columns", stats[0], stats[1], x, rows, c, parts, dtype=dtype)
    else:
        run("moments_rows", stats[0], stats[1], x, n * c, inner, dtype=dtype)
    run("moments_merge", mean, variance, stats[0], stats[1], c, parts, size, rows, dtype=kind)
    sizes = (c, 1 if last else inner, x.size)
    run("channel_norm", y, x, mean, variance, scale, bias, EPSILON, *sizes, dtype=dtype)
    if last:
        given = (stats[2], stats[3], x, dy, mean, variance, EPSILON, rows, c, parts)
        run("channel_gradient_columns", *given, dtype=dtype)
    else:
        given = (stats[2], stats[3], x, dy, mean, variance, EPSILON, n * c, c, inner)
        run("channel_gradient_rows", *given, dtype=dtype)
    for k, sums in ((2, total), (3, total_z)):
        run("sum_columns", sums, stats[k], 1, parts, c, 1, dtype=kind)
    given = (dx, x, dy, mean, variance, scale, total, total_z, EPSILON, rows, *sizes)
    run("channel_norm_gradient", *given, dtype=dtype)

    op = BatchNormalisation((0, 2), EPSILON)
    back = (0, 2, 1) if last else (0, 1, 2)
    given = [wide(x, dtype).transpose(back), scale.astype(np.float64), bias.astype(np.float64)]
    wanted_y, wanted_mean, wanted_variance = expected(op, *given)
    wanted = gradients(op, given, [wide(dy, dtype).transpose(back), None, None])
    close(mean, wanted_mean, kind, 2)
    close(variance, wanted_variance, kind, 8)
    close(numbers(y, dtype).transpose(back), wanted_y, dtype, 8)
    close(numbers(dx, dtype).transpose(back), wanted[0], dtype, 30, least=1)
    close(total_z, wanted[1], kind, 60, least=1)
    close(total, wanted[2], kind, 8)


@pytest.mark.parametrize("size", [1, 2, 5, 6])
@pytest.mark.parametrize("last", [False, True], ids=["channels-first", "channels-last"])
def test_local_response(size, last):
    """Even windows are not symmetric: the gradient sums over the reversed window."""
    op = LocalResponseNormalisation(size, 2.0, 0.5, 0.75)
    plain, c = normal(2, 7, 41), normal(2, 7, 41)
    order = (0, 2, 1) if last else (0, 1, 2)
    x, dy = (np.ascontiguousarray(a.transpose(order)) for a in (plain, c))
    y, base, dx = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    sizes = (size, 7, 1 if last else 41, x.size)
    run("lrn", y, base, x, 2.0, 0.5, 0.75, *sizes)
    run("lrn_gradient", dx, x, y, dy, base, 0.5, 0.75, *sizes)
    close(y.transpose(order), expected(op, plain.astype(np.float64)), scale=2)
    close(dx.transpose(order), gradients(op, [plain], [c])[0], scale=4)
