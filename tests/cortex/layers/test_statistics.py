"""Layers that keep statistics or add penalties: batch normalisation, normaliser, autoencoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cortex.build import Build
from cortex.compute import Program, ShapeError, Spec
from cortex.layers import (
    Autoencoder,
    BatchNormalisation,
    Linear,
    Normaliser,
    Residual,
    Sequence,
    Tanh,
)


def test_batch_normalisation_uses_the_batch_in_training(run: Any) -> None:
    x = np.random.default_rng(1).normal(2, 3, (5, 3, 4, 2))
    r = run(BatchNormalisation(), x, training=True)
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
    column = (slice(None), None, None)
    expected = (x - mean[column]) / np.sqrt(variance[column] + 1e-4)
    np.testing.assert_allclose(r.y, expected, rtol=1e-10)
    np.testing.assert_allclose(r.after("running_mean"), 0.1 * mean, rtol=1e-12)
    unbiased = x.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(r.after("running_variance"), 0.9 + 0.1 * unbiased, rtol=1e-12)


def test_a_batch_of_one_leaves_finite_statistics(run: Any) -> None:
    r = run(BatchNormalisation(per="element"), [[3.0, -2.0]], training=True)
    np.testing.assert_array_equal(r.y, [[0, 0]])
    np.testing.assert_allclose(r.after("running_mean"), [0.3, -0.2], rtol=1e-12)
    np.testing.assert_allclose(r.after("running_variance"), [0.9, 0.9], rtol=1e-12)


def test_inference_updates_nothing(run: Any) -> None:
    for layer in (BatchNormalisation(), Normaliser()):
        program = run(layer, [[3.0, -2.0]]).executable.program
        assert not [n for n in program.outputs if n.startswith("after")]


def test_normaliser_follows_the_data(run: Any) -> None:
    """After 300 batches from N(5, 2^2) the output has mean 0 and deviation 1 within the original's .2."""
    generator = np.random.default_rng(2)
    layer, statistics = Normaliser(learn_rate=0.02), {}
    compiled = None
    for _ in range(300):
        x = generator.normal(5, 2, (20, 3))
        if compiled is None:
            compiled = run(layer, x, training=True)
        else:
            compiled.run(x0=x, **statistics)
        statistics = {n: compiled.after(n) for n in ("running_mean", "running_square")}
    y = run(layer, generator.normal(5, 2, (4000, 3)), parameters=statistics).y
    assert np.abs(y.mean(0)).max() < 0.2
    assert np.abs(y.std(0) - 1).max() < 0.2


def test_normaliser_pulls_towards_mean_zero_and_deviation_one(run: Any) -> None:
    """The gradient of x gains factor (mean + (sd - 1) (x - mean) / sd) / examples."""
    x = np.random.default_rng(3).normal(size=(4, 3))
    mean, sd = np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.5, 1.0])
    given = {"running_mean": mean, "running_square": mean**2 + sd**2}
    r = run(Normaliser(factor=0.7), x, training=True, parameters=given)
    pull = 0.7 * (mean + (sd - 1) * (x - mean) / sd) / 4
    np.testing.assert_allclose(r.gradient("x0"), 1 / sd + pull, rtol=1e-12)
    np.testing.assert_allclose(
        run(Normaliser(factor=0.7), x, parameters=given).gradient("x0"), 1 / sd + 0 * x
    )


def test_autoencoder_adds_the_reconstruction_error(run: Any) -> None:
    """The gradient of x is that of the error with the target held, plus that from above."""
    generator = np.random.default_rng(4)
    x, up, down = (generator.normal(size=s) for s in ((3, 5), (2, 5), (5, 2)))
    layer = Autoencoder(Linear(2, bias=False), Linear(5, bias=False), factor=0.3)
    given = {"up.weights": up, "down.weights": down}
    r = run(layer, x, training=True, parameters=given, dy=np.zeros((3, 2)))
    error = x @ up.T @ down.T - x
    np.testing.assert_allclose(r.penalty, 0.3 * (error**2).mean(), rtol=1e-12)
    back = 0.3 * 2 / error.size * error
    np.testing.assert_allclose(r.gradient("down.weights"), back.T @ (x @ up.T), rtol=1e-10)
    np.testing.assert_allclose(r.gradient("x0"), back @ down @ up, rtol=1e-10)
    np.testing.assert_allclose(r.y, x @ up.T, rtol=1e-12)
    assert run(layer, x, parameters=given).penalty == 0


def test_statistics_and_penalties_inside_composites(run: Any) -> None:
    inner = Sequence([Autoencoder(Linear(4), Linear(3)), BatchNormalisation(), Tanh()])
    x = np.random.default_rng(5).normal(size=(6, 3))
    r = run(Residual([inner, Linear(3)]), x, training=True)
    name = "body.sequence1.batch_normalisation1.running_mean"
    assert np.abs(r.after(name)).max() > 0
    assert r.penalty > 0


def test_a_penalty_is_one_float() -> None:
    build = Build(Program(), training=True)
    vector = build.program.input("x", (2,))
    with pytest.raises(ShapeError, match=r"Build.penalty: expected one float, given float32\[2\]"):
        build.penalty(vector)


def test_down_must_give_back_the_input() -> None:
    with pytest.raises(
        ShapeError, match=r"`down` must give back the input .*\[2, 5\], given .*\[2, 4\]"
    ):
        Autoencoder(Linear(3), Linear(4)).parameters(Spec((2, 5)))
