"""Letting an op finish its result itself: bias and activation inside a matrix product or convolution."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..expression import substitute, symbol
from ..ops import Map
from ..ops.fused import Fused
from ..program import Program, Step, Value, count_uses, rewrite
from .simplify import remove_dead

Accepts = Callable[[Fused, Sequence[Value]], bool]


def fuse_epilogues(program: Program, accepts: Accepts) -> Program:
    """Return the program with maps moved into the op whose result they finish, where a backend accepts the pair.

    A map qualifies when it has one output of the same spec and the op's result has no other consumer.
    """
    producer = {o: s for s in program.steps for o in s.outputs if len(s.outputs) == 1}
    uses = count_uses(program)
    place: dict[Value, Value] = {}

    def replace(new: Program, step: Step, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        place.update(zip(step.inputs, inputs, strict=True))
        if not isinstance(step.op, Map) or len(step.outputs) != 1:
            return None
        for v in step.inputs:
            source = producer.get(v)
            if (
                source is None
                or isinstance(source.op, Map)
                or uses[v] != 1
                or v.spec != step.outputs[0].spec
            ):
                continue
            rest = [w for w in step.inputs if w is not v]
            order = [symbol(0) if w is v else symbol(1 + rest.index(w)) for w in step.inputs]
            expression = substitute(step.op.expressions[0], order)
            op = Fused(source.op, len(source.inputs), expression)
            if accepts(op, [*source.inputs, *rest]):
                return (new.apply(op, *(place[w] for w in (*source.inputs, *rest))),)
        return None

    return remove_dead(rewrite(program, replace))
