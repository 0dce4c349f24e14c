"""Pooling and its gradients in NumPy, position by position of the window, for when there is no native engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import Pool, PoolGradient
from ...program import Step
from ...reference import pool_counts
from ...spec import Spec
from ..instruction import Instruction, Operand
from ..lowering import Lowering
from .numpy_windows import Arrays, Grid, fits, instruction


def pool(low: Lowering, step: Step) -> list[Instruction] | None:
    """The running maximum or sum over the positions inside the window."""
    op = step.op
    x, y = low.operand(step.inputs[0]), low.operand(step.outputs[0])
    if not isinstance(op, Pool) or not fits(x, y):
        return None
    grid = Grid(op.window, x.spec.shape[2:], y.spec.shape[2:])
    frame = _frame(low, grid, x.spec)
    if op.kind == "average":
        counts = pool_counts(op.window, grid.extents, op.count_padding, x.spec.dtype)
        return instruction(_average(grid, counts), (y, frame), (x,))
    spare = low.temporary(y.spec.shape, y.spec.dtype)
    if not low.is_read(step.outputs[1]):
        return instruction(_maximum(grid), (y, frame, spare), (x,))
    index = low.operand(step.outputs[1])
    more = [low.temporary(y.spec.shape, d) for d in ("bool", "bool", index.spec.dtype)]
    return instruction(_maximum(grid), (y, frame, spare, index, *more), (x,))


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
    if not isinstance(op, PoolGradient) or not fits(dx, dy):
        return None
    grid = Grid(op.window, op.extents, dy.spec.shape[2:])
    share = low.temporary(dy.spec.shape, dy.spec.dtype)
    outputs = (dx, _frame(low, grid, dx.spec), share)
    if op.kind == "average":
        counts = pool_counts(op.window, op.extents, op.count_padding, dy.spec.dtype)
        return instruction(_spread(grid, counts), outputs, (dy,))
    return instruction(
        _hand_back(grid), (*outputs, low.temporary(dy.spec.shape, "bool")), (dy, *index)
    )


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
        bits = np.dtype(
            f"i{dy.itemsize}"
        )  # the bits of dy times 0 or 1: dy or 0, infinities included
        wide = frame if frame.size else dx
        wide.fill(0)
        for number, cut in enumerate(cells):
            np.equal(index, number, out=chosen)
            np.multiply(dy.view(bits), chosen, out=share.view(bits), dtype=bits)
            wide[:, :, *cut] += share
        if frame.size:
            np.copyto(dx, frame[:, :, *grid.inside])

    return run
