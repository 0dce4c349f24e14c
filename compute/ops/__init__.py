"""Ops by name: the primitives every backend binds, and the composites that decompose into them."""

from __future__ import annotations

from .all_reduce import AllReduce, SharedBatchNormalisation
from .attention import Attention, AttentionGradient
from .convolution import Convolution, ConvolutionInputGradient, ConvolutionKernelGradient
from .dropout import Dropout
from .embedding import Embedding
from .gather import Gather, ScatterAdd
from .linear import BiasedConvolution, Linear
from .lrn import LocalResponseNormalisation
from .map import Map
from .matmul import MatMul
from .movement import Concatenate, Pad, Reshape, Slice, Transpose
from .normalisation import (
    BatchNormalisation,
    BatchNormalisationGradient,
    LayerNormalisation,
    Normalisation,
    RmsNormalisation,
)
from .pool import Pool, PoolGradient
from .random import Random
from .reduce import Reduce
from .scan import Scan
from .softmax import LogSoftmax, Softmax, SoftmaxCrossEntropy
from .stop_gradient import StopGradient
from .window import Window

PRIMITIVES = (
    Map, Reduce, MatMul, Convolution, ConvolutionInputGradient, ConvolutionKernelGradient, Pool, PoolGradient,
    Gather, ScatterAdd, Reshape, Transpose, Slice, Pad, Concatenate, Random,
)  # fmt: skip

COMPOSITES = (
    Softmax, LogSoftmax, SoftmaxCrossEntropy, BatchNormalisation, Normalisation, LayerNormalisation, RmsNormalisation,
    LocalResponseNormalisation, Dropout, Linear, BiasedConvolution, Embedding, StopGradient, Scan,
    AllReduce, SharedBatchNormalisation, BatchNormalisationGradient, Attention, AttentionGradient,
)  # fmt: skip

__all__ = [
    "COMPOSITES", "PRIMITIVES", "AllReduce", "Attention", "AttentionGradient", "BatchNormalisation",
    "BatchNormalisationGradient", "BiasedConvolution", "Concatenate", "Convolution", "ConvolutionInputGradient",
    "ConvolutionKernelGradient", "Dropout", "Embedding", "Gather", "LayerNormalisation", "Linear",
    "LocalResponseNormalisation", "LogSoftmax", "Map", "MatMul", "Normalisation", "Pad", "Pool", "PoolGradient",
    "Random", "Reduce", "Reshape", "RmsNormalisation", "Scan", "ScatterAdd", "SharedBatchNormalisation", "Slice",
    "Softmax", "SoftmaxCrossEntropy", "StopGradient", "Transpose", "Window",
]  # fmt: skip
