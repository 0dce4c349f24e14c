"""Random numbers, and dropout that draws them where it needs them: the native Philox."""

from __future__ import annotations

import math

from ...layouts import BATCH_LANES, LANES
from ...ops import Dropout, Random
from ...ops.arranged import Arranged
from ...program import Step
from ..instruction import Instruction
from ..lowering import Lowering
from ..native import native

TYPES = {"float32": "f32", "float64": "f64"}
PIECE = 256  # numbers of a unit of work; csrc/philox.h
GRAIN = 8  # units: about a microsecond


def random(low: Lowering, step: Step) -> list[Instruction] | None:
    """Fill with numbers from counters."""
    op = step.op
    if not isinstance(op, Random) or native() is None:
        return None
    target = low.operand(step.outputs[0])
    return [
        Instruction(
            "native", f"random_{op.kind}_{TYPES[op.dtype]}", (target,), low.operands(step.inputs),
            integers=(op.number, target.spec.size, op.first // 4), units=-(-target.spec.size // PIECE), grain=GRAIN,
        )
    ]  # fmt: skip


def keeps_dropout(step: Step) -> bool:
    """Whether a step is a dropout, dense or in batch lanes, that needs no numbers from memory."""
    op, x = step.op, step.outputs[0]
    if isinstance(op, Arranged) and op.layout == BATCH_LANES:
        op = op.op
    return isinstance(op, Dropout) and native() is not None and x.dtype in TYPES and x.spec.size > 0


def dropout(low: Lowering, step: Step) -> list[Instruction] | None:
    """Read x, draw, write y: one pass."""
    if not keeps_dropout(step):
        return None
    outer = step.op
    op = outer.op if isinstance(outer, Arranged) else outer
    if not isinstance(op, Dropout):
        return None
    x = step.inputs[0].spec
    p = op.probability
    reals = (p, 1 / (1 - p)) if op.distribution == "bernoulli" else (math.sqrt(p / (1 - p)),)
    name = f"dropout_{op.distribution}"
    integers: tuple[int, ...] = (op.number, x.size, op.first)
    units, grain = -(-x.size // PIECE), GRAIN
    if isinstance(outer, Arranged):
        elements = math.prod(x.shape[1:]) // LANES
        name, integers = f"{name}_lanes", (op.number, elements, op.first, outer.batch)
        units, grain = x.shape[0] * -(-elements // PIECE), 1
    outputs, inputs = low.operands(step.outputs), low.operands(step.inputs)
    return [
        Instruction(
            "native", f"{name}_{TYPES[x.dtype]}", outputs, inputs, integers=integers, reals=reals,
            units=units, grain=grain,
        )
    ]  # fmt: skip
