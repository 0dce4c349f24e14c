"""Convolutions of images [N, C, H, W] and of series [N, C, T], and their transposes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cortex.build import Build
from cortex.compute import ops
from cortex.compute.errors import DescriptionError, ShapeError
from cortex.compute.ops.reduce import reshape_to
from cortex.compute.program import Value
from cortex.compute.spec import Shape, Spec
from cortex.initialisers import INITIALISER, Transposed, Zeros
from cortex.layers.base import Base, automatic, padding_rule, per_axis, register
from cortex.protocols import Initialiser, Parameter
from cortex.rules import COUNT, FLAG, Rule, check

Extent = int | tuple[int, ...]
AXES = {1: "batch, channels, time", 2: "batch, channels, height, width"}


class _Convolving(Base):
    """What convolutions and their transposes share: the rules of their fields and the window."""

    rank: ClassVar[int] = 2
    rectifies: ClassVar[bool | None] = False
    kernels: int
    kernel: Extent
    stride: Extent
    padding: Any
    dilation: Extent
    groups: int

    def _check(self, **more: Rule) -> None:
        rules = {n: per_axis(self.rank) for n in ("kernel", "stride", "dilation")}
        rules |= {"padding": padding_rule(self.rank), "groups": COUNT, "bias": FLAG}
        check(self, kernels=COUNT, **rules, initialiser=INITIALISER, **more)
        if self.kernels % self.groups:
            problem = (
                f"kernels: expected a multiple of groups = {self.groups}, given {self.kernels}"
            )
            raise DescriptionError(type(self).__name__, [problem])

    def window(self, extents: Shape) -> ops.Window:
        """Return the window over an image (or, for a transpose, the result) of `extents`."""
        if self.padding == "same":
            return ops.Window.same(extents, self.kernel, self.stride, self.dilation, self.rank)
        shape = (self.kernel, self.stride, self.padding, self.dilation)
        return ops.Window.of(*shape, rank=self.rank)

    def _channels(self, inputs: tuple[Spec, ...]) -> int:
        axes = AXES[self.rank]
        x = self.one(inputs, self.rank + 2, axes)
        if x.rank != self.rank + 2 or x.shape[1] % self.groups:
            wanted = f"[{axes}]" + (f" with channels in {self.groups} groups" * (self.groups > 1))
            raise ShapeError(f"{type(self).__name__}: expected an input {wanted}, given {x}")
        return x.shape[1]

    def _sizes(self) -> tuple[int, ...]:
        return self.kernel if isinstance(self.kernel, tuple) else (self.kernel,) * self.rank


@register
@dataclass(frozen=True)
class Convolution(_Convolving):
    """y[n, o] = b[o] + sum over c of w[o, c] * x[n, c] (cross-correlation) for images [N, C, H, W].

    `kernel`, `stride`, `dilation`: an integer or one per axis (height, width). `padding`: zeros
    around the image; an integer, or for each axis an integer or (low, high), or "same":
    ceil(extent / stride) cells result. Channels are divided into `groups` that do not see each
    other. Sizes round down: floor((extent + padding - (kernel - 1) dilation - 1) / stride) + 1.
    """

    kernels: int
    kernel: Extent
    stride: Extent = 1
    padding: Any = 0
    dilation: Extent = 1
    groups: int = 1
    bias: bool = True
    initialiser: Initialiser | None = None

    def __post_init__(self) -> None:
        self._check()

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """Weights [kernels, channels / groups, *kernel] and, unless False, bias [kernels]."""
        shape = (self.kernels, self._channels(inputs) // self.groups, *self._sizes())
        found = {"weights": Parameter(shape, automatic(self.initialiser))}
        return found | ({"bias": Parameter((self.kernels,), Zeros())} if self.bias else {})

    def forward(
        self, build: Build, x: Value, *, weights: Value, bias: Value | None = None
    ) -> Value:
        """[N, C, *S] gives [N, kernels, *T]."""
        window = self.window(x.shape[2:])
        if bias is None:
            return build.apply(ops.Convolution(window, self.groups), x, weights)
        return build.apply(ops.BiasedConvolution(window, self.groups), x, weights, bias)


@register
@dataclass(frozen=True)
class Convolution1D(Convolution):
    """`Convolution` of series [N, C, T]."""

    rank: ClassVar[int] = 1


@register
@dataclass(frozen=True)
class TransposedConvolution(_Convolving):
    """The adjoint of `Convolution`: [N, C, H, W] gives [N, kernels, H', W'], it enlarges.

    H' = (H - 1) stride - padding + (kernel - 1) dilation + 1 + output_padding, where
    `output_padding` < stride settles what rounding down lost; with padding "same", H' = H stride.
    Weights are those of the convolution that it transposes, [channels, kernels / groups, *kernel].
    Zeiler et al. 2010.
    """

    kernels: int
    kernel: Extent
    stride: Extent = 1
    padding: Any = 0
    dilation: Extent = 1
    output_padding: Extent = 0
    groups: int = 1
    bias: bool = True
    initialiser: Initialiser | None = None

    def __post_init__(self) -> None:
        self._check(output_padding=per_axis(self.rank, 0))
        pairs = zip(
            _spread(self.output_padding, self.rank), _spread(self.stride, self.rank), strict=True
        )
        if any(extra >= stride for extra, stride in pairs):
            problem = f"output_padding: expected less than stride = {self.stride}"
            raise DescriptionError(type(self).__name__, [f"{problem}, given {self.output_padding}"])

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """Weights [channels, kernels / groups, *kernel] and, unless False, bias [kernels]."""
        shape = (self._channels(inputs), self.kernels // self.groups, *self._sizes())
        initialiser = Transposed(automatic(self.initialiser), self.groups)
        found = {"weights": Parameter(shape, initialiser)}
        return found | ({"bias": Parameter((self.kernels,), Zeros())} if self.bias else {})

    def forward(
        self, build: Build, x: Value, *, weights: Value, bias: Value | None = None
    ) -> Value:
        """[N, C, *S] gives [N, kernels, *T]."""
        extents = self.extents(x.shape[2:])
        op = ops.ConvolutionInputGradient(self.window(extents), extents, self.groups)
        y: Value = build.apply(op, x, weights)
        return (
            y
            if bias is None
            else y + reshape_to(build.program, bias, (self.kernels, *[1] * self.rank))
        )

    def extents(self, given: Shape) -> Shape:
        """Return the spatial extents of the result for an input of the extents `given`.

        Raises:
            ShapeError: nothing would be left inside the padding.
        """
        strides = _spread(self.stride, self.rank)
        if self.padding == "same":
            return tuple(n * s for n, s in zip(given, strides, strict=True))
        window = self.window(given)
        extra = _spread(self.output_padding, self.rank)
        result = tuple(
            (n - 1) * s - low - high + reach + more
            for n, s, (low, high), reach, more in zip(
                given, strides, window.padding, window.reach, extra, strict=True
            )
        )
        if any(n < 1 for n in result):
            raise ShapeError(
                f"{type(self).__name__}: an input of extents {given} gives {result}: the padding "
                f"{self.padding} takes everything away"
            )
        return result


@register
@dataclass(frozen=True)
class TransposedConvolution1D(TransposedConvolution):
    """`TransposedConvolution` of series [N, C, T]."""

    rank: ClassVar[int] = 1


def _spread(value: Extent, rank: int) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,) * rank
