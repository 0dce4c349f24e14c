"""What is asked of cuDNN, as data: convolutions, normalisations and attention of fixed shapes.

A description names its operands: `inputs` and `outputs` give shape and dtype of each. Shapes are logical, images
[N, C, *S] and kernels [O, C/groups, *K], as everywhere in cortex; in memory both are channels-last (N, *S, C and O, *K,
C/groups, dense), because cuDNN turns anything else into that through a buffer as large as the operand. Statistics,
scale and bias are vectors [C].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from cortex.compute.errors import BackendError, ShapeError, near
from cortex.compute.ops.window import Window
from cortex.compute.spec import Shape

from .products import ITEM_BYTES

Activation = Literal["none", "relu", "tanh", "sigmoid", "elu", "gelu", "swish"]
"""`gelu` is the tanh approximation."""
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Operand:
    """Shape and dtype of an operand; `channels_last` says that axis 1 is the innermost in memory.

    The dtype `bits` packs 8 elements in a byte.
    """

    shape: Shape
    dtype: str
    channels_last: bool = False

    @property
    def bytes(self) -> int:
        """Bytes of the operand, dense."""
        count = math.prod(self.shape)
        return -(-count // 8) if self.dtype == "bits" else count * ITEM_BYTES[self.dtype]

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements between neighbours along each axis."""
        rank = len(self.shape)
        order = [0, *range(2, rank), 1] if self.channels_last else list(range(rank))
        strides, step = [0] * rank, 1
        for axis in reversed(order):
            strides[axis], step = step, step * self.shape[axis]
        return tuple(strides)


class Description(Protocol):
    """A frozen dataclass that says what to compute; its operands by name, in order."""

    @property
    def dtype(self) -> str:
        """What it computes in: that of images, rows or heads."""
        ...

    @property
    def inputs(self) -> dict[str, Operand]:
        """Operands that are read."""
        ...

    @property
    def outputs(self) -> dict[str, Operand]:
        """Operands that are written."""
        ...


@dataclass(frozen=True)
class Convolving:
    """What the three convolutions share: shapes of x and w, window, groups, dtype."""

    x: Shape
    w: Shape
    window: Window
    groups: int = 1
    dtype: str = "float32"

    def __post_init__(self) -> None:
        name, rank = type(self).__name__, self.window.rank + 2
        _check_dtype(name, self.dtype)
        if self.window.rank not in (1, 2, 3):
            raise ShapeError(f"{name}: expected 1 to 3 spatial axes, given {self.window.rank}")
        fits = len(self.x) == len(self.w) == rank and self.w[2:] == self.window.size
        if not fits or self.x[1] != self.w[1] * self.groups or self.w[0] % self.groups:
            raise ShapeError(
                f"{name}: expected x [N, C, *S] and w [O, C/groups, *K] for a window of size {self.window.size} "
                f"and {self.groups} groups, given {self.x} and {self.w}"
            )

    @property
    def y(self) -> Shape:
        """Shape of the output of the forward pass."""
        out = self.window.output(type(self).__name__, self.x[2:])
        return (self.x[0], self.w[0], *out)

    def _image(self, shape: Shape) -> Operand:
        return Operand(shape, self.dtype, channels_last=True)


@dataclass(frozen=True)
class ConvolutionForward(Convolving):
    """y = activation(x * w + bias); cross-correlation, as `cortex.compute.ops.Convolution`."""

    bias: bool = False
    activation: Activation = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_activation("ConvolutionForward", self.activation)

    @property
    def inputs(self) -> dict[str, Operand]:
        """The operands x, w and, where it has one, bias [O]."""
        found = {"x": self._image(self.x), "w": self._image(self.w)}
        return found | ({"bias": Operand((self.w[0],), self.dtype)} if self.bias else {})

    @property
    def outputs(self) -> dict[str, Operand]:
        """The operand y."""
        return {"y": self._image(self.y)}


@dataclass(frozen=True)
class ConvolutionInputGradient(Convolving):
    """dx from dy and w, where x is the shape of the input."""

    @property
    def inputs(self) -> dict[str, Operand]:
        """The operands dy and w."""
        return {"dy": self._image(self.y), "w": self._image(self.w)}

    @property
    def outputs(self) -> dict[str, Operand]:
        """The operand dx."""
        return {"dx": self._image(self.x)}


@dataclass(frozen=True)
class ConvolutionKernelGradient(Convolving):
    """dw from x and dy, summed over the batch; `out_dtype` float32 keeps the sums of 16-bit operands whole."""

    out_dtype: str | None = None

    @property
    def inputs(self) -> dict[str, Operand]:
        """The operands x and dy."""
        return {"x": self._image(self.x), "dy": self._image(self.y)}

    @property
    def outputs(self) -> dict[str, Operand]:
        """The operand dw."""
        return {"dw": Operand(self.w, self.out_dtype or self.dtype, channels_last=True)}


