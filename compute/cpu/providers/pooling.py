"""Pooling and its gradients: native kernels."""

from __future__ import annotations

import math

from ...ops import Pool, PoolGradient, Window
from ...ops.window import Padding
from ...program import Step
from ...spec import ITEM_BYTES, Shape
from ..instruction import Instruction, Operand
from ..lowering import Lowering
from ..native import native

TYPES = {"float32": "f32", "float64": "f64"}
GRAIN = 1 << 13  # cells: about 2 microseconds


def pool_geometry(window: Window, x: Shape, y: Shape, flag: int) -> tuple[int, ...]:
    """Return the integers of the pooling kernels; one dimension is an image of height 1."""
    one = (1,) * (2 - window.rank)
    none: Padding = ((0, 0),) * (2 - window.rank)
    (top, bottom), (left, right) = (*none, *window.padding)
    return (
        x[0] * x[1], *one, *x[2:], *one, *window.size, *one, *window.stride, top, bottom, left, right, *one, *y[2:],
        flag,
    )  # fmt: skip


def pool(low: Lowering, step: Step) -> list[Instruction] | None:
    """Pool; the index is left out where nobody reads it."""
    op = step.op
    if not isinstance(op, Pool) or native() is None or step.outputs[0].spec.size == 0:
        return None
    x, y = low.operand(step.inputs[0]), low.operand(step.outputs[0])
    kind = TYPES[x.spec.dtype]
    outputs: tuple[Operand, ...] = (y,)
    flag = int(op.count_padding)
    if op.kind == "max":
        flag = 0
        if low.is_read(step.outputs[1]):
            index = low.operand(step.outputs[1])
            outputs, flag = (y, index), ITEM_BYTES[index.spec.dtype]
    return [
        _instruction(
            f"{op.kind}_pool_{kind}",
            outputs,
            (x,),
            pool_geometry(op.window, x.spec.shape, y.spec.shape, flag),
        )
    ]


def pool_gradient(low: Lowering, step: Step) -> list[Instruction] | None:
    """Bring the gradient back to the cells it came from."""
    op = step.op
    if not isinstance(op, PoolGradient) or native() is None or step.outputs[0].spec.size == 0:
        return None
    inputs, dx = low.operands(step.inputs), low.operand(step.outputs[0])
    kind = TYPES[dx.spec.dtype]
    flag = int(op.count_padding) if op.kind == "average" else ITEM_BYTES[inputs[1].spec.dtype]
    integers = pool_geometry(op.window, dx.spec.shape, inputs[0].spec.shape, flag)
    return [_instruction(f"{op.kind}_pool_gradient_{kind}", (dx,), inputs, integers)]


def _instruction(
    name: str, outputs: tuple[Operand, ...], inputs: tuple[Operand, ...], integers: tuple[int, ...]
) -> Instruction:
    plane = max(1, math.prod(integers[1:3]))
    return Instruction(
        "native",
        name,
        outputs,
        inputs,
        integers=integers,
        units=integers[0],
        grain=max(1, GRAIN // plane),
    )
