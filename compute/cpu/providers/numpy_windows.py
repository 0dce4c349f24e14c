"""Sliding windows as NumPy slices, for convolution and pooling without the native engine."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...ops import Window
from ...spec import Shape
from ..instruction import Instruction, Operand
from ..native import native

Arrays = Sequence[np.ndarray]


@dataclass(frozen=True)
class Grid:
    """Where windows lie over examples [channels, *extents]: `out` windows along each axis of the padded extents."""

    window: Window
    extents: Shape
    out: Shape

    @property
    def padded(self) -> Shape:
        """The extents with padding; a last window may hang over more than the window's own."""
        w = self.window
        return tuple(
            low + max(n, (t - 1) * s + k - low)
            for n, (low, _), s, k, t in zip(
                self.extents, w.padding, w.stride, w.reach, self.out, strict=True
            )
        )

    @property
    def inside(self) -> tuple[slice, ...]:
        """The index, along the spatial axes, of what is no padding."""
        pairs = zip(self.window.padding, self.extents, strict=True)
        return tuple(slice(low, low + n) for (low, _), n in pairs)

    def cells(self) -> list[tuple[slice, ...]]:
        """Return, for each position inside the window, row-major, the index of the cells that windows see there."""
        w = self.window
        axes = [
            [slice(p * d, p * d + (t - 1) * s + 1, s) for p in range(k)]
            for k, d, s, t in zip(w.size, w.dilation, w.stride, self.out, strict=True)
        ]
        return list(itertools.product(*axes))


def fits(*operands: Operand) -> bool:
    """Only without the engine: BLAS has threads of its own, which would fight with its pool."""
    return native() is None and all(o.spec.size for o in operands)


def instruction(
    run: Any, outputs: tuple[Operand, ...], inputs: tuple[Operand, ...]
) -> list[Instruction]:
    """Return one call of `run(inputs, outputs)`."""
    return [Instruction("python", run, outputs, inputs, provider="numpy")]
