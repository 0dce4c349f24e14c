"""Sliding windows in NumPy for when there is no native engine: convolution as one matrix product, pooling cell by cell.

A convolution lays the cells that each window sees side by side, columns [groups, C/groups K, n T] for n examples of
the batch, and multiplies once; its two gradients are the same product turned around. The batch is cut into chunks whose
columns stay within `CHUNK_BYTES`: columns are K times their input, and products of matrices that fit into the caches
run faster besides. All of this memory is part of the plan.
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
    def inside(self) -> tuple[Any, ...]:
        """The index of what is no padding, in an array [n, C, *padded]."""
        pairs = zip(self.window.padding, self.extents, strict=True)
        return (..., *(slice(low, low + n) for (low, _), n in pairs))

    def cells(self) -> list[tuple[Any, ...]]:
        """Return, for each position inside the window, row-major, the index of the cells that windows see there."""
        w = self.window
        return [
            (..., *(slice(p * d, p * d + (t - 1) * s + 1, s) for p, d, s, t in zip(at, w.dilation, w.stride, self.out, strict=True)))
            for at in itertools.product(*map(range, w.size))
        ]  # fmt: skip

    def view(self, x: np.ndarray) -> np.ndarray:
        """Return what each window sees of x [n, C, *padded] as [C, *size, n, *out], without copying."""
        w, step = self.window, x.strides[2:]
        inner = tuple(s * d for s, d in zip(step, w.dilation, strict=True))
        outer = tuple(s * d for s, d in zip(step, w.stride, strict=True))
        return np.lib.stride_tricks.as_strided(
            x,
            (x.shape[1], *w.size, x.shape[0], *self.out),
            (x.strides[1], *inner, x.strides[0], *outer),
            writeable=False,
        )


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

    @property
    def is_padded(self) -> bool:
        """Whether windows see cells outside the input."""
        return self.grid.padded != self.grid.extents

    def buffers(self, low: Lowering, *extra: int) -> tuple[Operand, ...]:
        """Return memory for columns, rows of the output, the padded input, and `extra` elements each."""
        padded = self.channels * math.prod(self.grid.padded) if self.is_padded else 0
        each = (self.groups * self.depth * self.windows, self.filters * self.windows, padded)
        sizes = [self.chunk * one for one in each] + list(extra)
        return tuple(low.temporary((size,), self.dtype) for size in sizes)

    def chunks(self) -> list[slice]:
        """Return the ranges of examples."""
        starts = range(0, self.batch, self.chunk)
        return [slice(i, min(i + self.chunk, self.batch)) for i in starts]

    def columns(self, buffer: np.ndarray, n: int) -> np.ndarray:
        """Return the columns [groups, depth, n windows] of n examples, inside a buffer."""
        shape = (self.groups, self.depth, n * self.windows)
        return buffer[: math.prod(shape)].reshape(shape)

    def rows(self, buffer: np.ndarray, n: int) -> np.ndarray:
        """Return the rows [groups, filters/groups, n windows] of n examples, inside a buffer."""
        shape = (self.groups, self.filters // self.groups, n * self.windows)
        return buffer[: math.prod(shape)].reshape(shape)

    def frame(self, buffer: np.ndarray, n: int) -> np.ndarray:
        """Return the padded input [n, C, *padded], inside a buffer."""
        shape = (n, self.channels, *self.grid.padded)
        return buffer[: math.prod(shape)].reshape(shape)

    def gather(self, x: np.ndarray, columns: np.ndarray, frame: np.ndarray) -> np.ndarray:
        """Lay out what the windows of some examples see; return the columns."""
        n = len(x)
        if self.is_padded:
            wide = self.frame(frame, n)
            wide.fill(0)
            wide[self.grid.inside] = x
            x = wide
        found, seen = self.columns(columns, n), self.grid.view(x)
        np.copyto(found.reshape(seen.shape), seen)
        return found

    def as_rows(self, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Lay out an output [n, O, *T] as rows; return them."""
        found = self.rows(rows, len(y))
        np.copyto(found.reshape(self.filters, *self._flat(y).shape[::2]), self._flat(y).swapaxes(0, 1))
        return found

    def from_rows(self, rows: np.ndarray, y: np.ndarray) -> None:
        """Write rows to an output [n, O, *T]."""
        flat = self._flat(y)
        np.copyto(flat, rows.reshape(self.filters, len(y), self.windows).swapaxes(0, 1))

    def _flat(self, y: np.ndarray) -> np.ndarray:
        return y.reshape(len(y), self.filters, self.windows)

    def matrices(self, w: np.ndarray) -> np.ndarray:
        """Return kernels [O, C/groups, *K] as [groups, O/groups, depth]."""
        return w.reshape(self.groups, self.filters // self.groups, self.depth)


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
    cells = c.grid.cells()

    def run(inputs: Arrays, outputs: Arrays) -> None:
        (dy, w), (dx, columns, rows, frame) = inputs, outputs
        for part in c.chunks():
            target = dx[part]
            n = len(target)
            found = c.columns(columns, n)
            np.matmul(c.matrices(w).swapaxes(1, 2), c.as_rows(dy[part], rows), out=found)
            pieces = found.reshape(c.channels, len(cells), n, *c.grid.out)
            wide = c.frame(frame, n) if c.is_padded else target
            wide.fill(0)
            for number, cut in enumerate(cells):
                wide[cut] += pieces[:, number].swapaxes(0, 1)
            if c.is_padded:
                np.copyto(target, wide[c.grid.inside])

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
    index = (low.operand(step.outputs[1]),) if low.is_read(step.outputs[1]) else ()
    masks = [low.temporary(y.spec.shape, "bool") for _ in index * 2]
    return _instruction(_maximum(grid), (y, frame, *index, *masks), (x,))


def _frame(low: Lowering, grid: Grid, x: Spec) -> Operand:
    shape = (*x.shape[:2], *grid.padded) if grid.padded != grid.extents else (0,)
    return low.temporary(shape, x.dtype)


def _framed(grid: Grid, x: np.ndarray, frame: np.ndarray, value: float) -> np.ndarray:
    if frame.size == 0:
        return x
    frame.fill(value)
    frame[grid.inside] = x
    return frame


def _average(grid: Grid, counts: np.ndarray) -> Any:
    cells = grid.cells()

    def run(inputs: Arrays, outputs: Arrays) -> None:
        y, frame = outputs
        wide = _framed(grid, inputs[0], frame, 0)
        np.copyto(y, wide[cells[0]])
        for cut in cells[1:]:
            y += wide[cut]
        y /= counts

    return run


def _maximum(grid: Grid) -> Any:
    cells = grid.cells()

    def run(inputs: Arrays, outputs: Arrays) -> None:
        y, frame, *rest = outputs
        wide = _framed(grid, inputs[0], frame, -np.inf)
        np.copyto(y, wide[cells[0]])
        if rest:
            rest[0].fill(0)
        for number, cut in enumerate(cells[1:], 1):
            cell = wide[cut]
            if rest:  # a cell wins where it is greater, or the first that is not a number
                index, keeps, known = rest
                np.greater_equal(y, cell, out=keeps)
                np.equal(y, y, out=known)
                np.greater(known, keeps, out=known)
                np.copyto(index, number, where=known)
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
    cells = grid.cells()
    apart = all(s >= k for s, k in zip(op.window.stride, op.window.size, strict=True))
    average = op.kind == "average"
    counts = pool_counts(op.window, op.extents, op.count_padding, dy.spec.dtype)
    extra = low.temporary(dy.spec.shape, dy.spec.dtype if average else "bool")

    def run(inputs: Arrays, outputs: Arrays) -> None:
        dx, frame, extra = outputs
        wide = frame if frame.size else dx
        wide.fill(0)
        if average:
            np.divide(inputs[0], counts, out=extra)
        for number, cut in enumerate(cells):
            target = wide[cut]
            if average:
                target += extra
                continue
            chosen = np.equal(inputs[1], number, out=extra)
            if apart:
                np.copyto(target, inputs[0], where=chosen)
            else:
                np.add(target, inputs[0], out=target, where=chosen)
        if frame.size:
            np.copyto(dx, frame[grid.inside])

    return _instruction(run, (dx, _frame(low, grid, dx.spec), extra), (dy, *index))
