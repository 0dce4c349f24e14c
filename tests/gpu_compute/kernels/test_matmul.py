"""The plain matrix product: any orientation, broadcast batches, bias, and a user's activation at the end."""

from __future__ import annotations

import numpy as np
import pytest
from device_cases import close, needs_compiler, normal, numbers, run, stored

from cortex.compute import math as m
from cortex.compute import reference
from cortex.compute.errors import BackendError
from cortex.compute.expression import symbol
from cortex.compute.ops import MatMul
from cortex.gpu_compute.kernels import (
    Arguments,
    Variant,
    activation_text,
    host_library,
    kernel,
    translation_unit,
)
from cortex.gpu_compute.kernels.geometry import matrices

pytestmark = needs_compiler
SIZES = [(1, 1, 1), (5, 70, 3), (65, 16, 129), (64, 64, 64), (3, 0, 5), (10, 300, 1)]


@pytest.mark.parametrize("tb", [False, True])
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rows", "depth", "columns"), SIZES)
def test_orientations(rows, depth, columns, dtype, ta, tb):
    a = normal(*((depth, rows) if ta else (rows, depth)), dtype=dtype)
    b = normal(*((columns, depth) if tb else (depth, columns)), dtype=dtype)
    y, bias = np.full((rows, columns), 7, dtype), normal(columns, dtype=dtype)
    wanted = reference.matmul(MatMul(ta, tb), a.astype(np.float64), b.astype(np.float64))[0]
    run("matmul", y, a, b, None, matrices(a.shape, b.shape, ta, tb), dtype=dtype)
    close(y, wanted, dtype, 8, least=1)
    run(
        "matmul",
        y,
        a,
        b,
        bias,
        matrices(a.shape, b.shape, ta, tb),
        dtype=dtype,
        wide=dtype == "float64",
    )
    close(y, wanted + bias, dtype, 8, least=1)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 5, 7), (3, 7, 4)),
        ((5, 7), (2, 3, 7, 4)),
        ((2, 1, 5, 7), (3, 7, 4)),
        ((2, 1, 3, 1, 5, 7), (1, 4, 1, 2, 7, 4)),
    ],
)
def test_batches_broadcast(a, b):
    x, y = normal(*a), normal(*b)
    wanted = x.astype(np.float64) @ y.astype(np.float64)
    found = np.zeros(wanted.shape, np.float32)
    run("matmul", found, x, y, None, matrices(a, b))
    close(found, wanted, scale=4)


def test_half_floats():
    a, b = stored(normal(20, 33), "bfloat16"), stored(normal(33, 9), "bfloat16")
    y = np.zeros((20, 9), np.uint16)
    run("matmul", y, a, b, None, matrices(a.shape, b.shape), dtype="bfloat16")
    wanted = numbers(a, "bfloat16") @ numbers(b, "bfloat16")
    close(numbers(y, "bfloat16"), wanted, "bfloat16")
    whole = np.zeros((20, 9), np.float32)
    run("matmul_whole", whole, a, b, None, matrices(a.shape, b.shape), dtype="bfloat16")
    close(whole, wanted)
    np.testing.assert_array_equal(y, stored(whole, "bfloat16"))


def test_a_users_activation_ends_the_product():
    x = symbol(0)
    expression = m.where(x > 0.5, m.exp(-x) * x, 0.1 * x)
    variant = Variant(activation=activation_text(expression))
    a, b, bias, y = normal(33, 7), normal(7, 20), normal(20), np.zeros((33, 20), np.float32)
    values = [v.ctypes.data for v in (y, a, b, bias)]
    library = host_library(translation_unit("matmul", variant))
    library["matmul"](Arguments(kernel("matmul"), variant, [*values, matrices(a.shape, b.shape)]))
    z = a.astype(np.float64) @ b + bias
    close(y, np.where(z > 0.5, np.exp(-z) * z, 0.1 * z), scale=4)


def test_batches_that_cannot_be_merged_are_refused():
    with pytest.raises(
        BackendError, match="a product over 5 batch axes that cannot be merged; at most 4"
    ):
        matrices((2, 1, 2, 1, 2, 3, 4), (1, 2, 1, 2, 1, 4, 5))
