"""Pooling: maxima and means of windows over images [N, C, H, W] and series [N, C, T]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from cortex.build import Build
from cortex.compute import ops
from cortex.compute.errors import DescriptionError
from cortex.compute.ops.reduce import mean, reshape_to
from cortex.compute.program import Value
from cortex.compute.spec import Shape, Spec
from cortex.layers.base import Base, padding_rule, per_axis, register
from cortex.protocols import Parameter
from cortex.rules import FLAG, NONE, Rule, check, either, one_of

Extent = int | tuple[int, ...]
Rounding = Literal["floor", "ceil"]


class _Pooling(Base):
    """What both kinds of pooling share: the rules of their fields and the window."""

    rank: ClassVar[int] = 2
    size: Extent
    stride: Extent | None
    padding: Any
    rounding: Rounding

    def _check(self, **more: Rule) -> None:
        extent, padding = per_axis(self.rank), padding_rule(self.rank)
        rounding = one_of("floor", "ceil")
        check(
            self,
            size=extent,
            stride=either(extent, NONE),
            padding=padding,
            rounding=rounding,
            **more,
        )
        if self.padding != "same":
            window = self.window(())
            if any(max(p) >= k for p, k in zip(window.padding, window.size, strict=True)):
                problem = f"padding: expected less than size = {self.size}, given {self.padding}"
                raise DescriptionError(type(self).__name__, [problem])

    def window(self, extents: Shape) -> ops.Window:
        """Return the window over an input of `extents`."""
        stride = self.size if self.stride is None else self.stride
        if self.padding == "same":
            return ops.Window.same(extents, self.size, stride, rank=self.rank)
        return ops.Window.of(self.size, stride, self.padding, 1, self.rounding == "ceil", self.rank)


@register
@dataclass(frozen=True)
class MaxPooling(_Pooling):
    """The largest value of each window of `size`, every `stride` cells (None: the windows touch).

    `padding` (as for `Convolution`) counts as minus infinity. `rounding` "ceil" adds a last window
    that hangs over the end, as Caffe does; "floor" leaves it out. Of equal values the first gets
    the gradient.
    """

    size: Extent
    stride: Extent | None = None
    padding: Any = 0
    rounding: Rounding = "floor"

    def __post_init__(self) -> None:
        self._check()

    def forward(self, build: Build, x: Value) -> Value:
        """[N, C, *S] gives [N, C, *T]."""
        y, _ = build.apply(ops.Pool("max", self.window(x.shape[2:])), x)
        return y


@register
@dataclass(frozen=True)
class MaxPooling1D(MaxPooling):
    """`MaxPooling` of series [N, C, T]."""

    rank: ClassVar[int] = 1


@register
@dataclass(frozen=True)
class AveragePooling(_Pooling):
    """The mean of each window of `size`, every `stride` cells (None: the windows touch).

    With `count_padding` the padded zeros count as cells; without, the mean is that of the real
    cells. `padding` and `rounding` are as for `MaxPooling`.
    """

    size: Extent
    stride: Extent | None = None
    padding: Any = 0
    rounding: Rounding = "floor"
    count_padding: bool = False

    def __post_init__(self) -> None:
        self._check(count_padding=FLAG)

    def forward(self, build: Build, x: Value) -> Value:
        """[N, C, *S] gives [N, C, *T]."""
        window = self.window(x.shape[2:])
        return build.apply(ops.Pool("average", window, self.count_padding), x)


@register
@dataclass(frozen=True)
class AveragePooling1D(AveragePooling):
    """`AveragePooling` of series [N, C, T]."""

    rank: ClassVar[int] = 1


class _Global(Base):
    def parameters(self, *inputs: Spec) -> dict[str, Parameter]:
        """Return none; raise `ShapeError` for an input without spatial axes."""
        self.one(inputs, 3, "batch, channels, spatial axes ...")
        return {}


@register
@dataclass(frozen=True)
class GlobalMaxPooling(_Global):
    """The largest value of each channel, of equal ones the first: [N, C, *S] gives [N, C]."""

    def forward(self, build: Build, x: Value) -> Value:
        """[N, C, *S] gives [N, C]."""
        window = ops.Window.of(x.shape[2:], rank=x.spec.rank - 2)
        y, _ = build.apply(ops.Pool("max", window), x)
        return reshape_to(build.program, y, x.shape[:2])


@register
@dataclass(frozen=True)
class GlobalAveragePooling(_Global):
    """The mean of each channel: [N, C, *S] gives [N, C]. Lin, Chen and Yan 2014, section 3.2."""

    def forward(self, build: Build, x: Value) -> Value:
        """[N, C, *S] gives [N, C]."""
        return mean(build.program, x, range(2, x.spec.rank))
