"""What is measured side by side, each a function that yields results as they come."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import roofline
from harness import Contender, Settings, compare, has, in_turns
from networks import CONVNET, LENET, MLP, RESNET, VGG, Batch, Workload
from peers import arrays, inference, ours, training
from results import Result, Table, Timing

from cortex import layers
from cortex.compute import math as m

PARAMETERS = 10_000_000
ADAM_HELD, ADAM_BYTES = 16, 28  # bytes of a parameter: p, g, m, v are read, p, m, v written


def _bound(made: list[Contender], settings: Settings) -> float:
    """Return the least seconds of the first one's program on this machine."""
    return roofline.bound(made[0].program, settings.threads)


def steps(workload: Workload, goals: dict[int, float], settings: Settings) -> Iterator[Table]:
    """Yield the training step for each batch size in `goals`."""
    for size, goal in ({8: goals[64]} if settings.quick else goals).items():
        made = training(workload, size, settings)
        title = f"{workload.name}, batch {size}: training step"
        yield compare(title, made, settings, goal=goal, bound=_bound(made, settings))


def mlp(settings: Settings) -> Iterator[Result]:
    """Training steps of an MLP: forward, gradients, Adam."""
    yield from steps(MLP, {64: 1.4, 256: 1.25}, settings)


def lenet(settings: Settings) -> Iterator[Result]:
    """Training steps of LeNet: forward, gradients, Adam."""
    yield from steps(LENET, {64: 2.3, 256: 2.1}, settings)


def convnet(settings: Settings) -> Iterator[Result]:
    """A training step of three 3x3 convolutions with batch normalisation: SGD with momentum."""
    yield from steps(CONVNET, {64: 1.3}, settings)


def resnet(settings: Settings) -> Iterator[Result]:
    """A training step of ResNet-18 on 32x32 images: SGD with momentum."""
    yield from steps(RESNET, {64: 1.2}, settings)


def vgg(settings: Settings) -> Iterator[Result]:
    """Inference of VGG16 on 224x224 images."""
    for size, goal in {1: 1.4, 8: 1.5}.items():
        if settings.quick and size > 1:
            return
        made = inference(VGG, size, settings)
        yield compare(
            f"{VGG.name}, batch {size}: inference",
            made,
            settings,
            unit="batch",
            goal=goal,
            bound=_bound(made, settings),
        )


def latency(settings: Settings) -> Iterator[Result]:
    """Inference of one example, each call timed."""
    for workload, goal in ((MLP, 1.5), (LENET, 3.5)):
        made = inference(workload, 1, settings)
        title = f"{workload.name}, batch 1: inference"
        bound = _bound(made, settings)
        yield compare(title, made, settings, unit="example", goal=goal, bound=bound, calls=True)


def adam(settings: Settings) -> Iterator[Result]:
    """One update of 10 million parameters by Adam: 280 MB read and written."""
    size = PARAMETERS // 100 if settings.quick else PARAMETERS
    gradient = np.random.default_rng(1).normal(size=size).astype(np.float32)
    contenders = ours.each(settings, ours.adam, gradient)
    contenders.append(arrays.numba_adam(gradient))
    if has("torch"):
        from peers import pytorch

        contenders += [pytorch.adam(size, gradient, fused) for fused in (True, False)]
    held = roofline.rounded(ADAM_HELD * size)
    rate = roofline.bandwidth(held, settings.threads, update=True)
    yield compare(
        "Adam, 10 million parameters",
        contenders,
        settings,
        unit="update",
        goal=0.95,
        bound=ADAM_BYTES * size / rate,
    )


def epoch(settings: Settings) -> Iterator[Result]:
    """One epoch of LeNet on MNIST, read, shuffled and evaluated: 60,000 images in batches of 64, then 10,000."""
    import epochs

    made = [Contender("cortex.fit", epochs.cortex_epoch)]
    for isa in settings.isas:
        made.append(Contender(f"cortex.fit {isa}", partial(epochs.cortex_epoch, isa=isa)))
    if has("torch"):
        made += [
            Contender("PyTorch eager, DataLoader", epochs.torch_epoch),
            Contender("PyTorch eager, batches by index", epochs.torch_epoch_by_index),
            Contender(
                "PyTorch channels last, fused, batches by index", epochs.torch_epoch_at_its_best
            ),
        ]
    examples = 1280 if settings.quick else 60_000

    def block(i: int) -> list[float]:
        begin = settings.clock()
        made[i].run(examples)
        return [settings.clock() - begin]

    seconds = in_turns(len(made), 2, block)
    rows = [Timing(c.name, sum(s) / 2, *sorted(s)) for c, s in zip(made, seconds, strict=True)]
    note = "Building and compiling included; mean of two. Accuracies: docs/mnist.md."
    title = "LeNet on MNIST: an epoch with data and evaluation"
    yield Table(title, "epoch", settings.clock_name, rows, [note], goal=2.0)


def own_relu(x: Any) -> Any:
    """Return relu as a user would write it."""
    return m.where(x > 0, x, 0)


def own_swish(x: Any) -> Any:
    """Return swish as a user would write it."""
    return x / (1 + m.exp(-x))


def own_gelu(x: Any) -> Any:
    """Return gelu as a user would write it."""
    return 0.5 * x * (1 + m.erf(x / math.sqrt(2)))


def activation(settings: Settings) -> Iterator[Result]:
    """A function of the user's own in place of the built-in one that computes the same."""
    batch = Batch.of(8 if settings.quick else 64)
    for name, own in (("Relu", own_relu), ("Swish", own_swish), ("Gelu", own_gelu)):
        made = [
            ours.training(LENET, batch, getattr(layers, name)(), f"layers.{name}()"),
            ours.training(
                LENET, batch, layers.Activation(own), f"layers.Activation({own.__name__})"
            ),
        ]
        yield compare(f"LeNet, batch 64, with {name.lower()}", made, settings)