@dataclass(frozen=True)
class Normalising:
    """What the batch normalisations share: shape of x, epsilon, dtype."""

    x: Shape
    epsilon: float
    dtype: str = "float32"

    def __post_init__(self) -> None:
        name = type(self).__name__
        _check_dtype(name, self.dtype)
        if len(self.x) < 2:
            raise ShapeError(f"{name}: expected x [N, C, *S], given {self.x}")

    def _vector(self) -> Operand:
        return Operand((self.x[1],), "float32")

    def _image(self) -> Operand:
        return Operand(self.x, self.dtype, channels_last=True)

    def _mask(self) -> Operand:
        return Operand(self.x, "bits", channels_last=True)


@dataclass(frozen=True)
class BatchNormTraining(Normalising):
    """y = relu?(scale (x - mean) inverse + bias [+ residual]) with the statistics of x over all axes but 1.

    `inverse` is 1 / sqrt(variance + epsilon), the variance that of the batch, divided by its count. `next_mean` =
    momentum running_mean + (1 - momentum) mean; `next_variance` likewise, from the variance divided by count - 1; each
    may have the address of the running value it follows. With `relu`, `mask` keeps one bit per element, whether y > 0,
    for the backward pass: bytes of 8 elements each, in the order of y. Ioffe and Szegedy 2015, algorithm 1.
    """

    momentum: float = 0.9
    residual: bool = False
    relu: bool = False

    @property
    def inputs(self) -> dict[str, Operand]:
        """The operands x, scale, bias, running_mean, running_variance and, where it has one, residual."""
        names = ("scale", "bias", "running_mean", "running_variance")
        found = {"x": self._image(), **{name: self._vector() for name in names}}
        return found | ({"residual": self._image()} if self.residual else {})

    @property
    def outputs(self) -> dict[str, Operand]:
        """The operands y, mean, inverse, next_mean, next_variance and, with `relu`, mask."""
        names = ("mean", "inverse", "next_mean", "next_variance")
        found = {"y": self._image(), **{name: self._vector() for name in names}}
        return found | ({"mask": self._mask()} if self.relu else {})


@dataclass(frozen=True)
class BatchNormInference(Normalising):
    """y = activation(scale (x - mean) inverse + bias [+ residual]) with given statistics."""

    residual: bool = False
    activation: Activation = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_activation("BatchNormInference", self.activation)

    @property
    def inputs(self) -> dict[str, Operand]:
        """The operands x, mean, inverse, scale, bias and, where it has one, residual."""
        vectors = {name: self._vector() for name in ("mean", "inverse", "scale", "bias")}
        found = {"x": self._image(), **vectors}
        return found | ({"residual": self._image()} if self.residual else {})

    @property
    def outputs(self) -> dict[str, Operand]:
        """The operand y."""
        return {"y": self._image()}


@dataclass(frozen=True)
class BatchNormBackward(Normalising):
    """dx, dscale and dbias from dy and what the forward pass kept.

    With `relu`, dy passes only where the mask of the forward pass says so; with `residual` too, what passes is an
    output as well, the gradient of the residual.
    """

    residual: bool = False
    relu: bool = False

    @property
    def inputs(self) -> dict[str, Operand]:
        """The operands dy, x, scale, mean, inverse and, with `relu`, mask."""
        vectors = {name: self._vector() for name in ("scale", "mean", "inverse")}
        found = {"dy": self._image(), "x": self._image(), **vectors}
        return found | ({"mask": self._mask()} if self.relu else {})

    @property
    def outputs(self) -> dict[str, Operand]:
        """The operands dx, dscale, dbias and, with `relu` and `residual`, dresidual."""
        found = {"dx": self._image(), "dscale": self._vector(), "dbias": self._vector()}
        return found | ({"dresidual": self._image()} if self.relu and self.residual else {})


@dataclass(frozen=True)
class _RowNormalising:
    rows: int
    width: int
    epsilon: float
    kind: Literal["layer", "rms"] = "layer"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        _check_dtype(type(self).__name__, self.dtype)
        if self.kind not in ("layer", "rms"):
            raise ShapeError(
                f"{type(self).__name__}: unknown kind {self.kind!r}; known: layer, rms"
            )

    def _matrix(self) -> Operand:
        return Operand((self.rows, self.width), self.dtype)

    def _vector(self) -> Operand:
        return Operand((self.width,), "float32")

    def _statistics(self) -> dict[str, Operand]:
        names = ("mean", "inverse") if self.kind == "layer" else ("inverse",)
        return {name: Operand((self.rows,), "float32") for name in names}


