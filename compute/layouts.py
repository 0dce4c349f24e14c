"""How a batch of images may lie in memory: dense, examples in lanes, or channels last.

A layout is a change of shape, not of meaning: a value in a layout is an ordinary dense value of another shape, made by
reshapes and transposes, so maps, reductions and movement on it are ordinary ops. Only ops that look at channels and
pixels (convolution, pooling) or number elements (dropout) must be told; `compute.ops.arranged` wraps them.

Dense is [N, C, *S]. `BATCH_LANES` is [ceil(N / 16), C, *S, 16]: sixteen examples side by side in one vector, so that
any number of channels and any size of image is efficient; the lanes beyond the last example hold zeros where a value
was arranged, and anything once something was computed from them. `CHANNELS_LAST` is [N, *S, C], for few examples and
many channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .ops.movement import Pad, Reshape, Slice, Transpose
from .program import Program, Value
from .spec import Shape

LANES = 16  # examples of a block: one vector of float32 with AVX-512, two with AVX2


def to_last(rank: int) -> tuple[int, ...]:
    """Return the axes of the transpose that puts axis 1 last."""
    return (0, *range(2, rank), 1)


def to_first(rank: int) -> tuple[int, ...]:
    """Return the axes of the transpose that puts the last axis behind the first again."""
    return (0, rank - 1, *range(1, rank - 1))


@dataclass(frozen=True)
class Layout:
    """A physical order of [N, C, *S]."""

    name: Literal["batch lanes", "channels last"]

    def shape(self, dense: Shape) -> Shape:
        """Return the shape in this layout of a dense [N, C, *S]."""
        n, c, *extents = dense
        if self.name == "channels last":
            return (n, *extents, c)
        return (-(-n // LANES), c, *extents, LANES)

    def dense(self, shape: Shape, batch: int) -> Shape:
        """Return the dense shape [N, C, *S] of a value of this shape in this layout."""
        if self.name == "channels last":
            return (shape[0], shape[-1], *shape[1:-1])
        return (batch, *shape[1:-1])

    def arrange(self, build: Program, x: Value) -> Value:
        """Return x [N, C, *S] in this layout."""
        n, *rest = x.shape
        if self.name == "channels last":
            return build.apply(Transpose(to_last(x.spec.rank)), x)
        blocks = -(-n // LANES)
        if n % LANES:
            none = (0,) * len(rest)
            x = build.apply(Pad((0, *none), (blocks * LANES - n, *none)), x)
        x = build.apply(Reshape((blocks, LANES, *rest)), x)
        return build.apply(Transpose(to_last(x.spec.rank)), x)

    def restore(self, build: Program, x: Value, batch: int) -> Value:
        """Return the dense [N, C, *S] of a value in this layout."""
        x = build.apply(Transpose(to_first(x.spec.rank)), x)
        if self.name == "channels last":
            return x
        blocks, lanes, *rest = x.shape
        x = build.apply(Reshape((blocks * lanes, *rest)), x)
        if batch == blocks * lanes:
            return x
        return build.apply(Slice((0,) * x.spec.rank, (batch, *rest)), x)


BATCH_LANES = Layout("batch lanes")
CHANNELS_LAST = Layout("channels last")
