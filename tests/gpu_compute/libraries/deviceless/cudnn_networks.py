"""The cuDNN graphs of a training step and of inference of some networks, convolutional ones at a batch of 256.

Shapes are those of LeNet (LeCun et al. 1998, in Caffe's form), a small convnet of 3 x 3 kernels on 32 x 32 images, and
ResNet-18 and ResNet-50 (He et al. 2016, stride in the 3 x 3 kernels) on 224 x 224 images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cortex.compute.ops.window import Window
from cortex.gpu_compute.libraries import dnn

BATCH = 256


@dataclass(frozen=True)
class Layer:
    """A convolution of `size` x `size` kernels over [inputs, extent, extent]."""

    inputs: int
    outputs: int
    size: int
    extent: int
    stride: int = 1
    padding: int = 0
    first: bool = False  # reads the data: needs no gradient of its input
    biased: bool = False  # with bias and relu; else batch normalisation follows
    residual: bool = False  # that adds a shortcut before its relu
    relu: bool = True

    def graphs(self, dtype: str) -> Iterator[dnn.Description]:
        x = (BATCH, self.inputs, self.extent, self.extent)
        w = (self.outputs, self.inputs, self.size, self.size)
        window = Window.of(self.size, self.stride, self.padding)
        shared = {"window": window, "dtype": dtype}
        if self.biased:
            yield dnn.ConvolutionForward(x, w, **shared, bias=True, activation="relu")
        else:
            yield dnn.ConvolutionForward(x, w, **shared)
        # cuDNN keeps sums of 16 bits whole only where channels come in eights
        whole = "float32" if self.inputs % 8 == 0 else dtype
        yield dnn.ConvolutionKernelGradient(x, w, **shared, out_dtype=whole)
        if not self.first:
            yield dnn.ConvolutionInputGradient(x, w, **shared)
        if not self.biased:
            y = dnn.ConvolutionForward(x, w, window).y
            norm = {"epsilon": 1e-5, "dtype": dtype, "residual": self.residual}
            yield dnn.BatchNormTraining(y, **norm, relu=self.relu)
            yield dnn.BatchNormBackward(y, **norm, relu=self.relu)
            yield dnn.BatchNormInference(y, **norm, activation="relu" if self.relu else "none")


def lenet() -> Iterator[Layer]:
    yield Layer(1, 20, 5, 28, first=True, biased=True)
    yield Layer(20, 50, 5, 12, biased=True)


def convnet() -> Iterator[Layer]:
    yield Layer(3, 32, 3, 32, padding=1, first=True, biased=True)
    yield Layer(32, 64, 3, 16, padding=1, biased=True)
    yield Layer(64, 128, 3, 8, padding=1, biased=True)


def stem(channels: int) -> Layer:
    return Layer(channels, 64, 7, 224, stride=2, padding=3, first=True)


def resnet18() -> Iterator[Layer]:
    yield stem(3)
    extent, channels = 56, 64
    for width in (64, 128, 256, 512):
        stride = 1 if width == 64 else 2
        small = extent // stride
        yield Layer(channels, width, 3, extent, stride, 1)
        yield Layer(width, width, 3, small, 1, 1, residual=True)
        if stride > 1:
            yield Layer(channels, width, 1, extent, stride, relu=False)
        yield Layer(width, width, 3, small, 1, 1)
        extent, channels = small, width


def resnet50() -> Iterator[Layer]:
    yield stem(3)
    yield stem(8)  # the image padded to 8 channels, which spares a conversion
    extent, channels = 56, 64
    for width in (64, 128, 256, 512):
        stride = 1 if width == 64 else 2
        small = extent // stride
        yield Layer(channels, width, 1, extent)
        yield Layer(width, width, 3, extent, stride, 1)
        yield Layer(width, 4 * width, 1, small, residual=True)
        yield Layer(channels, 4 * width, 1, extent, stride, relu=False)
        yield Layer(4 * width, width, 1, small)
        yield Layer(width, width, 3, small, 1, 1)
        extent, channels = small, 4 * width


def _graphs(layers: Callable[[], Iterator[Layer]]) -> Callable[[str], list[dnn.Description]]:
    return lambda dtype: list(dict.fromkeys(g for layer in layers() for g in layer.graphs(dtype)))


def transformer(dtype: str) -> list[dnn.Description]:
    """Attention of GPT-2's smallest and of a wide model, over whole and odd lengths, with and without a causal mask."""
    shapes = [
        (16, 12, 1024, 1024, 64),
        (16, 8, 512, 512, 128),
        (32, 12, 197, 197, 64),
        (4, 16, 128, 1000, 64),
    ]
    kinds = (dnn.AttentionForward, dnn.AttentionBackward)
    return [kind(*s, dtype, causal) for kind in kinds for s in shapes for causal in (False, True)]


NETWORKS = {
    "lenet": _graphs(lenet),
    "convnet": _graphs(convnet),
    "resnet18": _graphs(resnet18),
    "resnet50": _graphs(resnet50),
    "transformer": transformer,
}
CONVOLUTIONAL = sorted(set(NETWORKS) - {"transformer"})
