"""The networks of the benchmarks, in cortex and in its peers, from the same initial weights and batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import STEPS_CHECKED, Contender, has

SEED = 11


@dataclass(frozen=True)
class Workload:
    """A network as data: `convolutions` (kernels of 5 x 5, each pooled by 2), then `widths` of linear layers."""

    name: str
    convolutions: tuple[int, ...]
    widths: tuple[int, ...]

    def network(self, activation: Any = None) -> Any:
        """Return the network in cortex; `activation` stands for relu between linear layers."""
        import cortex
        from cortex import layers

        nodes: list[Any] = [("image", layers.Input(1, 28, 28))]
        for n in self.convolutions:
            nodes += [layers.Convolution(n, 5), layers.MaxPooling(2), activation or layers.Relu()]
        for n in self.widths[:-1]:
            nodes += [layers.Linear(n), activation or layers.Relu()]
        return cortex.Network([*nodes, layers.Linear(self.widths[-1])], seed=SEED)

    def weights(self) -> list[np.ndarray]:
        """Return weights and biases of each layer, [out, in, ...] and [out], as all peers take them."""
        return [np.array(a) for a in self.network().parameters.values()]


LENET = Workload("LeNet", (20, 50), (500, 10))
MLP = Workload("MLP 784-512-256-10", (), (512, 256, 10))


@dataclass(frozen=True)
class Batch:
    """What a step is trained on."""

    images: np.ndarray  # [n, 1, 28, 28] float32
    labels: np.ndarray  # [n] int64

    @staticmethod
    def of(size: int) -> Batch:
        """Return the first `size` digits of MNIST, in 0..1."""
        from cortex import datasets

        digits = datasets.mnist("train")
        rows = next(iter(digits.batches(size)))
        images, labels = (np.asarray(rows[c]) for c in digits.columns)
        return Batch(
            images.reshape(size, 1, 28, 28).astype(np.float32) / 255, labels.astype(np.int64)
        )


def training(workload: Workload, size: int) -> list[Contender]:
    """Return ours and every installed peer, with Adam and the cross-entropy of labels; host arrays in."""
    batch = Batch.of(size)
    made = [ours(workload, batch)]
    if has("torch"):
        made += [
            torch_peer(workload, batch, way)
            for way in ("eager", "fused Adam", "channels last, fused Adam")
        ]
    if has("jax"):
        made.append(jax_peer(workload, batch))
    if has("scikit-learn") and not workload.convolutions:
        made.append(sklearn_peer(workload, batch))
    return made


def _losses(step: Callable[[], float]) -> Callable[[], Sequence[float]]:
    return lambda: [step() for _ in range(STEPS_CHECKED)]


def ours(
    workload: Workload, batch: Batch, activation: Any = None, name: str = "cortex"
) -> Contender:
    """Return our training step."""
    import cortex
    from cortex.losses import SoftmaxCrossEntropy
    from cortex.optimise.optimisers import Adam

    # layers draw what suits the activation that follows; the weights are to be those of the others
    network = workload.network(activation).with_parameters(workload.network().parameters)
    step = cortex.training_step(
        network, optimiser=Adam(), batch_size=len(batch.labels), loss=SoftmaxCrossEntropy()
    )
    labels = batch.labels.astype(np.int32)

    def run(count: int) -> None:
        for _ in range(count):
            step.write("image", batch.images)
            step.write("label", labels)
            step.run()

    def once() -> float:
        run(1)
        return float(step.read("loss"))

    return Contender(name, run, _losses(once))


def torch_network(workload: Workload) -> Any:
    """Return the network as people write it in PyTorch, with our weights."""
    import torch
    from torch import nn

    layers: list[nn.Module] = []
    channels, side = 1, 28
    for n in workload.convolutions:
        layers += [nn.Conv2d(channels, n, 5), nn.MaxPool2d(2), nn.ReLU()]
        channels, side = n, (side - 4) // 2
    layers.append(nn.Flatten())
    width = channels * side * side
    for n in workload.widths:
        layers += [nn.Linear(width, n), nn.ReLU()]
        width = n
    model = nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for p, w in zip(model.parameters(), workload.weights(), strict=True):
            p.copy_(torch.from_numpy(w))
    return model


def torch_peer(workload: Workload, batch: Batch, way: str) -> Contender:
    """Return PyTorch's training step: eager with its default Adam, or with what its documentation recommends."""
    import torch

    model = torch_network(workload)
    last = way.startswith("channels last")
    if last:
        model = model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(
        model.parameters(), lr=1e-3, fused=True if "fused" in way else None
    )
    criterion = torch.nn.CrossEntropyLoss()

    def step() -> Any:
        x, y = torch.from_numpy(batch.images), torch.from_numpy(batch.labels)
        if last:
            x = x.to(memory_format=torch.channels_last)
        optimiser.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimiser.step()
        return loss

    def run(count: int) -> None:
        for _ in range(count):
            step()

    return Contender(f"PyTorch {way}", run, _losses(lambda: float(step().detach())))


