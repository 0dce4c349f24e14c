"""Folding constants, merging equal steps and constants, removing steps that nobody needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..expression import constant, substitute, symbol
from ..ops import Map, Reshape, Slice, Transpose
from ..program import Program, Step, Value, rewrite

SCALAR_BYTES = 8  # one number spread over a shape costs no memory as a map, and fuses as a literal
FOLD_BYTES = 1 << 20  # a folded result above 1 MiB would cost more memory than the step costs time


def simplify(program: Program) -> Program:
    """Return an equal program with fewer steps."""
    return remove_dead(_merge_equal(remove_dead(_fold(program))))


def remove_dead(program: Program) -> Program:
    """Return the program without the steps and constants on which no output or update depends."""
    live = set(program.outputs.values()) | set(program.updates.values())
    kept: list[Step] = []
    for step in reversed(program.steps):
        if any(o in live for o in step.outputs):
            live.update(step.inputs)
            kept.append(step)
    trimmed = Program(
        kept[::-1], program.inputs, program.state, program.updates, program.outputs, program.views,
        {v: a for v, a in program.constants.items() if v in live}, program.random_count,
    )  # fmt: skip
    return rewrite(trimmed, lambda new, step, inputs: None)


def _fold(program: Program) -> Program:
    """Compute steps whose inputs are all constant, and drop movements that move nothing."""
    from ..reference import KERNELS

    def replace(new: Program, step: Step, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        if _moves_nothing(step):
            return inputs[:1]
        spread = isinstance(step.op, Map) and all(v.spec.size == 1 for v in inputs)
        limit = SCALAR_BYTES if spread else FOLD_BYTES
        small = all(o.spec.bytes <= limit for o in step.outputs)
        if not small or any(v not in new.constants for v in inputs) or type(step.op) not in KERNELS:
            return _with_literals(new, step, inputs)
        results = KERNELS[type(step.op)](step.op, *(new.constants[v] for v in inputs))
        return [new.constant(r, r.dtype.name) for r in results]

    return rewrite(program, replace)


def _with_literals(new: Program, step: Step, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
    """Write constants of one element into the expressions of a map."""
    op = step.op
    literal = {
        i: new.constants[v].item()
        for i, v in enumerate(inputs)
        if v in new.constants and v.spec.size == 1
    }
    if not isinstance(op, Map) or not literal:
        return None
    kept = [i for i in range(len(inputs)) if i not in literal]
    table = [
        constant(literal[i]) if i in literal else symbol(kept.index(i)) for i in range(len(inputs))
    ]
    expressions = tuple(substitute(e, table) for e in op.expressions)
    result = new.apply(
        Map(expressions, op.dtypes, step.outputs[0].shape), *(inputs[i] for i in kept)
    )
    return result if isinstance(result, tuple) else (result,)


def _moves_nothing(step: Step) -> bool:
    op = step.op
    if not isinstance(op, (Reshape, Transpose, Slice, Map)) or len(step.inputs) != 1:
        return False
    if step.inputs[0].spec != step.outputs[0].spec:
        return False
    if isinstance(op, Transpose):
        return list(op.axes) == sorted(op.axes)
    if isinstance(op, Map):
        return len(op.expressions) == 1 and op.expressions[0].op == "symbol"
    return True


def _merge_equal(program: Program) -> Program:
    """Record an op on the same inputs once (common subexpressions); equal constants are the same."""
    seen: dict[tuple[Any, ...], tuple[Value, ...]] = {}
    constants: dict[tuple[Any, ...], Value] = {}
    same: dict[Value, Value] = {}

    def one(new: Program, value: Value) -> Value:
        if value in new.constants and value not in same:
            key = (value.spec, new.constants[value].tobytes())
            same[value] = constants.setdefault(key, value)
        return same.get(value, value)

    def replace(new: Program, step: Step, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        inputs = tuple(one(new, v) for v in inputs)
        key = (step.op, *map(id, inputs))
        if key in seen:
            return seen[key]
        outputs = tuple(Value(o.spec, new, o.name) for o in step.outputs)
        new.steps.append(Step(step.op, inputs, outputs, step.label))
        seen[key] = outputs
        return outputs

    return rewrite(program, replace)
