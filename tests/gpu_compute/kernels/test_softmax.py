"""Softmax, its logarithm and cross-entropy, with their gradients, against the composite ops."""

from __future__ import annotations

import numpy as np
import pytest
from device_cases import (
    RNG,
    close,
    expected,
    gradients,
    needs_compiler,
    normal,
    numbers,
    run,
    stored,
)

from cortex.compute.ops import LogSoftmax, Softmax, SoftmaxCrossEntropy

pytestmark = needs_compiler
HALF = pytest.param("float16", marks=pytest.mark.slow)  # bfloat16 goes the same way
SHAPES = [(5, 10), (1, 1), (3, 1037), (2, 7, 33), (70, 2)]  # classes along axis 1


def sizes(shape):
    inner = int(np.prod(shape[2:]))
    return shape[0] * inner, shape[1], inner


def as64(*arrays):
    return [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", HALF])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "op"), [("softmax", Softmax(1)), ("log_softmax", LogSoftmax(1))])
def test_softmax(name, op, shape, dtype):
    x, dy = stored(3 * normal(*shape), dtype), stored(normal(*shape), dtype)
    y, dx = np.zeros_like(x), np.zeros_like(x)
    run(name, y, x, *sizes(shape), dtype=dtype)
    run(f"{name}_gradient", dx, y, dy, *sizes(shape), dtype=dtype)
    given = as64(numbers(x, dtype))
    close(numbers(y, dtype), expected(op, *given), dtype, 4)
    close(numbers(dx, dtype), gradients(op, given, [numbers(dy, dtype)])[0], dtype, 8)


def test_softmax_of_huge_numbers_does_not_overflow():
    x = np.array([[1e30, 1e30, -1e30], [-np.inf, 0, 0]], np.float32)
    y = np.zeros_like(x)
    run("softmax", y, x, 2, 3, 1)
    np.testing.assert_array_equal(y, [[0.5, 0.5, 0], [0, 0.5, 0.5]])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["uint8", "int32", "int64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cross_entropy_of_labels(shape, kind, smoothing):
    op, terms_shape = SoftmaxCrossEntropy(1, smoothing), (shape[0], *shape[2:])
    x, c = 3 * normal(*shape), normal(*terms_shape)
    labels = RNG.integers(0 if kind == "uint8" else -1, min(shape[1] + 1, 200), terms_shape).astype(
        kind
    )
    terms, dx = np.zeros_like(c), np.zeros_like(x)
    run("cross_entropy", terms, x, labels, labels.itemsize, smoothing, *sizes(shape))
    run("cross_entropy_gradient", dx, x, labels, labels.itemsize, c, smoothing, *sizes(shape))
    close(terms, expected(op, *as64(x), labels), scale=4)
    close(dx, gradients(op, [x, labels], [c])[0], scale=4)
    missing = labels.astype(np.int64) < 0
    assert not terms[missing].any() and np.isnan(terms[labels == shape[1]]).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cross_entropy_of_distributions(shape, smoothing):
    op = SoftmaxCrossEntropy(1, smoothing)
    x, c = 3 * normal(*shape), normal(shape[0], *shape[2:])
    q = RNG.random(shape).astype(np.float32)
    q /= q.sum(1, keepdims=True)
    terms, dx = np.zeros_like(c), np.zeros_like(x)
    run("soft_cross_entropy", terms, x, q, smoothing, *sizes(shape))
    run("soft_cross_entropy_gradient", dx, x, q, c, smoothing, *sizes(shape))
    close(terms, expected(op, *as64(x, q)), scale=4)
    close(dx, gradients(op, [x, q], [c])[0], scale=4)


def test_nothing_is_added_where_the_target_is_zero():
    x, q = np.array([[-np.inf, 1, 2]], np.float32), np.array([[0, 0.5, 0.5]], np.float32)
    terms = np.zeros(1, np.float32)
    run("soft_cross_entropy", terms, x, q, 0.0, 1, 3, 1)
    np.testing.assert_allclose(
        terms, -0.5 * np.log(np.exp([1, 2]) / np.exp([1, 2]).sum()).sum(), rtol=1e-6
    )


def test_a_fused_loss_in_double_and_with_wide_indices():
    x, labels = normal(4, 9, dtype="float64"), np.array([0, 3, 8, 2], np.int32)
    terms = np.zeros(4)
    run("cross_entropy", terms, x, labels, 4, 0.0, 4, 9, 1, dtype="float64", wide=True)
    close(terms, expected(SoftmaxCrossEntropy(1), x, labels), "float64")
