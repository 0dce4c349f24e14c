"""One description of each kind for cuDNN, of shapes that have nothing even about them."""

from __future__ import annotations

from cortex.compute.ops.window import Window
from cortex.gpu_compute.libraries import dnn

IMAGES, KERNELS, WINDOW = (3, 4, 7, 6), (6, 2, 3, 2), Window.of((3, 2), (2, 1), ((1, 0), (1, 2)))
DESCRIPTIONS = [
    dnn.ConvolutionForward(IMAGES, KERNELS, WINDOW, 2, bias=True, activation="relu"),
    dnn.ConvolutionInputGradient(IMAGES, KERNELS, WINDOW, 2),
    dnn.ConvolutionKernelGradient(IMAGES, KERNELS, WINDOW, 2, "float16", "float32"),
    dnn.BatchNormTraining(IMAGES, 1e-3, residual=True, relu=True),
    dnn.BatchNormInference(IMAGES, 1e-3, "bfloat16"),
    dnn.BatchNormBackward(IMAGES, 1e-3, residual=True, relu=True),
    dnn.RowNormTraining(5, 8, 1e-3),
    dnn.RowNormBackward(5, 8, 1e-3, "rms"),
    dnn.AttentionForward(2, 3, 5, 7, 8, causal=True),
    dnn.AttentionBackward(2, 3, 5, 7, 8),
]
