"""Described networks by name: functions that return a `Network`, ready to train.

| name | what | parameters on MNIST |
|---|---|---|
| `lenet` | two convolutions, two linear layers | 431,080 |
| `lenet_normalised` | the same with batch normalisation and dropout | 431,220 |
| `mlp` | linear layers with relu between | 101,770 |
| `softmax_regression` | one linear layer | 7,850 |

All of them classify: they end in a softmax, and take images as bytes, which they scale to [0, 1] on
the device. To add one, write a function and add it to `MODELS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from cortex.compute.errors import DescriptionError, near
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
from cortex.network import Network

DIGITS = (1, 28, 28)  # channels, height, width of an MNIST image


def lenet(shape: Sequence[int] = DIGITS, classes: int = 10, seed: int = 0) -> Network:
    """Return LeNet in Caffe's form: convolutions of 20 and 50 kernels, linear layers of 500 and `classes`.

    `shape` is that of an image, uint8 [channels, height, width] of at least 16 x 16. After LeCun,
    Bottou, Bengio and Haffner 1998, with max-pooling and relu for the original's subsampling and tanh.
    """
    return Network(
        [
            ("image", _pixels(shape)),
            ("convolution1", Convolution(20, kernel=5)),
            ("pooling1", MaxPooling(2)),
            ("relu1", Relu()),
            ("convolution2", Convolution(50, kernel=5)),
            ("pooling2", MaxPooling(2)),
            ("relu2", Relu()),
            ("hidden", Linear(500)),
            ("relu3", Relu()),
            ("classes", Linear(classes)),
            ("probabilities", Softmax()),
        ],
        seed=seed,
    )


def lenet_normalised(shape: Sequence[int] = DIGITS, classes: int = 10, seed: int = 0) -> Network:
    """Return LeNet with batch normalisation behind both convolutions and dropout before the last layer.

    `shape` as for `lenet`. The arrangement is that of the digit example of cortex in Clojure, with
    its probability .9 of keeping a value behind the first normalisation and .5 before the end.
    """
    return Network(
        [
            ("image", _pixels(shape)),
            ("convolution1", Convolution(20, kernel=5)),
            ("pooling1", MaxPooling(2)),
            ("normalisation1", BatchNormalisation()),
            ("dropout1", Dropout(0.1)),
            ("relu1", Relu()),
            ("convolution2", Convolution(50, kernel=5)),
            ("pooling2", MaxPooling(2)),
            ("normalisation2", BatchNormalisation()),
            ("relu2", Relu()),
            ("hidden", Linear(500)),
            ("relu3", Relu()),
            ("dropout2", Dropout(0.5)),
            ("classes", Linear(classes)),
            ("probabilities", Softmax()),
        ],
        seed=seed,
    )


def mlp(
    shape: Sequence[int] = DIGITS, classes: int = 10, hidden: Sequence[int] = (128,), seed: int = 0
) -> Network:
    """Return linear layers of `hidden` sizes with relu behind each, then one of `classes`.

    `shape` is that of an example, uint8.
    """
    middle: list[Any] = []
    for number, units in enumerate(hidden, 1):
        middle += [(f"hidden{number}", Linear(units)), (f"relu{number}", Relu())]
    first = ("image", _pixels(shape))  # a linear layer takes the pixels as one row
    last = [("classes", Linear(classes)), ("probabilities", Softmax())]
    return Network([first, *middle, *last], seed=seed)


def softmax_regression(shape: Sequence[int] = DIGITS, classes: int = 10, seed: int = 0) -> Network:
    """Return one linear layer and a softmax (multinomial logistic regression); `shape` as for `mlp`."""
    return mlp(shape, classes, hidden=(), seed=seed)


MODELS: dict[str, Callable[..., Network]] = {
    "lenet": lenet,
    "lenet_normalised": lenet_normalised,
    "mlp": mlp,
    "softmax_regression": softmax_regression,
}


def by_name(name: str, **options: Any) -> Network:
    """Return the model of that name; `options` go to its function.

    Raises:
        DescriptionError: there is none; the message suggests the nearest.
    """
    if name not in MODELS:
        raise DescriptionError("model", [f"no model is named {name!r}{near(name, MODELS)}"])
    return MODELS[name](**options)


def _pixels(shape: Sequence[int]) -> Input:
    extents = tuple(int(n) for n in shape)
    if not extents or math.prod(extents) < 1:
        raise DescriptionError("model", [f"shape: expected that of an example, given {shape!r}"])
    return Input(extents, dtype="uint8", scale=1 / 255)
