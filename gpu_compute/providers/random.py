"""Random numbers and dropout: Philox from counters that lie on the device, so a replayed graph draws anew."""

from __future__ import annotations

from cortex.compute.ops import Dropout, Random
from cortex.compute.program import Step

from ..instruction import Instruction
from ..lowering import Lowering
from .launch import launch


def random(low: Lowering, step: Step) -> list[Instruction] | None:
    """Fill with numbers from counters."""
    op = step.op
    if not isinstance(op, Random):
        return None
    target = low.operand(step.outputs[0])
    seed, counter = low.operands(step.inputs)
    arguments = (target, seed, counter, op.number, op.first // 4, target.spec.size)
    return [launch(f"random_{op.kind}", op.dtype, arguments, (target,))]


def keeps_dropout(step: Step) -> bool:
    """Whether a dropout is one kernel: the Bernoulli kind, from the start of a block of four numbers on."""
    op = step.op
    return isinstance(op, Dropout) and op.distribution == "bernoulli" and op.first % 4 == 0


def dropout(low: Lowering, step: Step) -> list[Instruction] | None:
    """Draw the mask and apply it in one pass over memory."""
    op = step.op
    if not isinstance(op, Dropout):
        return None
    x, seed, counter = low.operands(step.inputs)
    y = low.operand(step.outputs[0])
    scale = 1 / (1 - op.probability)
    arguments = (y, x, seed, counter, op.number, op.first // 4, op.probability, scale, y.spec.size)
    return [launch("dropout", y.spec.dtype, arguments, (y,))]
