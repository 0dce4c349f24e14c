"""Chains of two ops: what lies between is never written, where a backend has a kernel for both."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..ops.chain import Chain
from ..program import Program, Step, Value, count_uses, rewrite
from ..spec import Spec
from .simplify import remove_dead

Accepts = Callable[[Chain, Sequence[Spec]], bool]


def fuse_chains(program: Program, accepts: Accepts) -> Program:
    """Return the program with an op and the only reader of its result made a `Chain`, where a backend accepts it."""
    producer = {s.outputs[0]: s for s in program.steps if len(s.outputs) == 1}
    uses = count_uses(program)
    place: dict[Value, Value] = {}

    def replace(new: Program, step: Step, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        place.update(zip(step.inputs, inputs, strict=True))
        first = producer.get(step.inputs[0]) if len(step.inputs) == 1 else None
        if first is None or uses[step.inputs[0]] != 1:
            return None
        op = Chain(first.op, step.op)
        if not accepts(op, [v.spec for v in first.inputs]):
            return None
        made = new.apply(op, *(place[v] for v in first.inputs))
        return made if isinstance(made, tuple) else (made,)

    return remove_dead(rewrite(program, replace))
