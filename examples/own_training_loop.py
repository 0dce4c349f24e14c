"""The training loop in your own hands: the executables that `fit` uses, and nothing around them."""

import sys

import numpy as np

import cortex
from cortex.datasets import mnist
from cortex.models import mlp
from cortex.optimise import Adam

BATCH = 50

network, data = mlp(), mnist("train", subset=5000)
# One compiled step for one batch size. It holds parameters and optimiser state in its memory.
step = cortex.training_step(network, optimiser=Adam(), batch_size=BATCH, seed=0)
print(step.report.total // 1024, "KiB, known before the first number is computed")

for epoch in range(4):
    losses = []
    for batch in data.batches(BATCH, seed=0, epoch=epoch):
        step.write("image", batch["image"])
        step.write("label", batch["label"])
        step.run()
        losses.append(
            float(step.read("loss"))
        )  # reading waits for the device: leave it out for speed
    print(f"epoch {epoch + 1}  loss {np.mean(losses):.4f}")

# The same memory, another program: this sees the weights as they are now, without a copy.
answers = cortex.inference(network, batch_size=1000, memory=step.memory)
test = mnist("test", subset=1000)
answers.write("image", test["image"])
answers.run()
accuracy = float(np.mean(answers.read("output").argmax(1) == test["label"]))
trained = cortex.parameters_of(step, network)  # a network again: a value that can be kept
print(
    f"test accuracy {accuracy:.4f}, largest weight {abs(trained.parameters['classes.weights']).max():.2f}"
)
sys.exit(accuracy < 0.85)
