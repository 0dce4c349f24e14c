"""Rows by index: gather and scatter; the first bad index is reported at the next read."""

from __future__ import annotations

import math
from collections.abc import Callable

from cortex.compute.errors import BackendError
from cortex.compute.ops import Gather, ScatterAdd
from cortex.compute.program import Step
from cortex.compute.spec import ITEM_BYTES

from ..instruction import Instruction
from ..lowering import Lowering
from .launch import launch
from .movement import raw


def gather(low: Lowering, step: Step) -> list[Instruction] | None:
    """Copy rows, in items as wide as a row's bytes allow."""
    if not isinstance(step.op, Gather):
        return None
    x, index = low.operands(step.inputs)
    target = low.operand(step.outputs[0])
    rows = x.spec.shape[0]
    row_bytes = math.prod(x.spec.shape[1:]) * ITEM_BYTES[x.spec.dtype]
    starts = (x.place.resolved[1], target.place.resolved[1])
    item = next(i for i in (16, 8, 4, 2, 1) if not any(n % i for n in (row_bytes, *starts)))
    error = low.check(no_row("Gather", rows, step.label))
    width, count = row_bytes // item, index.spec.size
    return [
        launch(
            "gather", raw(item),
            (target, x, index, ITEM_BYTES[index.spec.dtype], error, rows, width, count),
            (target,), max(count, rows) * width,
        )
    ]  # fmt: skip


def scatter_add(low: Lowering, step: Step) -> list[Instruction] | None:
    """Add rows in the order of the index, without atomics."""
    if not isinstance(step.op, ScatterAdd):
        return None
    index, updates = low.operands(step.inputs)
    target = low.operand(step.outputs[0])
    rows, width = step.op.rows, math.prod(target.spec.shape[1:])
    error = low.check(no_row("ScatterAdd", rows, step.label))
    count = index.spec.size
    return [
        launch(
            "scatter_add", updates.spec.dtype,
            (target, index, ITEM_BYTES[index.spec.dtype], updates, error, rows, width, count),
            (target,),
        )
    ]  # fmt: skip


def no_row(operation: str, rows: int, label: str) -> Callable[[int], Exception]:
    """Return what makes the error for an index at some position that is not in 0..rows-1."""

    def error(position: int) -> BackendError:
        where = f"in {label!r}: " if label else ""
        return BackendError(
            f"{where}{operation}: the index at position {position} is not in 0..{rows - 1}"
        )

    return error
