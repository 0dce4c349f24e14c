"""Rows by index: native gather and scatter, with the first bad index reported after the run."""

from __future__ import annotations

import math
from collections.abc import Callable

from ...errors import BackendError
from ...ops import Gather, ScatterAdd
from ...program import Step
from ...spec import ITEM_BYTES
from ..instruction import Instruction
from ..lowering import Lowering
from ..native import native

INDEX = {"uint8": "u8", "int32": "i32", "int64": "i64"}
TYPES = {"float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64"}


def gather(low: Lowering, step: Step) -> list[Instruction] | None:
    """Copy rows."""
    if not isinstance(step.op, Gather) or native() is None:
        return None
    x, index = low.operands(step.inputs)
    target = low.operand(step.outputs[0])
    row = math.prod(x.spec.shape[1:]) * ITEM_BYTES[x.spec.dtype]
    error = low.check(_message("Gather", x.spec.shape[0], step.label))
    return [
        Instruction(
            "native", f"gather_{INDEX[index.spec.dtype]}", (target,), (x, index, error),
            integers=(x.spec.shape[0], row), units=index.spec.size, grain=max(1, (1 << 15) // max(1, row)),
        )
    ]  # fmt: skip


def scatter_add(low: Lowering, step: Step) -> list[Instruction] | None:
    """Add rows in the order of the index."""
    if not isinstance(step.op, ScatterAdd) or native() is None:
        return None
    index, updates = low.operands(step.inputs)
    target = low.operand(step.outputs[0])
    if updates.spec.dtype not in TYPES:
        return None
    rows = step.op.rows
    width = math.prod(target.spec.shape[1:])
    error = low.check(_message("ScatterAdd", rows, step.label))
    from .movement import fill

    return [
        fill(target, 0),
        Instruction(
            "native", f"scatter_add_{TYPES[updates.spec.dtype]}_{INDEX[index.spec.dtype]}", (target,),
            (updates, index, error), integers=(rows, width, index.spec.size), units=rows, grain=max(1, rows // 8),
        ),
    ]  # fmt: skip


def _message(operation: str, rows: int, label: str) -> Callable[[int], Exception]:
    def error(position: int) -> BackendError:
        where = f"in {label!r}: " if label else ""
        return BackendError(
            f"{where}{operation}: the index at position {position} is not in 0..{rows - 1}"
        )

    return error
