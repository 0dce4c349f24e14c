"""Convolution and its gradients as matrix products in NumPy, for when there is no native engine.

A convolution lays the cells that each window sees side by side, columns [groups, C/groups K, T n] for n examples of
the batch, and multiplies once; its two gradients are the same product turned around. Examples come last, so that what
is copied lies together: with rows of 8 cells instead, LeNet's second convolution takes three times as long. The batch
is cut into chunks whose columns stay within `CHUNK_BYTES`: columns are K times their input, and products of matrices
that fit into the caches run faster besides. All of this memory is part of the plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...ops import Convolution, ConvolutionInputGradient, ConvolutionKernelGradient, Window
from ...program import Step
from ...spec import ITEM_BYTES, Shape, Spec
from ..instruction import Instruction, Operand
from ..lowering import Lowering
from .numpy_windows import Arrays, Grid, fits, instruction

CHUNK_BYTES = (
    1 << 21
)  # of columns: LeNet steps in 19.0 ms, 22.2 with a quarter of it, 20.8 with twice as much


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


def convolution(low: Lowering, step: Step) -> list[Instruction] | None:
    """y = w columns(x)."""
    op = step.op
    (x, w), y = low.operands(step.inputs), low.operand(step.outputs[0])
    if not isinstance(op, Convolution) or not fits(x, w, y):
        return None
    c = _columns(op.window, op.groups, x.spec, y.spec)

    def run(inputs: Arrays, outputs: Arrays) -> None:
        (x, w), (y, columns, rows, frame) = inputs, outputs
        for part in c.chunks():
            seen = c.gather(x[part], columns, frame)
            product = c.rows(rows, len(x[part]))
            np.matmul(c.matrices(w), seen, out=product)
            c.from_rows(product, y[part])

    return instruction(run, (y, *c.buffers(low)), (x, w))


def convolution_input_gradient(low: Lowering, step: Step) -> list[Instruction] | None:
    """columns(dx) = w^T dy, each cell the sum over the windows that see it."""
    op = step.op
    (dy, w), dx = low.operands(step.inputs), low.operand(step.outputs[0])
    if not isinstance(op, ConvolutionInputGradient) or not fits(dy, w, dx):
        return None
    c = _columns(op.window, op.groups, dx.spec, dy.spec)

    def run(inputs: Arrays, outputs: Arrays) -> None:
        (dy, w), (dx, columns, rows, frame) = inputs, outputs
        for part in c.chunks():
            found = c.columns(columns, len(dx[part]))
            np.matmul(c.matrices(w).swapaxes(1, 2), c.as_rows(dy[part], rows), out=found)
            c.scatter(found, frame, dx[part])

    return instruction(run, (dx, *c.buffers(low)), (dy, w))


def convolution_kernel_gradient(low: Lowering, step: Step) -> list[Instruction] | None:
    """dw = dy columns(x)^T, summed over the chunks of the batch."""
    op = step.op
    (x, dy), dw = low.operands(step.inputs), low.operand(step.outputs[0])
    if not isinstance(op, ConvolutionKernelGradient) or not fits(x, dy, dw):
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
    return instruction(run, (dw, *c.buffers(low, partial)), (x, dy))
