"""Two outputs of one network with losses of their own: which digit it is, and how much ink it has."""

import sys

import numpy as np

import cortex
from cortex.datasets import mnist
from cortex.layers import Input, Linear, Relu, Softmax
from cortex.losses import CategoricalCrossEntropy, MeanSquaredError
from cortex.metrics import accuracy, r2


def with_ink(split, count):
    """The images, their labels, and the share of ink in each, a number to predict."""
    data = mnist(split, subset=count)
    ink = data["image"].mean(axis=(1, 2, 3), dtype=np.float32) / 255
    # In tenths: errors of about 1, like those of the cross-entropy, so that neither drowns the other.
    return {"image": data["image"], "label": data["label"], "ink": 10 * ink[:, np.newaxis]}


network = cortex.Network([
    ("image", Input(1, 28, 28, dtype="uint8", scale=1 / 255)),
    ("shared", Linear(128)), ("relu", Relu()),
    ("logits", Linear(10)), ("digit", Softmax()),
    cortex.node(Linear(1), "ink_share", parents="relu"),
])  # fmt: skip

result = cortex.fit(
    network,
    with_ink("train", 6000),
    target={"digit": "label", "ink_share": "ink"},
    loss={
        "digit": CategoricalCrossEntropy(),
        "ink_share": (MeanSquaredError(), 0.5),
    },  # 0.5: its weight
    epochs=4,
    progress=False,
)

test = with_ink("test", 2000)
answers = cortex.predict(result.network, test["image"])
right = accuracy(test["label"], answers["digit"].argmax(1))
explained = r2(test["ink"][:, 0], answers["ink_share"][:, 0])
print(f"digits right {right:.4f}, variance of ink explained {explained:.4f}")
sys.exit(right < 0.88 or explained < 0.9)
