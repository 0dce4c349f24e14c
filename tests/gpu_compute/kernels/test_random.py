"""Random numbers and dropout masks: the same bits as compute/philox.py."""

from __future__ import annotations

import numpy as np
import pytest
from device_cases import expected, needs_compiler, normal, numbers, run, stored

from cortex.compute import philox
from cortex.compute.ops import Dropout

pytestmark = needs_compiler
SEED, STEP, NUMBER = 0x9E3779B97F4A7C15, 7, 3


def state(seed=SEED, step=STEP):
    return np.array([seed], np.uint64), np.array([step], np.int64)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 2, 3, 1027])
def test_uniform_numbers_are_bit_identical(size, dtype):
    y = np.full(size + 1, 7, dtype)
    run("random_uniform", y, *state(), NUMBER, 0, size, dtype=dtype)
    np.testing.assert_array_equal(y[:size], philox.uniform(size, SEED, STEP, NUMBER, dtype))
    assert y[size] == 7


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 2, 3, 1027])
def test_normal_numbers(size, dtype):
    y = np.full(size + 1, 7, dtype)
    run("random_normal", y, *state(), NUMBER, 0, size, dtype=dtype)
    wanted = philox.normal(size, SEED, STEP, NUMBER, dtype)
    np.testing.assert_allclose(
        y[:size], wanted, rtol=2e-7 if dtype == "float32" else 1e-15, atol=1e-15
    )
    assert y[size] == 7


def test_negative_steps_and_wide_indices_wrap_like_the_definition():
    y = np.zeros(9, np.float32)
    run("random_uniform", y, *state(step=-1), NUMBER, 0, 9, wide=True)
    np.testing.assert_array_equal(y, philox.uniform(9, SEED, -1, NUMBER))


@pytest.mark.parametrize(
    "first", [4, 1 << 20, (1 << 34) - 8]
)  # the last crosses the low word of a counter
def test_a_part_of_a_batch_has_the_numbers_of_the_part(first):
    x, y, block = normal(13), np.zeros(13, np.float32), first // 4
    wanted = philox.uniform(13, SEED, STEP, NUMBER, first=first)
    run("random_uniform", y, *state(), NUMBER, block, 13)
    np.testing.assert_array_equal(y, wanted)
    run("dropout", y, x, *state(), NUMBER, block, 0.5, 2.0, 13)
    np.testing.assert_array_equal(y, np.where(wanted < 0.5, 0, 2 * x))
    run("random_normal", y, *state(), NUMBER, block, 13)
    wanted = philox.normal(13, SEED, STEP, NUMBER, first=first)
    np.testing.assert_allclose(y, wanted, rtol=2e-7, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("size", [1, 2, 3, 1027])
def test_dropout_of_half_floats_has_the_mask_of_float32(size, dtype):
    x, p = stored(normal(size), dtype), 0.3
    noise = philox.uniform(size, SEED, STEP, NUMBER)
    scale = np.float32(1 / (1 - p))
    wanted = stored(np.where(noise < np.float32(p), 0, numbers(x, dtype) * scale), dtype)
    y = np.full(size + 1, 7, np.uint16)
    run("dropout", y, x, *state(), NUMBER, 0, p, 1 / (1 - p), size, dtype=dtype)
    np.testing.assert_array_equal(y, [*wanted, 7])
    run("dropout", x, x, *state(), NUMBER, 0, p, 1 / (1 - p), size, dtype=dtype)  # in place
    np.testing.assert_array_equal(x, wanted)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_is_bit_identical(p, dtype):
    x, (seed, step) = normal(5, 201, dtype=dtype), state()
    wanted = expected(Dropout(p, NUMBER), x, seed[0].reshape(()), step[0].reshape(()))
    y = np.zeros_like(x)
    run("dropout", y, x, seed, step, NUMBER, 0, p, 1 / (1 - p), x.size, dtype=dtype)
    np.testing.assert_array_equal(y, wanted)
    run("dropout", x, x, seed, step, NUMBER, 0, p, 1 / (1 - p), x.size, dtype=dtype)  # in place
    np.testing.assert_array_equal(x, wanted)
