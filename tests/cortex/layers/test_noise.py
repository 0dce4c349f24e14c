"""Random layers: their distributions, the same mask in the gradient, reproducible by seed and step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cortex.layers import Dropout, GaussianNoise, MultiplicativeNoise, Sequence

ONES = np.ones((50, 400))


def test_dropout_drops_and_rescales(run: Any) -> None:
    """Of 20,000 numbers 20 % are 0 (5 standard deviations: 1.4 %), the others are divided by .8."""
    r = run(Dropout(0.2), ONES, training=True)
    assert set(np.unique(r.y)) == {0, 1.25}
    assert abs((r.y == 0).mean() - 0.2) < 0.014
    np.testing.assert_array_equal(r.gradient("x0"), r.y)  # the very mask of the forward pass


def test_each_element_is_zero_or_doubled(run: Any) -> None:
    seen = {tuple(run(Dropout(0.5), [[1.0, 2.0]], training=True, seed=s).y[0]) for s in range(40)}
    assert seen == {(0, 0), (2, 0), (0, 4), (2, 4)}


def test_gaussian_dropout(run: Any) -> None:
    """Mean 1 and variance p / (1 - p) = .25 within 5 standard errors."""
    r = run(Dropout(0.2, "gaussian"), ONES, training=True)
    assert abs(r.y.mean() - 1) < 5 * 0.5 / np.sqrt(ONES.size)
    assert abs(r.y.var() - 0.25) < 5 * 0.25 * np.sqrt(2 / ONES.size)
    np.testing.assert_allclose(r.gradient("x0"), r.y, rtol=1e-12)


def test_gaussian_noise_is_added(run: Any) -> None:
    r = run(GaussianNoise(0.3), 7 * ONES, training=True)
    assert abs(r.y.mean() - 7) < 5 * 0.3 / np.sqrt(ONES.size)
    assert abs(r.y.std() - 0.3) < 5 * 0.3 / np.sqrt(2 * ONES.size)
    np.testing.assert_array_equal(r.gradient("x0"), ONES)


def test_multiplicative_noise(run: Any) -> None:
    """With probability .25 times N(1, .1^2), else unchanged."""
    r = run(MultiplicativeNoise(0.25, 0.1), 3 * ONES, training=True)
    changed = r.y != 3
    assert abs(changed.mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / ONES.size)
    assert abs(r.y[changed].std() - 0.3) < 5 * 0.3 / np.sqrt(2 * changed.sum())
    np.testing.assert_allclose(r.gradient("x0"), r.y / 3, rtol=1e-12)


@pytest.mark.parametrize(
    "layer", [Dropout(0.5), GaussianNoise(1.0), MultiplicativeNoise(1.0, 1.0)], ids=str
)
def test_seed_and_step_decide(layer: Any, run: Any) -> None:
    first, again = (run(layer, ONES, training=True, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.y, again.y)
    other = run(layer, ONES, training=True, seed=4)
    assert (first.y != other.y).mean() > 0.2
    before = first.y
    first.executable.run()  # the step advances
    assert (before != first.y).mean() > 0.2


def test_two_layers_draw_different_numbers(run: Any) -> None:
    """Two dropouts of one half leave a quarter; with one mask for both it would be a half."""
    y = run(Sequence([Dropout(0.5), Dropout(0.5)]), ONES, training=True).y
    assert abs((y > 0).mean() - 0.25) < 0.02
    assert set(np.unique(y)) == {0, 4}


@pytest.mark.parametrize(
    "layer", [Dropout(0.0), GaussianNoise(0.0), MultiplicativeNoise(0.0, 1.0)], ids=str
)
def test_no_noise_is_the_identity(layer: Any, run: Any) -> None:
    np.testing.assert_array_equal(run(layer, ONES, training=True).y, ONES)
