"""Reductions and movements in NumPy that write straight into the plan's memory, for when there is no native engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...ops import Concatenate, Pad, Reduce, Slice, Transpose
from ...plan.storage import is_joined
from ...program import Step
from ..instruction import Instruction
from ..lowering import Lowering

Arrays = Sequence[np.ndarray]
FUNCTIONS: dict[str, np.ufunc] = {
    "sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum,
}  # fmt: skip


def _reduce(op: Reduce) -> Callable[[np.ndarray, np.ndarray], Any]:
    if op.kind == "argmax":
        axis, keep = op.axes[0], op.keep
        return lambda x, y: np.copyto(y, np.argmax(x, axis, keepdims=keep))
    function = FUNCTIONS[op.kind]
    return lambda x, y: function.reduce(x, axis=op.axes, out=y, keepdims=op.keep)


def _transpose(op: Transpose) -> Callable[[np.ndarray, np.ndarray], Any]:
    return lambda x, y: np.copyto(y, x.transpose(op.axes))


def _slice(op: Slice) -> Callable[[np.ndarray, np.ndarray], Any]:
    cut = tuple(slice(a, b, s) for a, b, s in zip(op.start, op.stop, op.steps, strict=True))
    return lambda x, y: np.copyto(y, x[cut])


def _pad(op: Pad) -> Callable[[np.ndarray, np.ndarray], Any]:
    def run(x: np.ndarray, y: np.ndarray) -> None:
        spread = zip(op.low, x.shape, op.between, strict=True)
        y.fill(op.value)
        y[tuple(slice(a, a + (n - 1) * (b + 1) + 1 if n else a, b + 1) for a, n, b in spread)] = x

    return run


_WRITERS: dict[type, Callable[[Any], Callable[[np.ndarray, np.ndarray], Any]]] = {
    Reduce: _reduce, Transpose: _transpose, Slice: _slice, Pad: _pad,
}  # fmt: skip


def write(low: Lowering, step: Step) -> list[Instruction] | None:
    """One call that reads one array and writes another."""
    source, target = low.operand(step.inputs[0]), low.operand(step.outputs[0])
    function = _WRITERS[type(step.op)](step.op)

    def run(inputs: Arrays, outputs: Arrays) -> None:
        function(inputs[0], outputs[0])

    return [Instruction("python", run, (target,), (source,), provider="numpy")]


def concatenate(low: Lowering, step: Step) -> list[Instruction] | None:
    """Copy the pieces that were not computed in place."""
    op = step.op
    if not isinstance(op, Concatenate):
        return None
    target, made, position = low.operand(step.outputs[0]), [], 0
    root, base = target.place.resolved
    stride = target.spec.bytes // max(1, target.spec.shape[op.axis])
    for value in step.inputs:
        n = value.shape[op.axis]
        cut = (slice(None),) * op.axis + (slice(position, position + n),)
        offset, position = position * stride, position + n
        in_place = is_joined(step) and low.storage.place[value].resolved == (root, base + offset)
        if value.spec.size and not in_place:
            made.append(
                Instruction(
                    "python", _copy_to(cut), (target,), (low.operand(value),), provider="numpy"
                )
            )
    return made


def _copy_to(cut: tuple[slice, ...]) -> Callable[[Arrays, Arrays], None]:
    def run(inputs: Arrays, outputs: Arrays) -> None:
        outputs[0][cut] = inputs[0]

    return run
