"""Movement that no alias can serve: copies between strides, by item size whatever the dtype."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from cortex.compute.ops import Concatenate, Pad, Slice, Transpose
from cortex.compute.plan.storage import Operand
from cortex.compute.program import Step
from cortex.compute.spec import ITEM_BYTES

from ..instruction import Instruction, copy
from ..kernels.geometry import Move, moves_of
from ..lowering import Lowering
from ..stored import rounded
from .launch import launch

TILE = 32  # from this many rows and columns on, a transpose goes through shared memory


def movement(low: Lowering, step: Step) -> list[Instruction] | None:
    """A copy for each input that does not lie in its place already; a pad is filled before."""
    op = step.op
    if not isinstance(op, (Transpose, Slice, Pad, Concatenate)):
        return None
    target = low.operand(step.outputs[0])
    made = [fill(target, op.value)] if isinstance(op, Pad) else []
    if any(v in low.padding for v in step.inputs):
        low.cleared.append(target)
    for move in moves_of(op, [v.shape for v in step.inputs], target.spec.shape):
        if step.inputs[move.number] in low.padding:
            continue
        made += moved(target, low.operand(step.inputs[move.number]), move)
    return made


def permuted(target: Operand, source: Operand, axes: Sequence[int]) -> list[Instruction]:
    """Copy the dense `source` so that axis i of the target is its axis `axes[i]`."""
    (move,) = moves_of(Transpose(tuple(axes)), [source.spec.shape], target.spec.shape)
    return moved(target, source, move)


def moved(target: Operand, source: Operand, move: Move) -> list[Instruction]:
    """Return the launch that does a move: nothing, a copy of bytes, a transpose of matrices, or a strided copy."""
    to, start = target.moved(move.to_offset), source.moved(move.source_offset)
    if not move.size or to.place.resolved == start.place.resolved:
        return []
    if move.is_copy and move.size == target.spec.size:
        return [copy(target, start)]
    dtype, writes = raw(ITEM_BYTES[target.spec.dtype]), (target,)
    if move.is_copy:
        return [launch("copy", dtype, (to, start, move.size), writes)]
    matrices = move.matrices
    if matrices is not None and min(matrices[1:]) >= TILE:
        return [launch("transpose", dtype, (to, start, *matrices), writes)]
    return [launch("copy_strided", dtype, (to, start, move.structure, move.size), writes)]


def fill(target: Operand, value: float) -> Instruction:
    """Return the instruction that fills a dense value with one number, as bits of its size."""
    item = ITEM_BYTES[target.spec.dtype]
    held = rounded(np.array([value]), target.spec.dtype)
    bits = int.from_bytes(held.tobytes(), sys.byteorder)
    return launch("fill", raw(item), (target, bits, target.spec.size), (target,))


def raw(item: int) -> str:
    """Return the name of the dtype that stands for items of so many bytes."""
    return f"raw{8 * item}"
