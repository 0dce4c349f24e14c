"""Random numbers: the native Philox."""

from __future__ import annotations

from ...ops import Random
from ...program import Step
from ..instruction import Instruction
from ..lowering import Lowering
from ..native import native

TYPES = {"float32": "f32", "float64": "f64"}


def random(low: Lowering, step: Step) -> list[Instruction] | None:
    """Fill with numbers from counters."""
    op = step.op
    if not isinstance(op, Random) or native() is None:
        return None
    target = low.operand(step.outputs[0])
    return [
        Instruction(
            "native", f"random_{op.kind}_{TYPES[op.dtype]}", (target,), low.operands(step.inputs),
            integers=(op.number, target.spec.size, op.first // 4), units=-(-target.spec.size // 4), grain=512,
        )
    ]  # fmt: skip
