"""The networks of the benchmarks, as cortex layers; `peers` translates them for others.

Initial weights are drawn by cortex and handed to every peer, and all take the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cortex import layers as L
from cortex.network import Network

SEED = 11


@dataclass(frozen=True)
class Workload:
    """A network that ends in logits, and what it is trained with: "adam" (.001) or "sgd" (.01, momentum .9)."""

    name: str
    shape: tuple[int, ...]  # of an example
    layers: tuple[Any, ...]
    optimiser: str = "adam"

    @cached_property  # drawing the weights of VGG16 takes seconds
    def network(self) -> Network:
        """Return the network in cortex."""
        return Network([("image", L.Input(*self.shape)), *self.layers], seed=SEED)

    def with_activation(self, activation: Any) -> Network:
        """Return the network with `activation` in place of relu, the weights being those of the original."""
        made = [activation if isinstance(a, L.Relu) else a for a in self.layers]
        network = Network([("image", L.Input(*self.shape)), *made], seed=SEED)
        return network.with_parameters(self.network.parameters)

    def weights(self) -> list[np.ndarray]:
        """Return parameters and statistics in the order in which the layers own them."""
        return list(self.network.parameters.values())

    def trainable(self) -> list[bool]:
        """Return which of `weights` are trained; the others are running statistics."""
        statistics = self.network.statistics
        return [name not in statistics for name in self.network.parameters]


def _convolution(kernels: int, kernel: int = 3, stride: int = 1, bias: bool = False) -> Any:
    return L.Convolution(kernels, kernel, stride=stride, padding=kernel // 2, bias=bias)


def _normalised(kernels: int, kernel: int = 3, stride: int = 1) -> list[Any]:
    return [_convolution(kernels, kernel, stride), L.BatchNormalisation(epsilon=1e-5)]


def mlp(*widths: int) -> tuple[Any, ...]:
    """Return linear layers with relu between."""
    made: list[Any] = []
    for n in widths[:-1]:
        made += [L.Linear(n), L.Relu()]
    return (*made, L.Linear(widths[-1]))


def lenet() -> tuple[Any, ...]:
    """Return LeNet in Caffe's form."""
    images = [L.Convolution(20, 5), L.MaxPooling(2), L.Relu()]
    images += [L.Convolution(50, 5), L.MaxPooling(2), L.Relu()]
    return (*images, *mlp(500, 10))


def convnet() -> tuple[Any, ...]:
    """Return three convolutions with batch normalisation and relu, a mean, a linear layer."""
    made: list[Any] = []
    for n in (32, 64, 128):
        made += [*_normalised(n), L.Relu()]
    return (*made, L.GlobalAveragePooling(), L.Linear(10))


SMALL_STEM = (*_normalised(64), L.Relu())  # for images of 32 x 32
STEM = (*_normalised(64, 7, 2), L.Relu(), L.MaxPooling(3, stride=2, padding=1))


def resnet(depth: int, stem: tuple[Any, ...], classes: int) -> tuple[Any, ...]:
    """Return ResNet-18 or -50 (He et al. 2016, table 1), which strides in the 3 x 3 convolution of a block."""
    made, given = list(stem), 64
    for stage, blocks in enumerate({18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]):
        n = 64 << stage
        out = n if depth == 18 else 4 * n
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            body = [
                *_normalised(n, 3, stride),
                L.Relu(),
                *_normalised(out, 3 if depth == 18 else 1),
            ]
            if depth == 50:
                body = [*_normalised(n, 1), L.Relu(), *body]
            changes = stride == 2 or given != out
            shortcut = L.Sequence(tuple(_normalised(out, 1, stride))) if changes else None
            made += [L.Residual(tuple(body), shortcut), L.Relu()]
            given = out
    return (*made, L.GlobalAveragePooling(), L.Linear(classes))


def vgg16() -> tuple[Any, ...]:
    """Return VGG16 (Simonyan and Zisserman 2015, configuration D) without its dropout: for inference."""
    made: list[Any] = []
    for n, times in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        made += [_convolution(n, bias=True), L.Relu()] * times + [L.MaxPooling(2)]
    return (*made, *mlp(4096, 4096, 1000))


DIGIT, PHOTO, LARGE = (1, 28, 28), (3, 32, 32), (3, 224, 224)
MLP = Workload("MLP 784-512-256-10", DIGIT, mlp(512, 256, 10))
WIDE_MLP = Workload("MLP 784-512-512-10", DIGIT, mlp(512, 512, 10))
LENET = Workload("LeNet", DIGIT, lenet())
CONVNET = Workload("3x3 convolutions 32-64-128", PHOTO, convnet(), "sgd")
RESNET = Workload("ResNet-18, 32x32", PHOTO, resnet(18, SMALL_STEM, 10), "sgd")
RESNET_18 = Workload("ResNet-18, 224x224", LARGE, resnet(18, STEM, 1000))
RESNET_50 = Workload("ResNet-50, 224x224", LARGE, resnet(50, STEM, 1000))
VGG = Workload("VGG16, 224x224", LARGE, vgg16())


@dataclass(frozen=True)
class Batch:
    """What a step is trained on."""

    images: np.ndarray  # [n, *shape] float32
    labels: np.ndarray  # [n] int64

    @staticmethod
    def of(size: int, shape: Sequence[int] = DIGIT) -> Batch:
        """Return the first `size` digits of MNIST, in 0..1, or noise about a level for each class."""
        if tuple(shape) != DIGIT:
            rng = np.random.default_rng(7)
            labels = rng.integers(0, 10, size)
            noise = rng.normal(size=(size, *shape)).astype(np.float32)
            levels = (labels / 5 - 1).astype(np.float32)
            return Batch(noise + levels.reshape(-1, *[1] * len(shape)), labels)
        from cortex import datasets

        digits = datasets.mnist("train")
        rows = next(iter(digits.batches(size)))
        images, labels = (np.asarray(rows[c]) for c in digits.columns)
        return Batch(images.reshape(size, *shape).astype(np.float32) / 255, labels.astype(np.int64))
