"""Small classifiers, one step or run of them, and what a softmax network computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortex import layers as L
from cortex.executables import training_step
from cortex.network import Network, node
from cortex.optimise.optimisers import Adam

RNG = np.random.default_rng(4)
X, LABELS = RNG.normal(size=(17, 5)), RNG.integers(0, 3, 17)


def mlp(**options: Any) -> Network:
    return Network([("x", L.Input(5)), L.Linear(4), L.Tanh(), L.Linear(3), L.Softmax()], **options)


def two_outputs() -> Network:
    return Network(
        [("x", L.Input(5)), ("a", L.Linear(2)), node(L.Linear(3), "b", "x"), ("c", L.Softmax())]
    )


def step(network: Network, **options: Any) -> Any:
    return training_step(
        network, **{"optimiser": Adam(0.01), "batch_size": 17, "backend": "numpy", **options}
    )


def run(executable: Any, **columns: Any) -> Any:
    for name, array in columns.items():
        executable.write(name, array)
    executable.run()
    return executable


def softmax(network: Network, x: np.ndarray) -> np.ndarray:
    p = network.parameters
    z = (
        np.tanh(x @ p["linear1.weights"].T + p["linear1.bias"]) @ p["linear2.weights"].T
        + p["linear2.bias"]
    )
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)
