"""MNIST, by parts and whole: accuracy that a network must reach."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortex.compute.backend import Backend
from cortex.compute.verify import Check, Mismatch
from cortex.datasets import mnist
from cortex.layers import (
    BatchNormalisation,
    Convolution,
    Dropout,
    Input,
    Linear,
    MaxPooling,
    Relu,
    Softmax,
)
from cortex.losses import CategoricalCrossEntropy, CentreLoss
from cortex.models import lenet
from cortex.network import Network
from cortex.optimise.optimisers import Adam
from cortex.optimise.schedules import Cosine
from cortex.prediction import predict

from .fits import fitted

SLOW = frozenset({"full", "slow"})  # minutes


def small_network(seed: int = 0) -> Network:
    """Return the original's network for a few hundred digits; `features` are what centre loss sees."""
    return Network(
        [
            ("image", Input(1, 28, 28, dtype="uint8", scale=1 / 255)),
            Convolution(20, 5), MaxPooling(2), BatchNormalisation(), Dropout(0.1), Relu(),
            Convolution(50, 5), MaxPooling(2), BatchNormalisation(),
            Linear(500), ("features", Relu()), Linear(10), ("classes", Softmax()),
        ],
        seed=seed,
    )  # fmt: skip


def _accuracy(backend: Backend, network: Network, count: int | None) -> float:
    test = mnist("test", subset=count)
    found: Any = predict(network, test, backend=backend)
    return float((found.argmax(1) == test["label"]).mean())


def _small(backend: Backend) -> None:
    """200 images, batches of 20, four epochs, cross-entropy and .01 x centre loss: .8 of 100."""
    network = small_network()
    result = fitted(
        backend, network, mnist("train", subset=200), epochs=4, batch_size=20, optimiser=Adam(0.002),
        loss={"classes": CategoricalCrossEntropy(), "features": (CentreLoss(10, 0.9), 0.01)},
        target={"classes": "label", "features": "label"},
    )  # fmt: skip
    found = _accuracy(backend, result.network, 100)
    if found < 0.8:
        raise Mismatch(f"MNIST, 200 images: accuracy {found}, expected .8")


def _few_hundred(backend: Backend) -> None:
    """LeNet after one epoch of 300 images in batches of 10: .7 of 100 others."""
    result = fitted(
        backend, lenet(seed=3), mnist("train", subset=300), epochs=1, batch_size=10,
        optimiser=Adam(0.002), seed=3,
    )  # fmt: skip
    found = _accuracy(backend, result.network, 100)
    if found < 0.7:
        raise Mismatch(f"LeNet, 300 images: accuracy {found}, expected .7")


def _full(backend: Backend) -> None:
    """LeNet, all of MNIST, five epochs as in docs/mnist.md: .98 after the first, .99 at the end."""
    epochs, batch = 5, 64
    steps = epochs * -(-60_000 // batch)
    result = fitted(
        backend, lenet(), mnist("train"), test=mnist("test"), epochs=epochs, batch_size=batch,
        optimiser=Adam(Cosine(0.001, steps)),
    )  # fmt: skip
    reached = [float(row["test_accuracy"]) for row in result.history]
    if reached[0] < 0.98 or reached[-1] < 0.99:
        raise Mismatch(f"LeNet on MNIST: {np.round(reached, 4)}, expected .98 first and .99 last")
    again = _accuracy(backend, result.network, None)
    if abs(again - reached[-1]) > 1e-4:
        raise Mismatch(f"LeNet on MNIST: {reached[-1]} during training, {again} predicted after it")


CHECKS = [
    Check("digits/small", _small),
    Check("digits/lenet of a few hundred", _few_hundred),
    Check("digits/lenet of all", _full, SLOW),
]
