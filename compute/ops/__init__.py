"""Ops by name: the primitives every backend binds, and the composites that decompose into them."""

from __future__ import annotations

from .convolution import Convolution, ConvolutionInputGradient, ConvolutionKernelGradient
from .gather import Gather, ScatterAdd
from .map import Map
from .matmul import MatMul
from .movement import Concatenate, Pad, Reshape, Slice, Transpose
from .pool import Pool, PoolGradient
from .random import Random
from .reduce import Reduce
from .scan import Scan
from .window import Window

PRIMITIVES = (
    Map, Reduce, MatMul, Convolution, ConvolutionInputGradient, ConvolutionKernelGradient, Pool, PoolGradient,
    Gather, ScatterAdd, Reshape, Transpose, Slice, Pad, Concatenate, Random, Scan,
)  # fmt: skip

__all__ = [
    "PRIMITIVES", "Concatenate", "Convolution", "ConvolutionInputGradient", "ConvolutionKernelGradient", "Gather",
    "Map", "MatMul", "Pad", "Pool", "PoolGradient", "Random", "Reduce", "Reshape", "ScatterAdd", "Scan", "Slice",
    "Transpose", "Window",
]  # fmt: skip
