"""Elementwise steps: precompiled loops, tapes for the interpreter, or what Numba compiles."""

from __future__ import annotations

import os
from functools import cache

from ...errors import BackendError, near
from ...ops import Map
from ...program import Step
from ..instruction import Instruction
from ..lowering import Lowering
from ..maps import Form, Layout, collapse, compiled, integers, units_and_grain
from ..native import native
from ..tape import encode

WAYS = ("precompiled", "tape", "numba")


def map_(low: Lowering, step: Step) -> list[Instruction] | None:
    """Return one call of the fastest loop there is for the step's expressions."""
    op = step.op
    if not isinstance(op, Map) or any(v.spec.size == 0 for v in step.outputs):
        return None
    layout = collapse(step.outputs[0].shape, [v.shape for v in (*step.outputs, *step.inputs)])
    ways = {"tape": _tape, "numba": _numba}
    asked = os.environ.get("CORTEX_MAPS")
    if asked: return [ways[asked](low, step, op, layout)] if asked in ways else None
    return [_tape(low, step, op, layout) or _numba(low, step, op, layout)]


def _tape(low: Lowering, step: Step, op: Map, layout: Layout) -> Instruction | None:
    outputs, inputs = low.operands(step.outputs), low.operands(step.inputs)
    tape = encode(
        op.expressions,
        [v.dtype for v in step.inputs],
        [v.dtype for v in step.outputs],
        compute_dtype(step),
        layout,
        _written_over(low, step),
    )
    if tape is None:
        return None
    units, grain = units_and_grain(layout)
    return Instruction(
        "native", tape.kernel, outputs, inputs, integers=tape.integers, reals=tape.reals, units=units, grain=grain,
        scratch=tape.scratch, provider="native tape",
    )  # fmt: skip


def _numba(low: Lowering, step: Step, op: Map, layout: Layout) -> Instruction:
    outputs, inputs = low.operands(step.outputs), low.operands(step.inputs)
    form = Form(
        op.expressions,
        tuple(v.dtype for v in step.inputs),
        tuple(v.dtype for v in step.outputs),
        compute_dtype(step),
        layout.classes,
        len(layout.shape),
        _written_over(low, step),
    )
    function = compiled(form)
    units, grain = units_and_grain(layout)
    return Instruction(
        "function", function.address, outputs, inputs, integers=integers(layout), units=units, grain=grain,
        provider="numba", keep=function,
    )  # fmt: skip


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