def jax_peer(workload: Workload, batch: Batch) -> Contender:
    """Return JAX's compiled training step with Adam written out, its buffers donated."""
    import jax
    import jax.numpy as jnp

    def logits(p: list[Any], x: Any) -> Any:
        for k in range(len(workload.convolutions)):
            x = (
                jax.lax.conv_general_dilated(x, p[2 * k], (1, 1), "VALID")
                + p[2 * k + 1][:, None, None]
            )
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
            x = jax.nn.relu(x)
        x = x.reshape(x.shape[0], -1)
        rest = p[2 * len(workload.convolutions) :]
        for k in range(0, len(rest), 2):
            x = x @ rest[k].T + rest[k + 1]
            x = jax.nn.relu(x) if k + 2 < len(rest) else x
        return x

    def loss_of(p: list[Any], x: Any, y: Any) -> Any:
        return -jnp.mean(jax.nn.log_softmax(logits(p, x))[jnp.arange(len(y)), y])

    def step(p: Any, v: Any, w: Any, t: Any, x: Any, y: Any) -> Any:
        loss, g = jax.value_and_grad(loss_of)(p, x, y)
        v = [0.9 * a + 0.1 * b for a, b in zip(v, g, strict=True)]
        w = [0.999 * a + 0.001 * b * b for a, b in zip(w, g, strict=True)]
        one, two = 1 - 0.9**t, 1 - 0.999**t
        p = [
            a - 1e-3 * (b / one) / (jnp.sqrt(c / two) + 1e-8)
            for a, b, c in zip(p, v, w, strict=True)
        ]
        return p, v, w, t + 1, loss

    compiled = jax.jit(step, donate_argnums=(0, 1, 2))
    p = [jnp.asarray(w) for w in workload.weights()]
    state = [p, [jnp.zeros_like(a) for a in p], [jnp.zeros_like(a) for a in p], jnp.float32(1)]

    def once() -> Any:
        *state[:], loss = compiled(*state, batch.images, batch.labels)
        return loss

    def run(count: int) -> None:
        for _ in range(count):
            loss = once()
        loss.block_until_ready()

    return Contender("JAX jit", run, _losses(lambda: float(once())))


def sklearn_peer(workload: Workload, batch: Batch) -> Contender:
    """Return scikit-learn's `partial_fit`, its weights replaced by ours after it has made its own."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.neural_network._stochastic_optimizers import AdamOptimizer

    x = batch.images.reshape(len(batch.labels), -1)
    model = MLPClassifier(workload.widths[:-1], alpha=0.0, batch_size=len(x), shuffle=False)
    model.partial_fit(x, batch.labels, classes=np.arange(10))
    weights = workload.weights()
    for k in range(len(workload.widths)):
        model.coefs_[k] = np.ascontiguousarray(weights[2 * k].T)
        model.intercepts_[k] = weights[2 * k + 1].copy()
    model._optimizer = AdamOptimizer(model.coefs_ + model.intercepts_, 1e-3)

    def run(count: int) -> None:
        for _ in range(count):
            model.partial_fit(x, batch.labels)

    def once() -> float:
        run(1)
        return float(model.loss_)

    return Contender("scikit-learn MLPClassifier", run, _losses(once))
