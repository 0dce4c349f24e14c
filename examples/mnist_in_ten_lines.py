"""Digits in ten lines: a network as a list of layers, trained and measured."""

import sys

import cortex
from cortex.datasets import mnist
from cortex.layers import Convolution, Input, Linear, MaxPooling, Relu, Softmax

network = cortex.Network([
    Input(1, 28, 28, dtype="uint8", scale=1 / 255),  # bytes travel as bytes, and are scaled on the device
    Convolution(16, kernel=5), MaxPooling(2), Relu(),
    Convolution(32, kernel=5), MaxPooling(2), Relu(),
    Linear(10), Softmax(),
])  # fmt: skip
# 6,000 of the 60,000 images, so that this takes seconds; the whole set reaches 99 %.
result = cortex.fit(network, mnist("train", subset=6000), test=mnist("test", subset=2000), epochs=3)

accuracy = result.metrics["test_accuracy"]
print(f"test accuracy {accuracy:.4f}")
sys.exit(accuracy < 0.93)
