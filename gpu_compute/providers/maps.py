"""Elementwise steps: a kernel written out from the expressions, for exactly this broadcasting."""

from __future__ import annotations

from cortex.compute.expression import Expression, symbol
from cortex.compute.ops import Map
from cortex.compute.plan.geometry import collapse
from cortex.compute.plan.storage import Operand
from cortex.compute.program import Step

from ..device import MapTarget
from ..instruction import Instruction
from ..kernels.emitted import form_of, values_of
from ..lowering import Lowering


def map_(low: Lowering, step: Step) -> list[Instruction] | None:
    """One kernel, whatever the expressions; elements go several at a time where all of them lie aligned."""
    op = step.op
    if not isinstance(op, Map):
        return None
    if step.outputs[0] in low.padding:
        return []
    outputs, inputs = low.operands(step.outputs), low.operands(step.inputs)
    compute = op.computes_in(v.dtype for v in step.inputs)
    return [_emitted(op.expressions, outputs, inputs, compute)]


def converted(target: Operand, source: Operand) -> Instruction:
    """Return the launch that makes float32 of 16-bit floats."""
    return _emitted((symbol(0),), (target,), (source,), "float32")


def _emitted(
    expressions: tuple[Expression, ...],
    outputs: tuple[Operand, ...],
    inputs: tuple[Operand, ...],
    compute: str,
) -> Instruction:
    operands = (*outputs, *inputs)
    layout = collapse(outputs[0].spec.shape, [o.spec.shape for o in operands])
    form = form_of(
        expressions, [o.spec.dtype for o in outputs], [o.spec.dtype for o in inputs], compute,
        layout, [o.alignment for o in operands],
    )  # fmt: skip
    arguments = (*operands, *values_of(form, layout, ()))
    return Instruction(MapTarget(form), arguments, outputs, provider="emitted")
