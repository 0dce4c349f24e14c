"""Elementwise steps: a kernel written out from the expressions, for exactly this broadcasting."""

from __future__ import annotations

from cortex.compute.ops import Map
from cortex.compute.plan.geometry import collapse
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
    operands = (*outputs, *inputs)
    layout = collapse(step.outputs[0].shape, [o.spec.shape for o in operands])
    form = form_of(
        op.expressions, [o.spec.dtype for o in outputs], [o.spec.dtype for o in inputs],
        op.computes_in(v.dtype for v in step.inputs), layout, [o.alignment for o in operands],
    )  # fmt: skip
    arguments = (*operands, *values_of(form, layout, ()))
    return [Instruction(MapTarget(form), arguments, outputs, provider="emitted")]
