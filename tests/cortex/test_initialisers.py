"""Initialisers: shapes, variances, exact rows, orthogonality, data, errors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex import initialisers as i
from cortex.compute import DescriptionError, ShapeError

SHAPES = [(400, 300), (60, 20, 5, 7), (120, 40, 9)]
VARIANCES: list[tuple[Any, Any]] = [
    (i.Xavier, lambda fan_in, fan_out: 1 / fan_in),
    (i.LeCun, lambda fan_in, fan_out: 1 / fan_in),
    (i.Glorot, lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
    (i.He, lambda fan_in, fan_out: 2 / fan_in),
    (lambda **o: i.He(slope=0.5, **o), lambda fan_in, fan_out: 1.6 / fan_in),
]
ALL = [
    i.Xavier(), i.LeCun("uniform"), i.Glorot(standardise_rows=True), i.He("uniform", slope=0.1), i.Orthogonal(1.0),
    i.Normal(0.1, 2.0), i.Uniform(-1, 2), i.Constant(3.5), i.Zeros(), i.Ones(), i.Identity(2.0), i.Automatic(),
    i.Transposed(i.He(), 2),
]  # fmt: skip


def draw(initialiser: Any, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return initialiser(np.random.default_rng(seed), shape)


@pytest.mark.parametrize(("make", "variance"), VARIANCES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_variances(make: Any, variance: Any, shape: tuple[int, ...], distribution: Any) -> None:
    """Mean 0 and the variance of the table within 5 standard errors."""
    window = int(np.prod(shape[2:]))
    expected = variance(shape[1] * window, shape[0] * window)
    numbers = draw(make(distribution=distribution), shape)
    size = numbers.size
    assert abs(numbers.mean()) < 5 * np.sqrt(expected / size)
    assert abs(numbers.var() - expected) < 5 * expected * np.sqrt(2 / size)
    if distribution == "uniform":
        assert np.abs(numbers).max() <= np.sqrt(3 * expected)
    else:
        assert np.abs(numbers).max() > np.sqrt(3 * expected)


@pytest.mark.parametrize("initialiser", ALL, ids=repr)
@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4).map(
        lambda s: (s[0] * 2, s[1] * 2, *s[2:])
    )
)
def test_shape_dtype_and_reproducibility(initialiser: Any, shape: tuple[int, ...]) -> None:
    numbers = draw(initialiser, shape)
    assert numbers.shape == shape
    assert numbers.dtype == np.float64
    np.testing.assert_array_equal(numbers, draw(initialiser, shape))


@pytest.mark.parametrize("shape", [(7, 30), (5, 3, 4)])
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_standardised_rows_are_exact(shape: tuple[int, ...], distribution: Any) -> None:
    rows = draw(i.Xavier(distribution, standardise_rows=True), shape).reshape(shape[0], -1)
    np.testing.assert_allclose(rows.mean(1), 0, atol=1e-15)
    np.testing.assert_allclose(rows.var(1), 1 / rows.shape[1], rtol=1e-12)


def test_rows_of_one_number_cannot_be_standardised() -> None:
    with pytest.raises(
        ShapeError, match=r"He: rows of 1 number cannot be standardised, given \(4, 1\)"
    ):
        draw(i.He(standardise_rows=True), (4, 1))


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6), (4, 3, 2, 5), (20, 2, 3)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    matrix = draw(i.Orthogonal(), shape).reshape(shape[0], -1)
    small = min(matrix.shape)
    product = matrix @ matrix.T if matrix.shape[0] == small else matrix.T @ matrix
    np.testing.assert_allclose(product, 2 * np.eye(small), atol=1e-12)


def test_orthogonal_matrices_are_uniform() -> None:
    """Without the signs of QR the diagonal would be of one sign; uniform ones have trace of mean 0."""
    traces = [np.trace(draw(i.Orthogonal(1.0), (4, 4), seed)) for seed in range(300)]
    assert abs(np.mean(traces)) < 5 / np.sqrt(300)


def test_simple_ones() -> None:
    assert (draw(i.Constant(2.5), (3, 2)) == 2.5).all()
    assert (draw(i.Zeros(), (3,)) == 0).all()
    assert (draw(i.Ones(), ()) == 1).all()
    numbers = draw(i.Uniform(-1, 3), (10_000,))
    assert -1 <= numbers.min() < -0.99 < 2.99 < numbers.max() < 3
    numbers = draw(i.Normal(2.0, 5.0), (10_000,))
    assert abs(numbers.mean() - 5) < 0.1
    assert abs(numbers.std() - 2) < 0.1


def test_identity() -> None:
    np.testing.assert_array_equal(draw(i.Identity(3.0), (2, 4)), [[3, 0, 0, 0], [0, 3, 0, 0]])
    kernels = draw(i.Identity(), (3, 3, 3, 5))
    np.testing.assert_array_equal(kernels[:, :, 1, 2], np.eye(3))
    assert kernels.sum() == 3


@pytest.mark.parametrize("groups", [1, 3])
def test_transposed_kernels_have_the_fan_in_of_axis_0(groups: int) -> None:
    """Kernels [I, O / groups, *K]: each output sees I / groups channels times the window."""
    numbers = draw(i.Transposed(i.Xavier(standardise_rows=True), groups), (30, 4, 5))
    per = 30 // groups
    for g in range(groups):
        block = numbers[g * per : (g + 1) * per]
        for o in range(4):
            np.testing.assert_allclose(block[:, o].mean(), 0, atol=1e-15)
            np.testing.assert_allclose(block[:, o].var(), 1 / (per * 5), rtol=1e-12)


def test_resolve() -> None:
    class Rectifier:
        rectifies = True

    assert i.resolve(i.Automatic(), [Rectifier()]) == i.He()
    assert i.resolve(i.Automatic(), [object()]) == i.Xavier()
    assert i.resolve(i.Transposed(i.Automatic(), 2), [Rectifier()]) == i.Transposed(i.He(), 2)
    assert i.resolve(i.Orthogonal(), [Rectifier()]) == i.Orthogonal()


@pytest.mark.parametrize("initialiser", ALL, ids=repr)
def test_data_round_trip(initialiser: Any) -> None:
    assert i.from_data(json.loads(json.dumps(i.to_data(initialiser)))) == initialiser


def test_every_type_is_in_the_table() -> None:
    assert {type(n).__name__ for n in ALL} == set(i.TYPES)


@pytest.mark.parametrize(
    "initialiser", [i.Xavier(), i.Glorot(), i.Orthogonal(), i.Identity()], ids=repr
)
@pytest.mark.parametrize("shape", [(), (5,)])
def test_matrices_only(initialiser: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"expected weights \[outputs, inputs, ...\], given shape"):
        draw(initialiser, shape)


WRONG: list[tuple[Any, str]] = [
    (
        lambda: i.Xavier("gaussian"),
        "distribution: expected 'normal' or 'uniform', given 'gaussian'",
    ),
    (lambda: i.He("normall", slope="1"), "did you mean 'normal'.*slope: expected a finite number"),
    (lambda: i.Orthogonal(float("inf")), "gain: expected a finite number, given inf"),
    (lambda: i.Normal(-1), "sd: expected a number >= 0, given -1"),
    (lambda: i.Uniform(1, 0), "high: expected a number >= low = 1, given 0"),
    (lambda: i.Uniform("a", "b"), "low: expected a finite number.*high: expected a finite number"),
    (lambda: i.Constant(None), "value: expected a finite number, given None"),
    (
        lambda: i.from_data({"type": "Glorott"}),
        "no initialiser has the type 'Glorott'; did you mean 'Glorot'",
    ),
    (
        lambda: i.from_data({"type": "Normal", "sigma": 1}),
        "no field is named 'sigma'.*the field 'sd' is missing",
    ),
]


@pytest.mark.parametrize(("make", "words"), WRONG)
def test_errors(make: Any, words: str) -> None:
    with pytest.raises(DescriptionError, match=f"(?s){words}"):
        make()
