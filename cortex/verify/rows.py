"""The table of layers: one row or more for each registered type. To cover a new layer, add a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.spec import Shape
from cortex.layers import (
    Activation,
    Autoencoder,
    AveragePooling,
    AveragePooling1D,
    BatchNormalisation,
    Branches,
    Combine,
    Concatenate,
    Convolution,
    Convolution1D,
    Dropout,
    Elu,
    Embedding,
    Flatten,
    Function,
    GaussianNoise,
    Gelu,
    GlobalAveragePooling,
    GlobalMaxPooling,
    Identity,
    Input,
    Join,
    LayerNormalisation,
    LeakyRelu,
    Linear,
    LocalResponseNormalisation,
    Logistic,
    LogSoftmax,
    MaxPooling,
    MaxPooling1D,
    MultiplicativeNoise,
    Normaliser,
    Prelu,
    Relu,
    Reshape,
    Residual,
    RmsNormalisation,
    Scale,
    Selu,
    Sequence,
    Softmax,
    Softplus,
    Split,
    Swish,
    Tanh,
    Transpose,
    TransposedConvolution,
    TransposedConvolution1D,
    register_function,
)
from cortex.network import Network
from cortex.protocols import Layer


@dataclass(frozen=True)
class Row:
    """A layer and what it is checked with.

    `shapes` are those of its inputs without the batch, `dtype` theirs: integers are indices below
    `indices`. `stopped`: training treats the input as a constant somewhere, so that differences
    with respect to it are no gradient. `factor` is on the tolerance; say why beside it.
    """

    layer: Layer
    shapes: tuple[Shape, ...]
    dtype: str = "float32"
    indices: int = 7
    stopped: bool = False
    factor: float = 1.0

    @property
    def name(self) -> str:
        """The layer and the shapes of its inputs."""
        listed = ", ".join("x".join(map(str, s)) for s in self.shapes)
        return f"{self.layer} of {listed}"

    def network(self, dtype: str, slopes: bool = False) -> Network:
        """Return the layer as a network with inputs `x0`, `x1`, ... and no two parameters alike.

        With `slopes`, a trained slope for each element stands behind each float input, so that
        every layer has something before it that is trained through it.
        """
        items: list[Any] = []
        parents = []
        for i, shape in enumerate(self.shapes):
            is_input = isinstance(self.layer, Input)
            items.append((f"x{i}", self.layer if is_input else Input(shape, dtype=self.dtype)))
            if slopes and (is_input or self.dtype == "float32"):
                items.append((f"slope{i}", Prelu(0.5, per="element")))
            parents.append(items[-1][0])
        if isinstance(self.layer, Input):
            items.append(("layer", Identity()))
        else:
            from cortex.network import node

            items.append(node(self.layer, "layer", parents))
        network = Network(items, dtype=dtype)
        generator = np.random.default_rng(5)
        arrays = {}
        for name, spec in network.parameter_specs.items():
            arrays[name] = generator.normal(0.2, 0.7, spec.shape)
            if name.endswith(("variance", "square")):
                arrays[name] = 12 + np.abs(arrays[name])
        return network.with_parameters(arrays)

    def columns(self, batch: int, seed: int = 0) -> dict[str, np.ndarray]:
        """Return an array for each input, in float64 or integers."""
        generator = np.random.default_rng(seed)
        found = {}
        for i, shape in enumerate(self.shapes):
            size = (batch, *shape)
            if self.dtype == "float32":
                found[f"x{i}"] = generator.normal(0.3, 1.2, size)
            else:
                found[f"x{i}"] = generator.integers(0, self.indices, size).astype(self.dtype)
        return found


def _times_its_sum(x: Any) -> Any:
    return x * reduce_axes(x.program, "sum", x, 1, keep=True)


def _softsign(x: Any) -> Any:
    from cortex.compute import math as m

    return x / (1 + m.absolute(x))


def _difference_of_products(a: Any, b: Any) -> Any:
    return a * b - b


for _function in (_times_its_sum, _softsign, _difference_of_products):
    register_function(f"verify.{_function.__name__[1:]}", _function)

IMAGE, SERIES = (3, 7, 5), (4, 9)
ROWS = (
    Row(Input(3, 5), ((3, 5),)),
    Row(Input(5, scale=0.5, offset=-2.0), ((5,),)),
    Row(Input(2, 3, dtype="uint8", scale=1 / 255), ((2, 3),), "uint8", 256),
    Row(Input(4, dtype="bool", offset=-0.5), ((4,),), "bool", 2),
    Row(Linear(4), ((5,),)),
    Row(Linear(4, bias=False), (IMAGE,)),
    Row(Linear(4, axes="last"), ((2, 3, 5),)),
    Row(Embedding(7, 3), ((5,),), "int32"),
    Row(Embedding(7, 3, padding_index=2), ((2, 4),), "int64"),
    Row(Convolution(4, 3), (IMAGE,)),
    Row(Convolution(6, (3, 2), (2, 1), ((1, 0), 2), (1, 2), groups=3), (IMAGE,)),
    Row(Convolution(2, 4, stride=2, padding="same", bias=False), (IMAGE,)),
    Row(Convolution(17, 1), ((5, 3, 2),)),
    Row(Convolution1D(3, 4, padding="same"), (SERIES,)),
    Row(TransposedConvolution(4, 3, stride=2, padding=1, output_padding=(1, 0)), (IMAGE,)),
    Row(TransposedConvolution(4, (2, 3), padding=((0, 1), 0), groups=2, bias=False), ((6, 4, 3),)),
    Row(TransposedConvolution1D(2, 5, stride=3, padding="same"), (SERIES,)),
    Row(MaxPooling(2), (IMAGE,)),
    Row(MaxPooling(3, 2, 1, "ceil"), ((2, 6, 5),)),
    Row(MaxPooling((3, 2), stride=1, padding="same"), (IMAGE,)),
    Row(MaxPooling1D(4, 3), (SERIES,)),
    Row(AveragePooling(3, 2, 1), (IMAGE,)),
    Row(AveragePooling((2, 3), 2, (0, 1), "ceil", count_padding=True), (IMAGE,)),
    Row(AveragePooling1D(4, 2, padding=2), (SERIES,)),
    Row(GlobalMaxPooling(), (IMAGE,)),
    Row(GlobalAveragePooling(), (SERIES,)),
    Row(Relu(), (IMAGE,)),
    Row(LeakyRelu(), ((5,),)),
    Row(Elu(1.5), ((5,),)),
    Row(Selu(), ((5,),)),
    Row(Gelu(), ((5,),)),
    Row(Gelu("tanh"), ((5,),)),
    Row(Swish(1.5), ((5,),)),
    Row(Softplus(2.0), ((5,),)),
    Row(Logistic(), ((5,),)),
    Row(Tanh(), ((257,),)),
    Row(Activation("verify.softsign"), (IMAGE,)),
    Row(Prelu(), (IMAGE,)),
    Row(Prelu(per="element"), ((3, 2),)),
    Row(Softmax(), ((5,),)),
    Row(Softmax(-1), ((3, 4),)),
    Row(LogSoftmax(), (IMAGE,)),
    Row(Dropout(0.3), ((40,),)),
    Row(Dropout(0.3, "gaussian"), ((3, 5),)),
    Row(GaussianNoise(0.2), ((3, 5),)),
    Row(MultiplicativeNoise(0.7, 0.3), ((30,),)),
    Row(BatchNormalisation(), (IMAGE,)),
    Row(BatchNormalisation(0.5, 1e-2, "element"), ((2, 3),)),
    Row(LayerNormalisation(), ((4, 5),)),
    Row(LayerNormalisation((1, -1), 1e-3), (IMAGE,)),
    Row(RmsNormalisation(), ((4, 5),)),
    Row(LocalResponseNormalisation(4, 1.5, 0.3), ((6, 3, 2),)),
    Row(LocalResponseNormalisation(), ((7,),)),
    Row(Normaliser(0.1, 0.5), ((3, 2),)),
    Row(Identity(), (IMAGE,)),
    Row(Flatten(), (IMAGE,)),
    Row(Reshape((5, -1, 3)), (IMAGE,)),
    Row(Transpose((3, 1, 2)), (IMAGE,)),
    Row(Scale((2.0, 3.0), 1.0), ((3, 2),)),
    Row(Split((2, 1, 4)), ((7, 3),)),
    Row(Split((2, 3), axis=-1), ((4, 5),)),
    Row(Concatenate(), ((2, 3), (4, 3), (1, 3))),
    Row(Concatenate(-1), ((2, 3), (2, 1))),
    Row(Join(), ((3, 2), (5, 2), (4, 2))),
    Row(Join("*"), ((3,), (5,), (4,))),
    Row(Function("verify.times_its_sum"), ((5,),)),
    Row(Combine("verify.difference_of_products"), ((5,), (5,))),
    Row(Sequence((Linear(4), Tanh(), Sequence((Linear(3, bias=False),)))), ((2, 3),)),
    Row(Branches((Linear(2), Sequence((Linear(3), Linear(2))), Tanh())), ((4,),)),
    Row(Residual((Tanh(),)), ((2, 3),)),
    Row(Residual((Linear(4),), shortcut=Linear(4, bias=False)), ((5,),)),
    Row(Autoencoder(Linear(3), Sequence((Linear(5), Tanh())), 0.5), ((5,),), stopped=True),
)
