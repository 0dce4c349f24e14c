"""Elementwise steps: Numba."""

from __future__ import annotations

from ...ops import Map
from ...program import Step
from ..instruction import Instruction
from ..lowering import Lowering
from ..maps import Form, collapse, compiled, integers, units_and_grain


def with_numba(low: Lowering, step: Step) -> list[Instruction] | None:
    """Return one call of the loop that Numba compiles for the step's expressions."""
    op = step.op
    if not isinstance(op, Map) or any(v.spec.size == 0 for v in step.outputs):
        return None
    outputs, inputs = low.operands(step.outputs), low.operands(step.inputs)
    layout = collapse(step.outputs[0].shape, [o.spec.shape for o in (*outputs, *inputs)])
    form = Form(
        op.expressions,
        tuple(o.spec.dtype for o in inputs),
        tuple(o.spec.dtype for o in outputs),
        compute_dtype(step),
        layout.classes,
        len(layout.shape),
        _written_over(low, step),
    )
    function = compiled(form)
    units, grain = units_and_grain(layout)
    return [
        Instruction(
            "function", function.address, outputs, inputs, integers=integers(layout), units=units, grain=grain,
            provider="numba", keep=function,
        )
    ]  # fmt: skip


def compute_dtype(step: Step) -> str:
    """Return the dtype in which a map computes (see `Map`)."""
    names = {v.dtype for v in (*step.inputs, *step.outputs)}
    return "float64" if "float64" in names else "float32" if "float32" in names else "int64"


def _written_over(low: Lowering, step: Step) -> tuple[int, ...]:
    """Return, for each output, the input that lies at the same place, or -1."""
    return tuple(
        next((i for i, v in enumerate(step.inputs) if low.storage.same(v, o) and v.spec == o.spec), -1)
        for o in step.outputs
    )
