"""Merging elementwise steps: the expression of the producer replaces the symbol in the consumer."""

from __future__ import annotations

from collections.abc import Sequence

from ..expression import Expression, cost, substitute, symbol
from ..ops import Map
from ..program import Program, Step, Value, rewrite
from .simplify import remove_dead

MAX_INPUTS = 24  # beyond this a fused loop runs out of registers for its pointers
RECOMPUTE_COST = 3  # cycles per element; storing and loading a float costs about as much


def fuse_maps(program: Program, small: int = 0) -> Program:
    """Return the program with maps merged into the maps that consume them.

    A map is merged where that saves a pass over memory and repeats no real work: it has one consumer, or it costs
    next to nothing and reads no more than its consumers read of it. Where starting a step costs more than a pass over
    `small` bytes, work on fewer is repeated, and a single number computed again for each element.
    """
    absorbed = _absorbed(program, small)
    made: dict[Value, tuple[Expression, tuple[Value, ...]]] = {}

    def replace(new: Program, step: Step, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        if not isinstance(step.op, Map):
            return None
        operands: list[Value] = []

        def place(v: Value) -> Expression:
            if v in made:
                inner, sources = made[v]
                return substitute(inner, [place(s) for s in sources])
            if v not in operands:
                operands.append(v)
            return symbol(operands.index(v))

        table = [place(v) for v in inputs]
        expressions = tuple(substitute(e, table) for e in step.op.expressions)
        used = sorted(frozenset().union(*(e.symbols for e in expressions)))
        renumber = [symbol(used.index(i)) if i in used else symbol(0) for i in range(len(operands))]
        expressions = tuple(substitute(e, renumber) for e in expressions)
        sources = tuple(operands[i] for i in used)
        op = Map(expressions, step.op.dtypes, step.outputs[0].shape)
        outputs = tuple(Value(o.spec, new, o.name) for o in step.outputs)
        new.steps.append(Step(op, sources, outputs, step.label))
        if step in absorbed:
            made.update({o: (e, sources) for o, e in zip(outputs, expressions, strict=True)})
        return outputs

    return remove_dead(rewrite(program, replace))


def _absorbed(program: Program, small: int) -> set[Step]:
    """Return the maps to merge into all of their consumers."""
    named = set(program.outputs.values()) | set(program.updates.values())
    consumers: dict[Value, list[Step]] = {}
    for step in program.steps:
        for v in dict.fromkeys(step.inputs):
            consumers.setdefault(v, []).append(step)
    chosen: set[Step] = set()
    width: dict[Step, int] = {}
    for step in program.steps:
        if not isinstance(step.op, Map) or any(o in named for o in step.outputs):
            continue
        users = list(dict.fromkeys(u for o in step.outputs for u in consumers.get(o, [])))
        fits = users and all(_fits(step, u, small) for u in users)
        if fits and (_worthwhile(step, users) or _is_small(step, small)):
            total = {u: width.get(u, len(u.inputs)) + len(step.inputs) for u in users}
            if max(total.values()) <= MAX_INPUTS:
                width.update(total)
                chosen.add(step)
    return chosen


def _is_small(step: Step, small: int) -> bool:
    return sum(v.spec.bytes for v in (*step.inputs, *step.outputs)) <= small


def _fits(step: Step, user: Step, small: int = 0) -> bool:
    if not isinstance(user.op, Map):
        return False
    scalar = step.outputs[0].spec.size == 1 and (not step.inputs or _is_small(step, small))
    if step.outputs[0].shape != user.outputs[0].shape and not scalar:
        return False
    return all(
        o.dtype == user.op.computes_in(v.dtype for v in user.inputs)
        or (o.dtype == "bool" and e.is_bool)
        or o not in user.inputs
        for o, e in zip(step.outputs, step.op.expressions, strict=True)  # type: ignore[attr-defined]
    )


def _worthwhile(step: Step, users: Sequence[Step]) -> bool:
    if not step.inputs or len(users) == 1:
        return True
    op = step.op
    work = sum(cost(e) for e in op.expressions) if isinstance(op, Map) else 0
    whole = step.outputs[0].spec.bytes
    for user in users:
        extra = sum(v.spec.bytes for v in step.inputs if v not in user.inputs)
        extra -= sum(o.spec.bytes for o in step.outputs if o in user.inputs)
        if work > RECOMPUTE_COST or extra > whole // 8:
            return False
    return True
