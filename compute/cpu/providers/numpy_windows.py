"""Sliding windows in NumPy for when there is no native engine: convolution as one matrix product, pooling cell by cell.

A convolution lays the cells that each window sees side by side, columns [groups, C/groups K, T n] for n examples of
the batch, and multiplies once; its two gradients are the same product turned around. Examples come last, so that what
is copied lies together: with rows of 8 cells instead, LeNet's second convolution takes three times as long. The batch
is cut into chunks whose columns stay within `CHUNK_BYTES`: columns are K times their input, and products of matrices
that fit into the caches run faster besides. All of this memory is part of the plan.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...ops import (
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
    Pool,
    PoolGradient,
    Window,
)
from ...program import Step
from ...reference import pool_counts
from ...spec import ITEM_BYTES, Shape, Spec
from ..instruction import Instruction, Operand
from ..lowering import Lowering
from ..native import native

CHUNK_BYTES = 1 << 21  # of columns: LeNet's step takes 24 ms, 27 with a quarter of it, 31 with eight times as much
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


@dataclass(frozen=True)
class Columns:
    """The matrices of a convolution: x [n, C, *S] by kernels [O, C/groups, *K] to [n, O, *T], in chunks of examples."""

    grid: Grid
    groups: int
    batch: int
    channels: int
    filters: int
    dtype: str

    @property
    def windows(self) -> int:
        """Windows per example."""
        return math.prod(self.grid.out)

    @property
    def depth(self) -> int:
        """Cells that one window sees in one group."""
        return self.channels // self.groups * math.prod(self.grid.window.size)

    @property
    def chunk(self) -> int:
        """Examples at a time."""
        one = self.groups * self.depth * self.windows * ITEM_BYTES[self.dtype]
        return min(self.batch, max(1, CHUNK_BYTES // max(1, one)))

    def buffers(self, low: Lowering, *extra: int) -> tuple[Operand, ...]:
        """Return memory for columns, rows of the output, the padded input, and `extra` elements each."""
        padded = self.channels * math.prod(self.grid.padded)
        each = (self.groups * self.depth * self.windows, self.filters * self.windows, padded)
        sizes = [self.chunk * one for one in each] + list(extra)
        return tuple(low.temporary((size,), self.dtype) for size in sizes)

    def chunks(self) -> list[slice]:
        """Return the ranges of examples."""
        starts = range(0, self.batch, self.chunk)
        return [slice(i, min(i + self.chunk, self.batch)) for i in starts]

    def columns(self, buffer: np.ndarray, n: int) -> np.ndarray:
        """Return the columns [groups, depth, windows n] of n examples, inside a buffer."""
        return _inside(buffer, (self.groups, self.depth, self.windows * n))

    def rows(self, buffer: np.ndarray, n: int) -> np.ndarray:
        """Return the rows [groups, filters/groups, windows n] of n examples, inside a buffer."""
        return _inside(buffer, (self.groups, self.filters // self.groups, self.windows * n))

    def frame(self, buffer: np.ndarray, n: int) -> np.ndarray:
        """Return the padded input [C, *padded, n], inside a buffer."""
        return _inside(buffer, (self.channels, *self.grid.padded, n))

    def by_cell(self, columns: np.ndarray, n: int) -> np.ndarray:
        """Return columns as [C, cells of the window, *T, n]."""
        return columns.reshape(self.channels, -1, *self.grid.out, n)

    def gather(self, x: np.ndarray, columns: np.ndarray, frame: np.ndarray) -> np.ndarray:
        """Lay out what the windows of some examples see; return the columns."""
        n, grid = len(x), self.grid
        wide = self.frame(frame, n)
        if grid.padded != grid.extents:
            wide.fill(0)
        wide[:, *grid.inside] = np.moveaxis(x, 0, -1)
        found = self.columns(columns, n)
        pieces = self.by_cell(found, n)
        for number, cut in enumerate(grid.cells()):
            pieces[:, number] = wide[:, *cut]
        return found

    def scatter(self, columns: np.ndarray, frame: np.ndarray, x: np.ndarray) -> None:
        """Add up, for each cell of some examples, what the columns hold for the windows that see it."""
        n, grid = len(x), self.grid
        wide, pieces = self.frame(frame, n), self.by_cell(columns, n)
        wide.fill(0)
        for number, cut in enumerate(grid.cells()):
            wide[:, *cut] += pieces[:, number]
        np.copyto(np.moveaxis(x, 0, -1), wide[:, *grid.inside])

    def as_rows(self, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Lay out an output [n, O, *T] as rows; return them."""
        found = self.rows(rows, len(y))
        np.copyto(found.reshape(-1, len(y)), y.reshape(len(y), -1).T)
        return found

    @staticmethod
    def from_rows(rows: np.ndarray, y: np.ndarray) -> None:
        """Write rows to an output [n, O, *T]."""
        np.copyto(y.reshape(len(y), -1), rows.reshape(-1, len(y)).T)

    def matrices(self, w: np.ndarray) -> np.ndarray:
        """Return kernels [O, C/groups, *K] as [groups, O/groups, depth]."""
        return w.reshape(self.groups, self.filters // self.groups, self.depth)


def _inside(buffer: np.ndarray, shape: Shape) -> np.ndarray:
    return buffer[: math.prod(shape)].reshape(shape)


def _columns(window: Window, groups: int, x: Spec, y: Spec) -> Columns:
    grid = Grid(window, x.shape[2:], y.shape[2:])
    return Columns(grid, groups, x.shape[0], x.shape[1], y.shape[1], x.dtype)


def _fits(*operands: Operand) -> bool:
    """Only without the engine: BLAS has threads of its own, which would fight with its pool."""
    return native() is None and all(o.spec.size for o in operands)


def _instruction(
    run: Any, outputs: tuple[Operand, ...], inputs: tuple[Operand, ...]
) -> list[Instruction]:
    return [Instruction("python", run, outputs, inputs, provider="numpy")]


def convolution(low: Lowering, step: Step) -> list[Instruction] | None:
    """y = w columns(x)."""
    op = step.op
    (x, w), y = low.operands(step.inputs), low.operand(step.outputs[0])
    if not isinstance(op, Convolution) or not _fits(x, w, y):
        return None
    c = _columns(op.window, op.groups, x.spec, y.spec)

    def run(inputs: Arrays, outputs: Arrays) -> None:
        (x, w), (y, columns, rows, frame) = inputs, outputs
        for part in c.chunks():
            seen = c.gather(x[part], columns, frame)
            product = c.rows(rows, len(x[part]))
            np.matmul(c.matrices(w), seen, out=product)
            c.from_rows(product, y[part])

    return _instruction(run, (y, *c.buffers(low)), (x, w))


def convolution_input_gradient(low: Lowering, step: Step) -> list[Instruction] | None:
    """columns(dx) = w^T dy, each cell the sum over the windows that see it."""
    op = step.op
    (dy, w), dx = low.operands(step.inputs), low.operand(step.outputs[0])
    if not isinstance(op, ConvolutionInputGradient) or not _fits(dy, w, dx):
        return None
    c = _columns(op.window, op.groups, dx.spec, dy.spec)

    def run(inputs: Arrays, outputs: Arrays) -> None:
        (dy, w), (dx, columns, rows, frame) = inputs, outputs
        for part in c.chunks():
            found = c.columns(columns, len(dx[part]))
            np.matmul(c.matrices(w).swapaxes(1, 2), c.as_rows(dy[part], rows), out=found)
            c.scatter(found, frame, dx[part])

    return _instruction(run, (dx, *c.buffers(low)), (dy, w))


def convolution_kernel_gradient(low: Lowering, step: Step) -> list[Instruction] | None:
    """dw = dy columns(x)^T, summed over the chunks of the batch."""
    op = step.op
    (x, dy), dw = low.operands(step.inputs), low.operand(step.outputs[0])
    if not isinstance(op, ConvolutionKernelGradient) or not _fits(x, dy, dw):
        return None
    c = _columns(op.window, op.groups, x.spec, dy.spec)

    def run(inputs: Arrays, outputs: Arrays) -> None:
        (x, dy), (dw, columns, rows, frame, partial) = inputs, outputs
        total = c.matrices(dw)
        for part in c.chunks():
            seen = c.gather(x[part], columns, frame).swapaxes(1, 2)
            if part.start == 0:
                np.matmul(c.as_rows(dy[part], rows), seen, out=total)
                continue
            more = partial.reshape(total.shape)
            np.matmul(c.as_rows(dy[part], rows), seen, out=more)
            total += more

    partial = 0 if c.chunk == c.batch else dw.spec.size
    return _instruction(run, (dw, *c.buffers(low, partial)), (x, dy))


def pool(low: Lowering, step: Step) -> list[Instruction] | None:
    """The running maximum or sum over the positions inside the window."""
    op = step.op
    x, y = low.operand(step.inputs[0]), low.operand(step.outputs[0])
    if not isinstance(op, Pool) or not _fits(x, y):
        return None
    grid = Grid(op.window, x.spec.shape[2:], y.spec.shape[2:])
    frame = _frame(low, grid, x.spec)
    if op.kind == "average":
        counts = pool_counts(op.window, grid.extents, op.count_padding, x.spec.dtype)
        return _instruction(_average(grid, counts), (y, frame), (x,))
    spare = low.temporary(y.spec.shape, y.spec.dtype)
    if not low.is_read(step.outputs[1]):
        return _instruction(_maximum(grid), (y, frame, spare), (x,))
    index = low.operand(step.outputs[1])
    more = [low.temporary(y.spec.shape, d) for d in ("bool", "bool", index.spec.dtype)]
    return _instruction(_maximum(grid), (y, frame, spare, index, *more), (x,))


def _frame(low: Lowering, grid: Grid, x: Spec) -> Operand:
    shape = (*x.shape[:2], *grid.padded) if grid.padded != grid.extents else (0,)
    return low.temporary(shape, x.dtype)


def _framed(grid: Grid, x: np.ndarray, frame: np.ndarray, value: float) -> np.ndarray:
    if frame.size == 0:
        return x
    frame.fill(value)
    frame[:, :, *grid.inside] = x
    return frame


def _average(grid: Grid, counts: np.ndarray) -> Any:
    first, *others = grid.cells()

    def run(inputs: Arrays, outputs: Arrays) -> None:
        y, frame = outputs
        wide = _framed(grid, inputs[0], frame, 0)
        np.copyto(y, wide[:, :, *first])
        for cut in others:
            y += wide[:, :, *cut]
        np.divide(y, counts, out=y)

    return run


def _maximum(grid: Grid) -> Any:
    """The running maximum. Each strided cell is copied once; what follows runs over dense arrays."""
    first, *others = grid.cells()

    def run(inputs: Arrays, outputs: Arrays) -> None:
        y, frame, cell, *rest = outputs
        wide = _framed(grid, inputs[0], frame, -np.inf)
        np.copyto(y, wide[:, :, *first])
        if rest:
            rest[0].fill(0)
        for number, cut in enumerate(others, 1):
            np.copyto(cell, wide[:, :, *cut])
            if rest:  # a cell wins where it is greater, or the first that is not a number
                index, keeps, wins, position = rest
                np.greater_equal(y, cell, out=keeps)
                np.equal(y, y, out=wins)
                np.greater(wins, keeps, out=wins)
                np.multiply(wins, number, out=position, dtype=position.dtype)
                np.maximum(index, position, out=index)
            np.maximum(y, cell, out=y)

    return run


def pool_gradient(low: Lowering, step: Step) -> list[Instruction] | None:
    """Add to each cell what the windows that saw it hand back."""
    op = step.op
    dx = low.operand(step.outputs[0])
    dy, *index = low.operands(step.inputs)
    if not isinstance(op, PoolGradient) or not _fits(dx, dy):
        return None
    grid = Grid(op.window, op.extents, dy.spec.shape[2:])
    share = low.temporary(dy.spec.shape, dy.spec.dtype)
    outputs = (dx, _frame(low, grid, dx.spec), share)
    if op.kind == "average":
        counts = pool_counts(op.window, op.extents, op.count_padding, dy.spec.dtype)
        return _instruction(_spread(grid, counts), outputs, (dy,))
    return _instruction(_hand_back(grid), (*outputs, low.temporary(dy.spec.shape, "bool")), (dy, *index))


def _spread(grid: Grid, counts: np.ndarray) -> Any:
    cells = grid.cells()

    def run(inputs: Arrays, outputs: Arrays) -> None:
        dx, frame, share = outputs
        wide = frame if frame.size else dx
        wide.fill(0)
        np.divide(inputs[0], counts, out=share)
        for cut in cells:
            wide[:, :, *cut] += share
        if frame.size:
            np.copyto(dx, frame[:, :, *grid.inside])

    return run


def _hand_back(grid: Grid) -> Any:
    cells = grid.cells()

    def run(inputs: Arrays, outputs: Arrays) -> None:
        (dy, index), (dx, frame, share, chosen) = inputs, outputs
        bits = np.dtype(f"i{dy.itemsize}")  # the bits of dy times 0 or 1: dy or 0, infinities included
        wide = frame if frame.size else dx
        wide.fill(0)
        for number, cut in enumerate(cells):
            np.equal(index, number, out=chosen)
            np.multiply(dy.view(bits), chosen, out=share.view(bits), dtype=bits)
            wide[:, :, *cut] += share
        if frame.size:
            np.copyto(dx, frame[:, :, *grid.inside])

    return run
