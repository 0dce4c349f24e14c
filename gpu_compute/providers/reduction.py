"""Reductions over [outer, count, inner], one launch for each separated group of axes; long ones in two passes."""

from __future__ import annotations

from cortex.compute.ops import Reduce
from cortex.compute.plan.geometry import axis_groups
from cortex.compute.plan.storage import Operand
from cortex.compute.program import Step

from ..instruction import Instruction
from ..kernels.launch import parts_of
from ..lowering import Lowering
from .launch import launch
from .movement import fill

EMPTY = {"sum": 0.0, "prod": 1.0}


def reduce(low: Lowering, step: Step) -> list[Instruction] | None:
    """Reduce the innermost group of axes first, into temporaries."""
    op = step.op
    if not isinstance(op, Reduce):
        return None
    source, target = low.operand(step.inputs[0]), low.operand(step.outputs[0])
    if source.spec.size == 0:
        return [fill(target, EMPTY[op.kind])] if op.kind in EMPTY else None
    groups = axis_groups(source.spec.shape, op.axes)
    if not groups:  # no axes: every element is its own result
        groups = [(source.spec.size, 1, 1)]
    if op.kind == "argmax":
        return [_argmax(target, source, groups[0])]
    made: list[Instruction] = []
    for number, (outer, count, inner) in enumerate(groups):
        last = number == len(groups) - 1
        result = target if last else low.temporary((outer * inner,), target.spec.dtype)
        made += _one(low, op.kind, result, source, (outer, count, inner))
        source = result
    return made


def _one(
    low: Lowering, kind: str, target: Operand, source: Operand, group: tuple[int, int, int]
) -> list[Instruction]:
    outer, count, inner = group
    parts = parts_of(count, outer * inner)
    if parts == 1:
        return [_call(kind, target, source, group, 1)]
    parts = -(-count // -(-count // parts))  # so that no part is empty
    partial = low.temporary((outer, parts, inner), target.spec.dtype)
    first = _call(kind, partial, source, group, parts)
    return [first, _call(kind, target, partial, (outer, parts, inner), 1)]


def _call(
    kind: str, target: Operand, source: Operand, group: tuple[int, int, int], parts: int
) -> Instruction:
    outer, count, inner = group
    dtype, writes = source.spec.dtype, (target,)
    if inner == 1:
        return launch(f"{kind}_rows", dtype, (target, source, outer, count, parts), writes)
    arguments = (target, source, outer, count, inner, parts)
    return launch(f"{kind}_columns", dtype, arguments, writes)


def _argmax(target: Operand, source: Operand, group: tuple[int, int, int]) -> Instruction:
    outer, count, inner = group
    arguments, dtype = (target, source, outer, count), source.spec.dtype
    if inner == 1:
        return launch("argmax_rows", dtype, arguments, (target,))
    return launch("argmax_columns", dtype, (*arguments, inner), (target,))


def sum_parts(target: Operand, partial: Operand, parts: int) -> Instruction:
    """Return the sum of `parts` dense arrays that lie behind one another."""
    return _call("sum", target, partial, (1, parts, target.spec.size), 1)


def summed(
    low: Lowering, target: Operand, source: Operand, group: tuple[int, int, int]
) -> list[Instruction]:
    """Return the sum of `source`, seen as (outer, count, inner), over count."""
    return _one(low, "sum", target, source, group)
