"""Dropout: what it does to sums, in the numbers of the original, forwards and backwards."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cortex import layers
from cortex.compute.backend import Backend
from cortex.compute.verify import Check, Mismatch, equal, within
from cortex.executables import gradients
from cortex.network import Network

DRAWS = 30


def _drawn(backend: Backend, layer: layers.Dropout, shape: tuple[int, ...]) -> np.ndarray:
    """Return outputs and gradients [draws, 2, *shape] of a layer on ones, for cotangents of 2."""
    network = Network([("x", layers.Input(shape[1:])), ("drop", layer)])
    made = gradients(
        network, wrt="x", batch_size=shape[0], cotangent=True, training=True, backend=backend,
        seed=1,
    )  # fmt: skip
    made.write("x", np.ones(shape))
    made.write("cotangent", np.full(shape, 2.0))
    found = []
    for _ in range(DRAWS):
        made.run()
        found.append([made.read("drop"), made.read("gradient.x")])
    return np.array(found, np.float64)


def _half(backend: Backend) -> None:
    """Of [1 2] with probability 1/2, each number is 0 or doubled, and all four cases occur."""
    network = Network([("x", layers.Input(2)), ("drop", layers.Dropout(0.5))])
    made = gradients(network, wrt="x", batch_size=1, training=True, backend=backend, seed=1)
    made.write("x", [[1, 2]])
    seen = set()
    for _ in range(DRAWS):
        made.run()
        y = made.read("drop")[0]
        equal("the gradient is 2 where a number is kept", made.read("gradient.x")[0], y / [1, 2])
        seen.add(tuple(y.tolist()))
    if seen != {(0, 0), (0, 4), (2, 0), (2, 4)}:
        raise Mismatch(f"dropout of [1 2] with probability 1/2 gives {sorted(seen)}")


def _sums(layer: layers.Dropout, shape: tuple[int, ...], bar: float) -> Callable[[Backend], None]:
    """Mean sums over the draws: of ones their number, of gradients of 2 twice that."""

    def check(backend: Backend) -> None:
        found = _drawn(backend, layer, shape)
        size = float(np.prod(shape))
        y, dx = found[:, 0], found[:, 1]
        within("mean sum of the output", y.reshape(DRAWS, -1).sum(1).mean(), size, bar)
        within("mean sum of gradients", dx.reshape(DRAWS, -1).sum(1).mean(), 2 * size, 2 * bar)
        equal("the gradient is scaled as the output is", dx, (2 * y).astype(np.float32))
        if layer.distribution == "bernoulli":
            equal("numbers dropped, forwards and backwards", (y == 0).sum(), (dx == 0).sum())
            p = layer.probability
            spread = 4 * np.sqrt(p * (1 - p) / y.size)
            within("share of numbers dropped", (y == 0).mean(), p, spread)
            equal(
                "what is kept is divided by 1 - p",
                np.unique(y),
                np.array([0, 1 / (1 - p)], np.float32),
            )
        else:
            ratio = layer.probability / (1 - layer.probability)
            within("variance of the factor", y.var(), ratio, 0.1 * ratio)
        if len({draw.tobytes() for draw in y}) < DRAWS:
            raise Mismatch("dropout: two of the draws are the same")

    return check


def _inference(backend: Backend) -> None:
    """In inference nothing is dropped."""
    network = Network([("x", layers.Input(5)), ("drop", layers.Dropout(0.5))])
    made = gradients(network, wrt="x", batch_size=3, backend=backend)
    x = np.arange(15, dtype=np.float32).reshape(3, 5)
    made.write("x", x)
    made.run()
    equal("the output", made.read("drop"), x)
    equal("the gradient", made.read("gradient.x"), np.ones((3, 5)))


CHECKS = [
    Check("dropout/of two numbers", _half),
    Check("dropout/keep .8", _sums(layers.Dropout(0.2), (5, 20), 2.0)),
    Check("dropout/gaussian", _sums(layers.Dropout(1 / 3, "gaussian"), (5, 100), 10.0)),
    Check("dropout/inference", _inference),
]
