"""The described networks: shapes, parameter counts, names."""

from __future__ import annotations

import numpy as np
import pytest

import cortex
from cortex import models
from cortex.compute.errors import CortexError, DescriptionError

# published for the LeNet of Caffe: 431,080; the others by hand
COUNTS = {
    "lenet": 431_080,
    "lenet_normalised": 431_220,
    "mlp": 101_770,
    "softmax_regression": 7_850,
}


def test_every_model_has_a_count() -> None:
    assert set(COUNTS) == set(models.MODELS)


@pytest.mark.parametrize("name", COUNTS)
def test_parameters(name: str) -> None:
    assert models.by_name(name).parameter_count == COUNTS[name]


@pytest.mark.parametrize("name", COUNTS)
def test_a_model_gives_probabilities_and_survives_json(name: str) -> None:
    network = models.by_name(name)
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 28, 28)).astype(np.uint8)
    answers = cortex.predict(network, images, backend="numpy")
    assert isinstance(answers, np.ndarray) and answers.shape == (3, 10)
    np.testing.assert_allclose(answers.sum(1), 1, rtol=1e-5)
    assert cortex.Network.from_data(network.to_data()) == network


def test_lenet_is_the_one_that_is_described() -> None:
    shapes = {name: spec.shape for name, spec in models.lenet().specs.items()}
    assert shapes["convolution1"] == (20, 24, 24) and shapes["pooling1"] == (20, 12, 12)
    assert shapes["convolution2"] == (50, 8, 8) and shapes["pooling2"] == (50, 4, 4)
    assert shapes["hidden"] == (500,) and shapes["classes"] == shapes["probabilities"] == (10,)


def test_bytes_are_scaled_to_the_unit_interval() -> None:
    network = models.softmax_regression((1,), classes=2)
    weights = {"classes.weights": [[1.0], [0.0]], "classes.bias": [0.0, 0.0]}
    answers = cortex.predict(
        network.with_parameters(weights), np.array([[0], [255]], np.uint8), backend="numpy"
    )
    np.testing.assert_allclose(answers[:, 0], [0.5, 1 / (1 + np.exp(-1))], rtol=1e-6)


def test_other_shapes_classes_and_seeds() -> None:
    network = models.mlp((5,), classes=3, hidden=(7, 6), seed=4)
    assert network.parameter_count == 5 * 7 + 7 + 7 * 6 + 6 + 6 * 3 + 3
    one, other = models.mlp(seed=1).parameters, models.mlp(seed=2).parameters
    assert not np.array_equal(one["hidden1.weights"], other["hidden1.weights"])
    assert models.lenet((3, 32, 32), classes=7).specs["probabilities"].shape == (7,)


def test_a_mistyped_name_suggests_the_nearest() -> None:
    with pytest.raises(DescriptionError, match="no model is named 'lent'; did you mean 'lenet'"):
        models.by_name("lent")


def test_images_that_are_too_small_and_shapes_that_are_none() -> None:
    with pytest.raises(CortexError, match="convolution2"):
        models.lenet((1, 8, 8))
    with pytest.raises(DescriptionError, match="shape: expected that of an example"):
        models.mlp(())
