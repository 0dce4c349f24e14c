"""Exclusive or, the smallest problem that one layer cannot solve: 2-3-1 with logistic units."""

import sys

import numpy as np

import cortex
from cortex.datasets import xor
from cortex.layers import Input, Linear, Logistic
from cortex.losses import BinaryCrossEntropy
from cortex.optimise import Sgd

network = cortex.Network(
    [("features", Input(2)), Linear(3), Logistic(), Linear(1), Logistic()],
    seed=1,  # three hidden units can get stuck: of the seeds 0 to 9, 2 does
)
# The cross-entropy of a logistic unit keeps its gradient where the unit is sure and wrong; the
# squared error would lose it.
result = cortex.fit(
    network,
    xor(),
    loss=BinaryCrossEntropy(),
    optimiser=Sgd(0.5),
    epochs=1000,
    batch_size=1,
    progress=False,
)

answers = cortex.predict(result.network, xor())
for (a, b), answer in zip(xor()["features"], answers[:, 0], strict=True):
    print(f"{a:.0f} xor {b:.0f} = {answer:.3f}")
accuracy = float(np.mean((answers > 0.5) == (xor()["target"] > 0.5)))
print(f"accuracy {accuracy}")
sys.exit(accuracy < 1)
