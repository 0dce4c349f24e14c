"""`Window`: the geometry of a sliding window, shared by convolution and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ShapeError
from ..spec import Shape

Padding = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Window:
    """Extent, stride, padding (low, high), dilation of a window along each spatial axis; `ceil` rounds sizes up.

    With `ceil`, a last window that starts inside the input or its low padding counts even where it hangs over
    the end (Caffe, and the original's pooling); without, it must fit.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]
    ceil: bool = False

    @staticmethod
    def of(
        size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int | tuple[int, int]] = 0,
        dilation: int | Sequence[int] = 1,
        ceil: bool = False,
        rank: int = 2,
    ) -> Window:
        """Return a window from numbers (the same along all axes) or one entry per axis.

        Raises:
            ShapeError: a size, stride or dilation below 1, or a padding below 0; all of them are listed.
        """
        spread = {
            n: _spread(v, rank, n)
            for n, v in (("size", size), ("stride", stride), ("dilation", dilation))
        }
        pads = [
            (p, p) if isinstance(p, int) else (int(p[0]), int(p[1]))
            for p in _spread(padding, rank, "padding")
        ]
        problems = [f"{n} {v} must be >= 1" for n, v in spread.items() if any(k < 1 for k in v)]
        if any(p < 0 for pair in pads for p in pair):
            problems.append(f"padding {tuple(pads)} must be >= 0")
        if problems:
            raise ShapeError(f"Window: {'; '.join(problems)}")
        return Window(spread["size"], spread["stride"], tuple(pads), spread["dilation"], ceil)

    @staticmethod
    def same(
        extents: Sequence[int],
        size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        rank: int = 2,
    ) -> Window:
        """Return the window padded so that the output has ceil(extent / stride) cells; odd cells go to the end."""
        k, s, d = (_spread(v, rank, "size") for v in (size, stride, dilation))
        pads = []
        for n, ki, si, di in zip(extents, k, s, d, strict=True):
            total = max(0, (-(-n // si) - 1) * si + (ki - 1) * di + 1 - n)
            pads.append((total // 2, total - total // 2))
        return Window.of(k, s, pads, d, rank=rank)

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.size)

    @property
    def reach(self) -> tuple[int, ...]:
        """Extent that the dilated window covers."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.size, self.dilation, strict=True))

    def output(self, operation: str, extents: Sequence[int]) -> Shape:
        """Return the number of windows along each axis.

        Raises:
            ShapeError: a window does not fit into the padded input.
        """
        result = []
        for axis, (n, k, s, (low, high)) in enumerate(
            zip(extents, self.reach, self.stride, self.padding, strict=True)
        ):
            room = n + low + high - k
            if room < 0:
                raise ShapeError(
                    f"{operation}: the window covers {k} cells along spatial axis {axis}, "
                    f"the padded input has {n + low + high} ({low} + {n} + {high})"
                )
            count = (-(-room // s) if self.ceil else room // s) + 1
            if self.ceil and (count - 1) * s >= n + low:
                count -= 1
            result.append(count)
        return tuple(result)


def _spread(value: int | Sequence[Any], rank: int, name: str) -> tuple[Any, ...]:
    if isinstance(value, int):
        return (value,) * rank
    if len(value) != rank:
        raise ShapeError(
            f"Window: {name} {tuple(value)} needs one entry per spatial axis, that is {rank}"
        )
    return tuple(value)
