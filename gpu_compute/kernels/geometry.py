"""Structures that kernels take: strided copies of movement ops, matrices of a product, planes of windows.

Each function returns the values of a structure of csrc/device as a mapping, for `Arguments`. Planes are [N, C, H, W],
or [N, C, W] as planes of height 1; `channels_last` says that they lie in memory as [N, H, W, C].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...compute.errors import BackendError
from ...compute.ops import Concatenate, Pad, Slice, Transpose
from ...compute.ops.window import Window
from ...compute.spec import Shape

Structure = dict[str, Any]
MAX_AXES, MAX_BATCH = 8, 4  # of `Strided` and of `Matrices`


def dense(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides (in elements) of a row-major array."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(strides[::-1])


@dataclass(frozen=True)
class Move:
    """Elements of input `number` go to the output: extents, first element and strides on either side."""

    number: int
    shape: Shape
    to: tuple[int, ...]
    to_offset: int
    source: tuple[int, ...]
    source_offset: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def axes(self) -> list[tuple[int, int, int]]:
        """The fewest axes that do, as (extent, stride there, stride here)."""
        merged: list[tuple[int, int, int]] = []
        for n, to, source in zip(self.shape, self.to, self.source, strict=True):
            if n == 1:
                continue
            if merged and merged[-1][1] == to * n and merged[-1][2] == source * n:
                merged[-1] = (merged[-1][0] * n, to, source)
            else:
                merged.append((n, to, source))
        return merged

    @property
    def is_copy(self) -> bool:
        """Whether one contiguous range goes to another."""
        return not self.axes or self.axes == [(self.size, 1, 1)]

    @property
    def matrices(self) -> tuple[int, int, int] | None:
        """(batch, rows, columns) of the input where the move swaps the last two axes of a dense array, else None."""
        axes = self.axes
        if len(axes) not in (2, 3):
            return None
        (n, to_n, from_n), (m, to_m, from_m) = axes[
            -2:
        ]  # the output is [.., n, m], the input [.., m, n]
        swapped = (to_n, to_m, from_n, from_m) == (m, 1, 1, n)
        outer = len(axes) == 2 or axes[0][1:] == (n * m, n * m)
        return (axes[0][0] if len(axes) == 3 else 1, m, n) if swapped and outer else None

    @property
    def structure(self) -> Structure:
        """The structure `Strided`.

        Raises:
            BackendError: more than 8 axes are left.
        """
        axes = self.axes
        if len(axes) > MAX_AXES:
            raise BackendError(
                f"kernels: a copy over {len(axes)} axes that cannot be merged; at most {MAX_AXES} are supported"
            )
        full = [(1, 0, 0)] * (MAX_AXES - len(axes)) + axes
        extent, to, source = (list(column) for column in zip(*full, strict=True))
        return {"extent": extent, "to": to, "from": source}


def moves_of(
    op: Transpose | Slice | Pad | Concatenate, inputs: Sequence[Shape], output: Shape
) -> list[Move]:
    """Return the moves of a movement op; the output of a `Pad` is to be filled with its value before."""
    to = dense(output)
    first = dense(inputs[0])
    if isinstance(op, Transpose):
        return [Move(0, output, to, 0, tuple(first[a] for a in op.axes), 0)]
    if isinstance(op, Slice):
        start = sum(a * s for a, s in zip(op.start, first, strict=True))
        return [
            Move(
                0, output, to, 0, tuple(s * k for s, k in zip(first, op.steps, strict=True)), start
            )
        ]
    if isinstance(op, Pad):
        start = sum(a * s for a, s in zip(op.low, to, strict=True))
        spread = tuple(s * (k + 1) for s, k in zip(to, op.between, strict=True))
        return [Move(0, inputs[0], spread, start, first, 0)]
    made, at = [], 0
    for number, shape in enumerate(inputs):
        made.append(Move(number, shape, to, at * to[op.axis], dense(shape), 0))
        at += shape[op.axis]
    return made


def matrices(a: Shape, b: Shape, transpose_a: bool = False, transpose_b: bool = False) -> Structure:
    """Return the structure `Matrices` of a (batched, broadcast) product of dense operands.

    Raises:
        BackendError: more than 4 batch axes are left after merging.
    """
    rank = max(len(a), len(b))
    a, b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    (m, k), n = (a[-2:] if not transpose_a else a[:-3:-1]), b[-2 if transpose_b else -1]
    axes: list[tuple[int, int, int]] = []
    strides = zip(a[:-2], b[:-2], dense(a)[:-2], dense(b)[:-2], strict=True)
    for p, q, x, y in strides:
        extent, sx, sy = q if p == 1 else p, 0 if p == 1 else x, 0 if q == 1 else y
        if extent == 1:
            continue
        if axes and axes[-1][1] == sx * extent and axes[-1][2] == sy * extent:
            axes[-1] = (axes[-1][0] * extent, sx, sy)
        else:
            axes.append((extent, sx, sy))
    if len(axes) > MAX_BATCH:
        raise BackendError(
            f"kernels: a product over {len(axes)} batch axes that cannot be merged; at most {MAX_BATCH} are supported"
        )
    full = [(1, 0, 0)] * (MAX_BATCH - len(axes)) + axes
    extent_, a_batch, b_batch = (list(column) for column in zip(*full, strict=True))
    return {
        "batch": math.prod(extent_), "m": m, "n": n, "k": k,
        "a_row": 1 if transpose_a else k, "a_depth": m if transpose_a else 1,
        "b_depth": 1 if transpose_b else n, "b_column": k if transpose_b else 1,
        "extent": extent_, "a_batch": a_batch, "b_batch": b_batch,
    }  # fmt: skip


def convolving(
    window: Window, x: Shape, w: Shape, groups: int, channels_last: bool = False
) -> Structure:
    """Return the structure `Convolving` for x [N, C, *S] and kernels w [O, C / groups, *K].

    With `channels_last` the kernels lie as [O, H, W, C / groups].
    """
    out = window.output("Convolution", x[2:])
    xs, ws, ys = _plane(x), _plane(w), _plane((x[0], w[0], *out))
    low = _two([p[0] for p in window.padding], 0)
    return {
        "batch": xs[0], "channels": xs[1], "kernels": ws[0], "groups": groups, "height": xs[2], "width": xs[3],
        "out_height": ys[2], "out_width": ys[3],
        **_pair("kernel", ws[2:]), **_pair("stride", _two(window.stride)), **_pair("low", low),
        **_pair("dilation", _two(window.dilation)),
        **_strides("x", xs, channels_last), **_strides("y", ys, channels_last),
        **_strides("w", ws, channels_last, "ochw"),
    }  # fmt: skip


def pooling(window: Window, x: Shape, channels_last: bool = False) -> Structure:
    """Return the structure `Pooling` for an input x [N, C, *S]."""
    xs, ys = _plane(x), _plane((*x[:2], *window.output("Pool", x[2:])))
    low, high = (_two([p[side] for p in window.padding], 0) for side in (0, 1))
    return {
        "channels": xs[1], "height": xs[2], "width": xs[3], "out_height": ys[2], "out_width": ys[3],
        **_pair("kernel", _two(window.size)), **_pair("stride", _two(window.stride)),
        **_pair("low", low), **_pair("high", high), "channels_last": int(channels_last),
        **_strides("x", xs, channels_last), **_strides("y", ys, channels_last),
    }  # fmt: skip


def _plane(shape: Shape) -> tuple[int, int, int, int]:
    """Return [N, C, H, W], with height 1 for one spatial axis.

    Raises:
        BackendError: there are more than two.
    """
    if len(shape) not in (3, 4):
        raise BackendError(f"kernels: windows have 1 or 2 spatial axes, given a shape {shape}")
    return (*shape[:2], *_two(shape[2:]))  # type: ignore[return-value]


def _two(values: Sequence[int], other: int = 1) -> tuple[int, int]:
    return (values[0], values[1]) if len(values) == 2 else (other, values[0])


def _pair(name: str, values: Sequence[int]) -> dict[str, int]:
    return {f"{name}_h": values[0], f"{name}_w": values[1]}


def _strides(
    name: str, shape: tuple[int, int, int, int], channels_last: bool, axes: str = "nchw"
) -> dict[str, int]:
    """Return xn, xc, xh, xw; for kernels the first axis is called o, and x's c-stride wc."""
    n, c, h, w = shape
    found = (h * w * c, 1, w * c, c) if channels_last else (c * h * w, h * w, w, 1)
    return {f"{name}{axis}": s for axis, s in zip(axes, found, strict=True)}
