"""Reductions: native kernels over [outer, reduce, inner], one call for each separated group of axes."""

from __future__ import annotations

from collections.abc import Sequence

from ...ops import Reduce
from ...plan.geometry import axis_groups
from ...program import Step
from ..instruction import Instruction, Operand
from ..lowering import Lowering
from ..native import native

TYPES = {
    "float32": "f32",
    "float64": "f64",
    "int32": "i32",
    "int64": "i64",
    "uint8": "u8",
    "bool": "u8",
}
Group = tuple[int, int, int]  # outer, reduced, inner extents
LONG = 1 << 16  # elements: above, a reduction with few results is cut into parts
PARTS = 16
COLUMNS = 128
GRAIN = 1 << 14  # elements: 1 to 2 microseconds


def reduce(low: Lowering, step: Step) -> list[Instruction] | None:
    """Reduce the innermost group of axes first, into temporaries."""
    op = step.op
    source, target = low.operand(step.inputs[0]), low.operand(step.outputs[0])
    if (
        not isinstance(op, Reduce)
        or native() is None
        or source.spec.dtype not in TYPES
        or source.spec.size == 0
    ):
        return None
    groups = axis_groups(source.spec.shape, op.axes)
    if not groups:
        return None
    if op.kind == "argmax":
        return [_argmax(target, source, groups[0])]
    return reduce_groups(low, op.kind, target, source, groups)


def reduce_groups(
    low: Lowering, kind: str, target: Operand, source: Operand, groups: Sequence[Group]
) -> list[Instruction]:
    """Return the reductions of groups of axes, one after the other; see `axis_groups`."""
    made: list[Instruction] = []
    for number, (outer, count, inner) in enumerate(groups):
        last = number == len(groups) - 1
        result = target if last else low.temporary((outer * inner,), target.spec.dtype)
        made += _one(low, kind, result, source, outer, count, inner)
        source = result
    return made


def _one(
    low: Lowering, kind: str, target: Operand, source: Operand, outer: int, count: int, inner: int
) -> list[Instruction]:
    columns = inner if inner <= COLUMNS else COLUMNS
    blocks = outer * -(-inner // columns)
    if blocks < PARTS // 2 and count * inner * outer > LONG:
        block = -(-count // PARTS)
        parts = -(-count // block)
        partial = low.temporary((outer, parts, inner), target.spec.dtype)
        return [
            _call(kind, partial, source, outer, count, inner, block, columns),
            _call(kind, target, partial, outer, parts, inner, parts, columns),
        ]
    return [_call(kind, target, source, outer, count, inner, max(1, count), columns)]


def _call(
    kind: str,
    target: Operand,
    source: Operand,
    outer: int,
    count: int,
    inner: int,
    block: int,
    columns: int,
) -> Instruction:
    parts = max(1, -(-count // block))
    work = max(1, block * min(inner, columns))
    return Instruction(
        "native",
        f"{kind}_{TYPES[source.spec.dtype]}",
        (target,),
        (source,),
        integers=(count, inner, block, columns),
        units=outer * parts * -(-inner // columns),
        grain=max(1, GRAIN // work),
    )


def _argmax(target: Operand, source: Operand, group: tuple[int, int, int]) -> Instruction:
    outer, count, inner = group
    return Instruction(
        "native",
        f"argmax_{TYPES[source.spec.dtype]}",
        (target,),
        (source,),
        integers=(count, inner),
        units=outer,
        grain=max(1, GRAIN // max(1, count * inner)),
    )
