"""Shapes as loops: dense strides, collapsed iteration spaces, groups of reduced axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..spec import Shape


def strides_of(shape: Shape) -> tuple[int, ...]:
    """Return the dense row-major strides of a shape, in elements."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


@dataclass(frozen=True)
class Layout:
    """The collapsed iteration space: extents, and the strides (in elements) of each operand along them."""

    shape: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """How each operand moves along the inner axis: `v`ector, `s`calar or with a `g`eneral stride."""
        return tuple("s" if s[-1] == 0 else "v" if s[-1] == 1 else "g" for s in self.strides)

    @property
    def flat(self) -> bool:
        """Whether there is one axis only, so that units are elements."""
        return len(self.shape) == 1


def collapse(shape: tuple[int, ...], operands: Sequence[tuple[int, ...]]) -> Layout:
    """Return the smallest iteration space of dense operands of these shapes, broadcast to `shape`."""
    rank = len(shape)
    strides = []
    for s in operands:
        full = (1,) * (rank - len(s)) + s
        step = 1
        one: list[int] = []
        for n in reversed(full):
            one.append(0 if n == 1 else step)
            step *= n
        strides.append(one[::-1])
    axes = [(n, [s[i] for s in strides]) for i, n in enumerate(shape) if n != 1]
    merged: list[tuple[int, list[int]]] = []
    for n, moves in axes:
        if merged and all(a == b * n for a, b in zip(merged[-1][1], moves, strict=True)):
            merged[-1] = (merged[-1][0] * n, moves)
        else:
            merged.append((n, moves))
    merged = merged or [(1, [0] * len(operands))]
    return Layout(
        tuple(n for n, _ in merged),
        tuple(tuple(m[1][k] for m in merged) for k in range(len(operands))),
    )


def axis_groups(shape: Shape, axes: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Return (outer, reduce, inner) of each run of reduced axes, from the last to the first.

    After a group its extents are gone from the ones that follow.
    """
    groups = []
    extents = list(shape)
    i = len(extents) - 1
    chosen = set(axes)
    while i >= 0:
        if i not in chosen:
            i -= 1
            continue
        stop = i
        while i >= 0 and i in chosen:
            i -= 1
        count = math.prod(extents[i + 1 : stop + 1])
        groups.append((math.prod(extents[: i + 1]), count, math.prod(extents[stop + 1 :])))
        extents[i + 1 : stop + 1] = [1] * (stop - i)
    return groups
