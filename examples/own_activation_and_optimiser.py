"""Your own activation and your own optimiser: ordinary functions, compiled like the built-in ones."""

import sys
from dataclasses import dataclass

import numpy as np

import cortex
from cortex.compute import math as m
from cortex.datasets import Standardise, holdout, iris
from cortex.layers import Activation, Input, Linear, Softmax


def bump(x):
    """A bell around 0. It is differentiated symbolically and fused into the step that computes x."""
    return m.exp(-x * x)


@dataclass(frozen=True)
class SignDescent:
    """Steps of one length along the sign of the averaged gradient, shorter as time goes on.

    `update` is called once with symbols, and becomes one compiled pass over all parameters; called
    with arrays it computes, so it can be tried out at a prompt.
    """

    step_size: float = 0.05
    decay: float = 0.9

    def initialise(self, count):
        """Return the state before the first step: vectors like the parameters, and scalars."""
        return {"average": np.zeros(count), "num_steps": np.zeros(())}

    def update(self, state, parameters, gradient):
        """Return the parameters and the state after a step."""
        average = self.decay * state["average"] + (1 - self.decay) * gradient
        steps = state["num_steps"] + 1
        length = self.step_size / m.sqrt(steps)
        direction = average / (m.absolute(average) + 1e-8)
        return parameters - length * direction, {"average": average, "num_steps": steps}


training, test = holdout(iris(), 0.3, seed=0, stratify="label")
scaling = Standardise.fit(training["features"])


def scaled(data):
    """Return the columns with mean 0 and deviation 1, by the statistics of the training set."""
    return {"features": scaling.transform(data["features"]), "label": data["label"]}


network = cortex.Network(
    [("features", Input(4)), Linear(16), Activation(bump), Linear(3), Softmax()]
)
result = cortex.fit(
    network, scaled(training), test=scaled(test), optimiser=SignDescent(), epochs=40, batch_size=16, progress=False
)  # fmt: skip

accuracy = result.metrics["test_accuracy"]
print(f"test accuracy {accuracy:.4f} on {len(test)} flowers")
sys.exit(accuracy < 0.9)