@dataclass(frozen=True)
class RowNormTraining(_RowNormalising):
    """y = scale (x - mean) inverse + bias for each row of x [rows, width]; `rms`: y = scale x inverse.

    Ba, Kiros and Hinton 2016; Zhang and Sennrich 2019.
    """

    @property
    def inputs(self) -> dict[str, Operand]:
        """The operands x, scale and, for `layer`, bias."""
        names = ("scale", "bias") if self.kind == "layer" else ("scale",)
        return {"x": self._matrix(), **{name: self._vector() for name in names}}

    @property
    def outputs(self) -> dict[str, Operand]:
        """The operands y, mean (`layer` only) and inverse."""
        return {"y": self._matrix(), **self._statistics()}


@dataclass(frozen=True)
class RowNormBackward(_RowNormalising):
    """dx, dscale and, for `layer`, dbias from dy and what the forward pass kept."""

    @property
    def inputs(self) -> dict[str, Operand]:
        """The operands dy, x, scale, mean (`layer` only) and inverse."""
        return {
            "dy": self._matrix(),
            "x": self._matrix(),
            "scale": self._vector(),
            **self._statistics(),
        }

    @property
    def outputs(self) -> dict[str, Operand]:
        """The operands dx, dscale and, for `layer`, dbias."""
        names = ("dscale", "dbias") if self.kind == "layer" else ("dscale",)
        return {"dx": self._matrix(), **{name: self._vector() for name in names}}


@dataclass(frozen=True)
class _Attending:
    batch: int
    heads: int
    queries: int
    keys: int
    width: int
    dtype: str = "bfloat16"
    causal: bool = False
    scale: float | None = None  # None: 1 / sqrt(width)
    transposed: bool = True  # held [batch, time, heads, width]; else [batch, heads, time, width]

    def __post_init__(self) -> None:
        _check_dtype(type(self).__name__, self.dtype)

    @property
    def factor(self) -> float:
        """What products of queries and keys are multiplied by."""
        return self.width**-0.5 if self.scale is None else self.scale

    def _heads(self, time: int) -> Operand:
        middle = (time, self.heads) if self.transposed else (self.heads, time)
        return Operand((self.batch, *middle, self.width), self.dtype)

    def _named(self, names: str) -> dict[str, Operand]:
        times = {"q": self.queries, "o": self.queries, "k": self.keys, "v": self.keys}
        return {name: self._heads(times[name[-1]]) for name in names.split()}

    def _logarithms(self) -> dict[str, Operand]:
        return {"logarithms": Operand((self.batch, self.heads, self.queries), "float32")}


@dataclass(frozen=True)
class AttentionForward(_Attending):
    """o = softmax(scale q k^T) v for each head; `logarithms` are the log of the softmax's sums, for the backward pass.

    With `causal`, query i sees keys 0 to i. Vaswani et al. 2017, equation 1.
    """

    @property
    def inputs(self) -> dict[str, Operand]:
        """The operands q, k and v."""
        return self._named("q k v")

    @property
    def outputs(self) -> dict[str, Operand]:
        """The operands o and logarithms [batch, heads, queries]."""
        return self._named("o") | self._logarithms()


@dataclass(frozen=True)
class AttentionBackward(_Attending):
    """dq, dk and dv from do and what the forward pass read and wrote."""

    @property
    def inputs(self) -> dict[str, Operand]:
        """The operands q, k, v, o, do and logarithms."""
        return self._named("q k v o do") | self._logarithms()

    @property
    def outputs(self) -> dict[str, Operand]:
        """The operands dq, dk and dv."""
        return self._named("dq dk dv")


def check_addresses(description: Description, addresses: Mapping[str, int]) -> None:
    """Raise BackendError unless there is one address, not 0, for each operand and for nothing else."""
    wanted = {**description.inputs, **description.outputs}
    wrong = [f"no address of {n}" for n in wanted if not addresses.get(n)]
    wrong += [f"an address of {n}, which is no operand" for n in addresses if n not in wanted]
    if wrong:
        raise BackendError(
            f"{type(description).__name__}: {'; '.join(wrong)}; expected {', '.join(wanted)}"
        )


def _check_dtype(operation: str, dtype: str) -> None:
    if dtype not in DTYPES:
        raise ShapeError(
            f"{operation}: cuDNN computes in {', '.join(DTYPES)}, given {dtype!r}; "
            "use the own kernels of the backend for other dtypes"
        )


def _check_activation(operation: str, activation: str) -> None:
    if activation not in get_args(Activation):
        known = get_args(Activation)
        raise ShapeError(f"{operation}: unknown activation {activation!r}{near(activation, known)}")
