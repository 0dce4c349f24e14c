"""A regression that has an exact answer: corn yields from fertiliser and insecticide.

The least-squares plane 31.98 + 0.650 x1 + 1.110 x2 has a mean squared error of 1.367; training must
come within 5 % of it.
"""

import sys

import cortex
from cortex.datasets import Standardise, corn
from cortex.layers import Input, Linear
from cortex.metrics import mse
from cortex.optimise import Sgd

data = corn()
# Both amounts grow together and are far from 0: a long, narrow valley, in which a step size that
# does not leave it hardly moves along it. Mean 0 and deviation 1 make it short.
inputs, outputs = Standardise.fit(data["features"]), Standardise.fit(data["target"])
scaled = {
    "features": inputs.transform(data["features"]),
    "target": outputs.transform(data["target"]),
}

network = cortex.Network([("features", Input(2)), Linear(1)])
result = cortex.fit(network, scaled, optimiser=Sgd(0.5), epochs=500, batch_size=10, progress=False)

predicted = outputs.inverse(cortex.predict(result.network, scaled["features"]))
error = mse(data["target"], predicted)
print(f"mean squared error {error:.4f}, of the best plane 1.367")
sys.exit(error > 1.05 * 1.367)
