"""Movement that no alias can serve: copies between strides, by item size whatever the dtype."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cortex.compute.errors import BackendError
from cortex.compute.ops import Concatenate, Pad, Slice, Transpose
from cortex.compute.plan.geometry import strides_of
from cortex.compute.plan.storage import Operand
from cortex.compute.program import Step
from cortex.compute.spec import ITEM_BYTES, Shape

from ..instruction import Instruction, copy
from ..lowering import Lowering
from .launch import launch

AXES = 8  # of the struct `Strided` in csrc/device/movement.cu
TILE = 32  # from this many rows and columns on, a transpose goes through shared memory


def slice_(low: Lowering, step: Step) -> list[Instruction] | None:
    """Copy a strided range."""
    op = step.op
    if not isinstance(op, Slice):
        return None
    source, target = low.operand(step.inputs[0]), low.operand(step.outputs[0])
    dense = strides_of(source.spec.shape)
    offset = sum(a * s for a, s in zip(op.start, dense, strict=True))
    start = [k * s for k, s in zip(op.steps, dense, strict=True)]
    shape = target.spec.shape
    return strided(target, source.moved(offset), shape, strides_of(shape), start)


def transpose(low: Lowering, step: Step) -> list[Instruction] | None:
    """Copy with permuted strides."""
    op = step.op
    if not isinstance(op, Transpose):
        return None
    source, target = low.operand(step.inputs[0]), low.operand(step.outputs[0])
    return permuted(target, source, op.axes)


def permuted(target: Operand, source: Operand, axes: Sequence[int]) -> list[Instruction]:
    """Copy the dense `source` so that axis i of the target is its axis `axes[i]`."""
    dense = strides_of(source.spec.shape)
    shape = tuple(source.spec.shape[a] for a in axes)
    return strided(target, source, shape, strides_of(shape), [dense[a] for a in axes])


def pad(low: Lowering, step: Step) -> list[Instruction] | None:
    """Fill, then copy the inside."""
    op = step.op
    if not isinstance(op, Pad):
        return None
    source, target = low.operand(step.inputs[0]), low.operand(step.outputs[0])
    dense = strides_of(target.spec.shape)
    offset = sum(a * s for a, s in zip(op.low, dense, strict=True))
    to = [(b + 1) * s for b, s in zip(op.between, dense, strict=True)]
    made = [fill(target, op.value)]
    if source.spec.size:
        shape = source.spec.shape
        made += strided(target.moved(offset), source, shape, to, strides_of(shape), whole=target)
    return made


def concatenate(low: Lowering, step: Step) -> list[Instruction] | None:
    """Copy the pieces that were not computed in place."""
    op = step.op
    if not isinstance(op, Concatenate):
        return None
    target = low.operand(step.outputs[0])
    dense = strides_of(target.spec.shape)
    made: list[Instruction] = []
    position = 0
    for value in step.inputs:
        piece, part = low.operand(value), target.moved(position * dense[op.axis])
        position += value.shape[op.axis]
        if value.spec.size and part.place.resolved != piece.place.resolved:
            made += strided(part, piece, value.shape, dense, strides_of(value.shape), whole=target)
    return made


def fill(target: Operand, value: float) -> Instruction:
    """Return the instruction that fills a dense value with one number, as bits of its size."""
    item = ITEM_BYTES[target.spec.dtype]
    unsigned = {1: np.uint8, 4: np.uint32, 8: np.uint64}[item]
    bits = int(np.array([value]).astype(target.spec.dtype).view(unsigned)[0])
    size = target.spec.size
    return launch("fill", raw(item), (target, bits, size), (target,))


def raw(item: int) -> str:
    """Return the name of the dtype that stands for items of so many bytes."""
    return f"raw{8 * item}"


def strided(
    target: Operand,
    source: Operand,
    shape: Shape,
    to: Sequence[int],
    start: Sequence[int],
    whole: Operand | None = None,
) -> list[Instruction]:
    """Return target[i * to] = source[i * start] for all indices i of `shape`; strides in elements."""
    count = math.prod(shape)
    if not count:
        return []
    writes = (whole or target,)
    item = ITEM_BYTES[target.spec.dtype]
    axes = collapsed(shape, to, start)
    if axes == [(count, 1, 1)]:
        if count == target.spec.size:
            return [copy(target, source)]
        return [launch("copy", raw(item), (target, source, count), writes)]
    if (square := _square(axes)) is not None:
        return [launch("transpose", raw(item), (target, source, *square), writes)]
    if len(axes) > AXES:
        raise BackendError(
            f"cuda: a copy along {len(axes)} axes, {AXES} at most are possible; reshape first"
        )
    full = [(1, 0, 0)] * (AXES - len(axes)) + axes
    shape_and_strides = dict(zip(("extent", "to", "from"), zip(*full, strict=True), strict=True))
    arguments = (target, source, shape_and_strides, count)
    return [launch("copy_strided", raw(item), arguments, writes)]


Axis = tuple[int, int, int]  # extent, stride in the target, stride in the source


def collapsed(shape: Shape, to: Sequence[int], start: Sequence[int]) -> list[Axis]:
    """Return the axes of a copy, those that are one in memory on both sides merged, outermost first."""
    axes: list[Axis] = []
    for n, t, s in zip(shape, to, start, strict=True):
        if n == 1:
            continue
        if axes and axes[-1][1:] == (t * n, s * n):
            axes[-1] = (axes[-1][0] * n, t, s)
        else:
            axes.append((n, t, s))
    return axes or [(1, 1, 1)]


def _square(axes: list[Axis]) -> tuple[int, int, int] | None:
    """Return (batch, rows, columns) of the source where a copy only swaps its last two axes, else None."""
    batch, pair = (axes[0][0], axes[1:]) if len(axes) == 3 else (1, axes)
    if len(pair) != 2:
        return None
    (columns, column_to, column_from), (rows, row_to, row_from) = pair
    dense = (column_to, row_to, row_from, column_from) == (rows, 1, columns, 1)
    whole = batch == 1 or axes[0][1:] == (rows * columns, rows * columns)
    return (batch, rows, columns) if dense and whole and min(rows, columns) >= TILE else None
