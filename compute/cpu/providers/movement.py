"""Movement that no alias can serve: strided copies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...ops import Concatenate, Pad, Slice, Transpose
from ...plan.geometry import strides_of
from ...program import Step
from ...spec import ITEM_BYTES, Shape
from ..instruction import Instruction, Operand
from ..lowering import Lowering
from ..native import native

FEW = 64  # pieces of an axis that is worth splitting: at least 16 go together, so that transposes stay fast
GRAIN_BYTES = 1 << 15  # a piece worth a thread: about 1 microsecond of copying


def copy(
    target: Operand, source: Operand, shape: Shape, to: Sequence[int], start: Sequence[int]
) -> Instruction | None:
    """Return target[i * to] = source[i * start] for all indices i of `shape`; strides in elements."""
    item = ITEM_BYTES[target.spec.dtype]
    if native() is None or len(shape) > 8:
        return None
    rows = shape[0] if shape else 1
    row_bytes = max(1, math.prod(shape[1:]) * item)
    return Instruction(
        "native",
        f"copy_b{item}",
        (target,),
        (source,),
        integers=(len(shape), *shape, *to, *start),
        units=rows,
        grain=max(16, GRAIN_BYTES // row_bytes),
    )


def copy_whole(low: Lowering, target: Operand, source: Operand) -> Instruction:
    """Return the copy of a dense value to another place."""
    shape = (source.spec.size,)
    made = copy(target, source, shape, (1,), (1,))
    if made is not None:
        return made

    def run(inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        np.copyto(outputs[0], inputs[0])

    return Instruction("python", run, (target,), (source,), provider="numpy")


def fill(target: Operand, value: float) -> Instruction:
    """Return the instruction that fills a dense value with one number."""
    bits = np.array([value], target.spec.dtype)
    item = ITEM_BYTES[target.spec.dtype]
    number = int(bits.view({1: np.int8, 4: np.int32, 8: np.int64}[item])[0])
    return Instruction(
        "native", f"fill_b{item}", (target,), (), integers=(number, 1, target.spec.size, 1),
        units=target.spec.size, grain=GRAIN_BYTES // item,
    )  # fmt: skip


def _result(made: list[Instruction | None]) -> list[Instruction] | None:
    kept = [i for i in made if i is not None]
    return kept if len(kept) == len(made) else None


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
    return _result([copy(target, source.moved(offset), shape, strides_of(shape), start)])


def transpose(low: Lowering, step: Step) -> list[Instruction] | None:
    """Copy with permuted strides; the longest axis is shared out, as the first may be four blocks of examples."""
    op = step.op
    if not isinstance(op, Transpose):
        return None
    source, target = low.operand(step.inputs[0]), low.operand(step.outputs[0])
    lines: list[
        list[int]
    ] = []  # extent, stride of the target, of the source; axes that stay together are one
    from_dense, to_dense = strides_of(source.spec.shape), strides_of(target.spec.shape)
    for k, axis in enumerate(op.axes):
        joined = k > 0 and axis == op.axes[k - 1] + 1
        extent = lines.pop()[0] if joined else 1
        lines.append([extent * target.spec.shape[k], to_dense[k], from_dense[axis]])
    if lines and lines[0][0] < FEW:
        lines.sort(key=lambda line: -line[0])
    shape, to, start = (tuple(line[i] for line in lines) for i in range(3))
    return _result([copy(target, source, shape, to, start)])


def pad(low: Lowering, step: Step) -> list[Instruction] | None:
    """Fill, then copy the inside."""
    op = step.op
    if not isinstance(op, Pad) or native() is None:
        return None
    source, target = low.operand(step.inputs[0]), low.operand(step.outputs[0])
    dense = strides_of(target.spec.shape)
    offset = sum(a * s for a, s in zip(op.low, dense, strict=True))
    to = [(b + 1) * s for b, s in zip(op.between, dense, strict=True)]
    made: list[Instruction | None] = [fill(target, op.value)]
    if source.spec.size:
        made.append(
            copy(target.moved(offset), source, source.spec.shape, to, strides_of(source.spec.shape))
        )
    return _result(made)


def concatenate(low: Lowering, step: Step) -> list[Instruction] | None:
    """Copy the pieces that were not computed in place."""
    op = step.op
    if not isinstance(op, Concatenate):
        return None
    target = low.operand(step.outputs[0])
    dense = strides_of(target.spec.shape)
    made: list[Instruction | None] = []
    position = 0
    for value in step.inputs:
        piece, part = low.operand(value), target.moved(position * dense[op.axis])
        position += value.shape[op.axis]
        if value.spec.size and part.place.resolved != piece.place.resolved:
            made.append(copy(part, piece, value.shape, dense, strides_of(value.shape)))
    return _result(made)
