"""Small problems that training must solve: XOR, corn yields, toy fits, an autoencoder, credit default."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortex.compute.backend import Backend
from cortex.compute.verify import Check, Mismatch, checking, close, within
from cortex.datasets import Arrays, Standardise, corn, xor
from cortex.layers import (
    Autoencoder,
    BatchNormalisation,
    GaussianNoise,
    Input,
    Linear,
    Logistic,
    MultiplicativeNoise,
    Normaliser,
    Relu,
)
from cortex.losses import BinaryCrossEntropy, MeanSquaredError
from cortex.network import Network
from cortex.optimise.optimisers import Adam, Sgd
from cortex.prediction import predict
from cortex.training import Result, fit

CHECKS: list[Check] = []
PLANE = 1.367  # mean squared error of the least-squares plane through the corn yields


def fitted(backend: Backend, network: Network, data: Any, **options: Any) -> Result:
    """Train without a progress bar, with a record for each epoch only."""
    return fit(network, data, backend=backend, progress=False, every=1 << 30, **options)


def predicted(backend: Backend, network: Network, data: Any, batch_size: int = 256) -> np.ndarray:
    """Return the only output of a network, one row per example."""
    return np.asarray(predict(network, data, batch_size=batch_size, backend=backend))


@checking(CHECKS, "fit/xor")
def exclusive_or(backend: Backend) -> None:
    """2-3-1 logistic units, plain SGD one example at a time, 1000 epochs: all four cases right."""
    network = Network(
        [("features", Input(2)), Linear(3), Logistic(), Linear(1), Logistic()], seed=1
    )
    result = fitted(
        backend, network, xor(), epochs=1000, batch_size=1, optimiser=Sgd(4.0), seed=1,
        loss=MeanSquaredError(),
    )  # fmt: skip
    found = predicted(backend, result.network, xor())
    accuracy = float((np.round(found) == xor()["target"]).mean())
    within("accuracy on XOR", accuracy, 1.0, 0.001)


@checking(CHECKS, "fit/corn")
def corn_yields(backend: Backend) -> None:
    """A linear unit on standardised columns reaches the error of the least-squares plane within 5 %."""
    x, y = (Standardise.fit(corn()[name]) for name in ("features", "target"))
    data = {"features": x.transform(corn()["features"]), "target": y.transform(corn()["target"])}
    network = Network([("features", Input(2)), Linear(1)], seed=3)
    result = fitted(backend, network, data, epochs=600, batch_size=10, optimiser=Adam(0.05))
    found = y.inverse(predicted(backend, result.network, data["features"]))
    error = float(np.mean((found - corn()["target"]) ** 2))
    if not 0.999 * PLANE <= error <= 1.05 * PLANE:
        raise Mismatch(f"corn: mean squared error {error:.4f}, the plane has {PLANE}")


def _toy(*behind: Any) -> Network:
    """Return a linear layer that gives [.4 .8] for [1 1], with what stands behind it."""
    network = Network([("x", Input(2)), ("linear", Linear(2)), *behind])
    return network.with_parameters(
        {"linear.weights": [[0.1, 0.2], [0.3, 0.4]], "linear.bias": [0.1, 0.1]}
    )


TOY = {"x": np.ones((1, 2), np.float32), "target": np.array([[0.3, 0.7]], np.float32)}


@checking(CHECKS, "fit/toy")
def toy(backend: Backend) -> None:
    """From [.4 .8] to [.3 .7] in 200 iterations: 0.01 away at most."""
    close("before", predicted(backend, _toy(), TOY["x"]), [[0.4, 0.8]])
    result = fitted(backend, _toy(), TOY, epochs=200, optimiser=Sgd(0.1))
    within("after", predicted(backend, result.network, TOY["x"]), TOY["target"], 0.01)


@checking(CHECKS, "fit/toy with noise")
def noisy_toy(backend: Backend) -> None:
    """The same behind noise of deviation .01, added or multiplied: 0.1 away at most."""
    for noise in (GaussianNoise(0.01), MultiplicativeNoise(1.0, 0.01)):
        result = fitted(backend, _toy(noise), TOY, epochs=200, optimiser=Sgd(0.1), seed=2)
        found = predicted(backend, result.network, TOY["x"])
        within(f"after, with {noise}", found, TOY["target"], 0.1)


@checking(CHECKS, "fit/autoencoder")
def autoencoder(backend: Backend) -> None:
    """300 iterations teach an autoencoder to reconstruct its input and to fit a target, to 0.1."""
    layer = Autoencoder(Linear(2), Linear(2))
    network = Network([("x", Input(2)), ("code", layer)], seed=1)
    result = fitted(backend, network, TOY, epochs=300, optimiser=Sgd(0.1))
    code = predicted(backend, result.network, TOY["x"])
    within("the code", code, TOY["target"], 0.1)
    p = result.network.parameters
    back = code @ p["code.down.weights"].T + p["code.down.bias"]
    within("the reconstruction", back, TOY["x"], 0.1)


@checking(CHECKS, "fit/normaliser")
def normaliser(backend: Backend) -> None:
    """After 1000 iterations what leaves a normaliser has mean 0 and deviation 1, both to 0.2."""
    generator = np.random.default_rng(6)
    x = generator.normal(3.0, 2.0, (1000, 4)).astype(np.float32)
    network = Network([("x", Input(4)), Normaliser(learn_rate=0.01), ("out", Linear(1))])
    data = {"x": x, "target": x[:, :1]}
    result = fitted(backend, network, data, epochs=20, batch_size=20, optimiser=Sgd(0.01))
    found = predicted(backend, result.network.with_outputs("normaliser1"), x)
    within("mean", found.mean(0), np.zeros(4), 0.2)
    within("deviation", found.std(0), np.ones(4), 0.2)


def credit(count: int = 5_000, seed: int = 8) -> Arrays:
    """Return a stand-in for the data set Default of ISLR, which is not ours to ship.

    Balances and incomes have its means and deviations, and default is drawn from the logistic model
    that James, Witten, Hastie and Tibshirani (An Introduction to Statistical Learning, chapter 5)
    fit to it: log odds -11.54 + 0.005647 balance + 0.0000208 income. So what the model says about
    the original data holds for these.
    """
    generator = np.random.default_rng(seed)
    balance = np.maximum(generator.normal(835.4, 483.7, count), 0)
    income = np.maximum(generator.normal(33517, 13337, count), 772)
    odds = -11.54 + 0.005647 * balance + 2.08e-5 * income
    default = generator.uniform(size=count) < 1 / (1 + np.exp(-odds))
    return Arrays(features=np.stack([balance, income], 1), target=default[:, None].astype(float))


@checking(CHECKS, "fit/credit default")
def credit_default(backend: Backend) -> None:
    """Normalisation, a linear unit [-.2 .2], a logistic: the odds of those who owe much and little.

    Ten epochs over nine tenths in batches of 50: probability above .96 for a balance of 5000 and an
    income of 10, below .02 for 5 and 100,000.
    """
    data = credit()
    network = Network(
        [("features", Input(2)), BatchNormalisation(), ("unit", Linear(1)), Logistic()]
    ).with_parameters({"unit.weights": [[-0.2, 0.2]]})
    result = fitted(
        backend, network, data[: 9 * len(data) // 10], epochs=10, batch_size=50,
        optimiser=Adam(0.02), loss=BinaryCrossEntropy(),
    )  # fmt: skip
    much, little = predicted(backend, result.network, [[5000.0, 10.0], [5.0, 100_000.0]])
    if not (much[0] > 0.96 and little[0] < 0.02):
        raise Mismatch(f"default: expected above .96 and below .02, got {much[0]}, {little[0]}")
    rest = data[9 * len(data) // 10 :]
    accuracy = ((predicted(backend, result.network, rest) > 0.5) == rest["target"]).mean()
    if accuracy < 0.95:
        raise Mismatch(f"default: accuracy {accuracy} on the tenth left out, expected .95")


@checking(CHECKS, "fit/two layers", quick=False)
def sine(backend: Backend) -> None:
    """A period of the sine through 16 rectified units: mean squared error below 0.01."""
    x = np.linspace(-np.pi, np.pi, 201, dtype=np.float32)[:, None]
    network = Network([("x", Input(1)), Linear(16), Relu(), Linear(1)], seed=2)
    data = {"x": x, "target": np.sin(x)}
    result = fitted(backend, network, data, epochs=300, batch_size=33, optimiser=Adam(0.01))
    error = float(np.mean((predicted(backend, result.network, x) - np.sin(x)) ** 2))
    if error > 0.01:
        raise Mismatch(f"sine: mean squared error {error}")
