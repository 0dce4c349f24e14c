"""Small training steps that GPU tests run in several ways."""

from __future__ import annotations

from typing import Any

import numpy as np

import cortex
from cortex.layers import (
    AveragePooling,
    BatchNormalisation,
    Convolution,
    Dropout,
    GlobalAveragePooling,
    Input,
    Linear,
    MaxPooling,
    Relu,
    Residual,
    Sequence,
    Softmax,
    Tanh,
)
from cortex.optimise.optimisers import Adam, Sgd

BATCH = 8


def mlp(dropout: float = 0.25) -> cortex.Network:
    """Two hidden layers with dropout, on images of 6 x 6."""
    layers = [Linear(33), Relu(), Dropout(dropout), Linear(17), Relu(), Linear(5), Softmax()]
    return cortex.Network([("image", Input(36)), *layers], seed=3)


def small_lenet() -> cortex.Network:
    """Convolution, pooling, batch normalisation and dropout twice, on images of 14 x 14 bytes."""
    return cortex.Network(
        [
            ("image", Input(1, 14, 14, dtype="uint8", scale=1 / 255)),
            Convolution(6, 3), Relu(), MaxPooling(2), BatchNormalisation(), Dropout(0.1),
            Convolution(7, 3), MaxPooling(2), Relu(),
            Linear(19), Relu(), Linear(5), Softmax(),
        ],
        seed=3,
    )  # fmt: skip


def smooth() -> cortex.Network:
    """Convolutions, averages and batch normalisation without a kink, on images of 14 x 14."""
    return cortex.Network(
        [
            ("image", Input(1, 14, 14)),
            Convolution(6, 3), Tanh(), AveragePooling(2), BatchNormalisation(),
            Convolution(7, 3), Tanh(), Linear(19), Tanh(), Linear(5), Softmax(),
        ],
        seed=3,
    )  # fmt: skip


def residual() -> cortex.Network:
    """Two residual blocks with batch normalisation, one that strides, on images of 8 x 8."""
    body = [
        Convolution(8, 3, padding=1),
        BatchNormalisation(),
        Relu(),
        Convolution(8, 3, padding=1),
    ]
    shorter = [Convolution(16, 3, stride=2, padding=1), BatchNormalisation(), Relu()]
    shortcut = Sequence((Convolution(16, 1, stride=2), BatchNormalisation()))
    return cortex.Network(
        [
            ("image", Input(3, 8, 8)),
            Convolution(8, 3, padding=1), BatchNormalisation(), Relu(),
            Residual((*body, BatchNormalisation())), Relu(),
            Residual((*shorter, Convolution(16, 3, padding=1), BatchNormalisation()), shortcut), Relu(),
            GlobalAveragePooling(), Linear(5), Softmax(),
        ],
        seed=3,
    )  # fmt: skip


def images(step: Any, count: int) -> np.ndarray:
    """Draw images for a step."""
    spec, generator = step.columns["image"], np.random.default_rng(5)
    if spec.dtype == "uint8":
        return generator.integers(0, 256, (count, *spec.shape[1:])).astype(np.uint8)
    return generator.standard_normal((count, *spec.shape[1:])).astype(np.float32)


def training(
    network: cortex.Network,
    backend: Any,
    batch: int = BATCH,
    memory: Any = None,
    adam: bool = True,
    loss_scale: float | None = None,
) -> Any:
    """Return a training step; by momentum where roundings are compared, as Adam blows tiny gradients up."""
    optimiser = Adam(0.01) if adam else Sgd(0.05, momentum=0.9)
    return cortex.training_step(
        network, optimiser=optimiser, batch_size=batch, loss_scale=loss_scale, backend=backend,
        memory=memory, seed=9,
    )  # fmt: skip


def train(step: Any, steps: int, start: int = 0) -> list[float]:
    """Run some steps, each on other images, and return the losses."""
    losses, batch = [], step.batch_size
    data = images(step, batch * (start + steps))
    for k in range(start, start + steps):
        rows = data[k * batch : (k + 1) * batch]
        step.write("image", rows)
        step.write("label", (np.arange(batch) * 3 + k) % 5)
        step.run()
        losses.append(float(step.read("loss")))
    return losses


def state(step: Any) -> dict[str, np.ndarray]:
    """Return all persistent buffers by name."""
    return {name: step.read(name) for name in step.program.state}
