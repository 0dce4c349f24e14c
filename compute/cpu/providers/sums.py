"""Sums of elementwise expressions along rows: one pass of a tape, then a reduction of what the rows gave."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...ops.summed import SummedMap
from ...plan.geometry import Layout, axis_groups, strides_of
from ...program import Step, Value
from ...spec import Shape
from .. import tape
from ..instruction import Instruction
from ..lowering import Lowering
from ..native import native
from .reduction import reduce_groups

MOST_SUMS = 8  # csrc/kernels/tape.cpp
SHORT_ROW = 64  # elements: the setting up of a row takes as long as 500
SMALL = 1 << 15  # elements; below, everything stays in the cache and a pass costs nothing
FEW_ROWS = 8  # to share out
GRAIN = 1 << 13  # elements


def fits(op: SummedMap, inputs: Sequence[Value]) -> bool:
    """Whether there is a kernel for these sums."""
    if (
        native() is None
        or len(op.expressions) > MOST_SUMS
        or op.dtype not in ("float32", "float64")
    ):
        return False
    known = all(v.dtype in (op.dtype, "bool") for v in inputs)
    return known and _rows(op, [v.shape for v in inputs]) is not None


def accepts_sums(op: SummedMap, inputs: Sequence[Value]) -> bool:
    """Whether there is a kernel for these sums, and it is faster than a map and a reduction."""
    if not fits(op, inputs) or math.prod(op.shape) < SMALL:
        return False
    layout = _rows(op, [v.shape for v in inputs])
    return (
        layout is not None
        and layout.shape[-1] >= SHORT_ROW
        and math.prod(layout.shape[:-1]) >= FEW_ROWS
    )


def _rows(op: SummedMap, operands: Sequence[Shape]) -> Layout | None:
    """Return the loops over rows of reduced elements, or None where an operand moves otherwise within a row."""
    rank = len(op.shape)
    first = rank
    while first - 1 in op.axes:
        first -= 1
    inner = math.prod(op.shape[first:])
    outer = op.shape[:first] or (1,)
    moves = []
    for shape in operands:
        full = (1,) * (rank - len(shape)) + shape
        row = math.prod(full[first:])
        if row not in (1, inner):
            return None
        steps = [s if n != 1 else 0 for n, s in zip(full, strides_of(full), strict=True)]
        moves.append((*(steps[:first] or (0,)), int(row == inner and inner > 1)))
    results = [(*strides_of(outer), 0)] * len(op.expressions)
    return Layout((*outer, inner), (*results, *moves))


def summed_map(low: Lowering, step: Step) -> list[Instruction] | None:
    """One pass over the inputs, however many sums there are."""
    op = step.op
    if not isinstance(op, SummedMap):
        return None
    layout = _rows(op, [v.shape for v in step.inputs])
    if layout is None or native() is None:
        return None
    count = len(op.expressions)
    made = tape.encode(
        op.expressions, [v.dtype for v in step.inputs], [op.dtype] * count, op.dtype, layout, [()] * count,
        sums=True,
    )  # fmt: skip
    if made is None:
        return None
    outer, inner = layout.shape[:-1], layout.shape[-1]
    groups = axis_groups(outer, tuple(a for a in op.axes if a < len(outer)))
    results = low.operands(step.outputs)
    rows = results if not groups else tuple(low.temporary(outer, op.dtype) for _ in results)
    summed = Instruction(
        "native", made.kernel, rows, low.operands(step.inputs), integers=made.integers, reals=made.reals,
        units=math.prod(outer), grain=max(1, GRAIN // inner), scratch=made.scratch, provider="native tape",
    )  # fmt: skip
    totals = [
        one
        for row, result in zip(rows, results, strict=True)
        for one in (reduce_groups(low, "sum", result, row, groups) if groups else ())
    ]
    return [summed, *totals]
