"""Small float64 networks with random numbers everywhere, and one step of training them."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortex import layers as L
from cortex.executables import NetworkExecutable, training_step
from cortex.network import Network
from cortex.optimise.optimisers import Sgd

RNG = np.random.default_rng(11)
X, LABELS, Y = RNG.normal(size=(6, 5)), RNG.integers(0, 3, 6), RNG.normal(size=(6, 2))


def trained_like(network: Network, seed: int = 5) -> Network:
    """The network in float64 with random numbers everywhere, biases too."""
    rng = np.random.default_rng(seed)
    wide = network.with_dtype("float64")
    return wide.with_parameters(
        {n: rng.normal(size=s.shape) * 0.5 for n, s in wide.parameter_specs.items()}
    )


def chain(*items: Any) -> Network:
    return trained_like(Network([("x", L.Input(5)), *items]))


def run(executable: NetworkExecutable, steps: int = 1, **columns: Any) -> NetworkExecutable:
    for name, array in columns.items():
        executable.write(name, array)
    for _ in range(steps):
        executable.run()
    return executable


def step(
    network: Network, optimiser: Any = None, batch_size: int = 6, **options: Any
) -> NetworkExecutable:
    return training_step(
        network, optimiser=optimiser or Sgd(1.0), batch_size=batch_size, backend="numpy", **options
    )


def gradient(network: Network, columns: dict[str, Any], **options: Any) -> dict[str, np.ndarray]:
    """What one step of gradient descent of size 1 subtracts."""
    made = run(step(network, **options), **columns)
    return {
        n: network.parameters[n] - made.read(n)
        for n in network.parameters
        if n not in network.statistics
    }
