"""Layers: frozen dataclasses that hold plain data, registered under their class names.

| file | layers |
|---|---|
| `input` | `Input` |
| `linear` | `Linear`, `Embedding` |
| `convolution` | `Convolution`, `TransposedConvolution`, both also `...1D` |
| `pooling` | `MaxPooling`, `AveragePooling`, both also `...1D`; `Global...Pooling` |
| `activation` | `Relu` and its kin, `Prelu`, `Softmax`, `LogSoftmax`, any `Activation` |
| `noise` | `Dropout`, `GaussianNoise`, `MultiplicativeNoise` |
| `normalisation` | `BatchNormalisation`, `Layer...`, `Rms...`, `LocalResponse...` |
| `normaliser` | `Normaliser` |
| `shape` | `Identity`, `Flatten`, `Reshape`, `Transpose`, `Scale`, `Split` |
| `joining` | `Concatenate`, `Join`, `Function`, `Combine` |
| `composite` | `Sequence`, `Branches`, `Residual`, `Autoencoder` |
| `shorthands` | `linear_relu`, `linear_softmax`, `convolution_relu`, ... |

A layer of your own: a frozen dataclass with `parameters` and `forward` (see
`cortex.protocols.Layer`), decorated with `register`.
"""

from __future__ import annotations

from cortex.description import register_function
from cortex.layers.activation import (
    Activation,
    Elu,
    Gelu,
    LeakyRelu,
    Logistic,
    LogSoftmax,
    Prelu,
    Relu,
    Selu,
    Softmax,
    Softplus,
    Swish,
    Tanh,
)
from cortex.layers.base import (
    TYPES,
    Base,
    from_data,
    numbered,
    output_specs,
    outputs_of,
    register,
    to_data,
    type_name,
)
from cortex.layers.composite import Autoencoder, Branches, Residual, Sequence
from cortex.layers.convolution import (
    Convolution,
    Convolution1D,
    TransposedConvolution,
    TransposedConvolution1D,
)
from cortex.layers.input import Input
from cortex.layers.joining import Combine, Concatenate, Function, Join
from cortex.layers.linear import Embedding, Linear
from cortex.layers.noise import Dropout, GaussianNoise, MultiplicativeNoise
from cortex.layers.normalisation import (
    BatchNormalisation,
    LayerNormalisation,
    LocalResponseNormalisation,
    RmsNormalisation,
)
from cortex.layers.normaliser import Normaliser
from cortex.layers.pooling import (
    AveragePooling,
    AveragePooling1D,
    GlobalAveragePooling,
    GlobalMaxPooling,
    MaxPooling,
    MaxPooling1D,
)
from cortex.layers.shape import Flatten, Identity, Reshape, Scale, Split, Transpose
from cortex.layers.shorthands import (
    convolution_relu,
    linear_logistic,
    linear_relu,
    linear_selu,
    linear_softmax,
    linear_swish,
    linear_tanh,
)

__all__ = [
    "Activation", "Autoencoder", "AveragePooling", "AveragePooling1D", "Base", "BatchNormalisation",
    "Branches", "Combine", "Concatenate", "Convolution", "Convolution1D", "Dropout", "Elu",
    "Embedding", "Flatten", "Function", "GaussianNoise", "Gelu", "GlobalAveragePooling",
    "GlobalMaxPooling", "Identity", "Input", "Join", "LayerNormalisation", "LeakyRelu", "Linear",
    "LocalResponseNormalisation", "LogSoftmax", "Logistic", "MaxPooling", "MaxPooling1D",
    "MultiplicativeNoise", "Normaliser", "Prelu", "Relu", "Reshape", "Residual", "RmsNormalisation",
    "Scale", "Selu", "Sequence", "Softmax", "Softplus", "Split", "Swish", "TYPES", "Tanh",
    "Transpose", "TransposedConvolution", "TransposedConvolution1D", "convolution_relu",
    "from_data", "linear_logistic", "linear_relu", "linear_selu", "linear_softmax", "linear_swish",
    "linear_tanh", "numbered", "output_specs", "outputs_of", "register", "register_function",
    "to_data", "type_name",
]  # fmt: skip
