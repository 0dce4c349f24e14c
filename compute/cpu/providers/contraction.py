"""Matrix products and convolutions, with bias and activation where the kernel finishes its own result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...expression import Expression, node, symbol
from ...ops import Convolution, ConvolutionInputGradient, ConvolutionKernelGradient, MatMul, Window
from ...ops.arranged import Arranged
from ...ops.fused import Fused
from ...program import Step, Value
from ...spec import Shape
from ..instruction import Instruction, Operand
from ..lowering import Lowering
from ..native import native

TYPES = {"float32": "f32", "float64": "f64"}
NONE, RELU, LEAKY = 0, 1, 2
COLUMNS, ROWS = 1, 2  # along what the bias of a matrix product runs


def matmul(low: Lowering, step: Step) -> list[Instruction] | None:
    """One native matrix product."""
    op = step.op
    if not isinstance(op, MatMul):
        return None
    a, b = low.operands(step.inputs)
    return _product(op, low.operand(step.outputs[0]), a, b)


def fused(low: Lowering, step: Step) -> list[Instruction] | None:
    """A product or convolution that adds its bias and applies its activation."""
    op = step.op
    if not isinstance(op, Fused):
        return None
    inputs = low.operands(step.inputs)
    found = activation(op.expression)
    if found is None:
        return None
    kind, slope, has_bias = found
    bias = inputs[op.arity] if has_bias else None
    target = low.operand(step.outputs[0])
    if isinstance(op.op, MatMul):
        return _product(op.op, target, inputs[0], inputs[1], bias, kind, slope)
    if isinstance(op.op, Convolution):
        return _convolution(op.op, target, inputs[0], inputs[1], bias, kind, slope)
    return None


def accepts_epilogue(op: Fused, inputs: Sequence[Value]) -> bool:
    """Whether a kernel can do the work of a fused op."""
    if isinstance(op.op, Arranged):
        from .lanes import accepts_epilogue as accepts_arranged

        return accepts_arranged(op, inputs)
    if native() is None or not isinstance(op.op, (MatMul, Convolution)):
        return False
    found = activation(op.expression)
    if found is None or len(inputs) != op.arity + found[2]:
        return False
    if not found[2]:
        return True
    out, bias = op.infer(*(v.spec for v in inputs))[0], inputs[-1].spec
    axis = -1 if isinstance(op.op, MatMul) else 1
    wanted = [1] * out.rank
    wanted[axis] = out.shape[axis]
    given = (1,) * (out.rank - bias.rank) + bias.shape
    return bias.dtype == out.dtype and given == tuple(wanted) and (axis == 1 or _one_matrix(inputs))


def _one_matrix(inputs: Sequence[Value]) -> bool:
    return all(v.spec.rank == 2 for v in inputs[:2])


def activation(e: Expression) -> tuple[int, float, bool] | None:
    """Return (activation, slope, has bias) of an epilogue that the kernels know, else None."""
    x, b = symbol(0), symbol(1)
    for inner, has_bias in ((x, False), (x + b, True), (b + x, True)):
        if e is inner:
            return (NONE, 0.0, has_bias) if has_bias else None
        if e is node("maximum", inner, 0) or e is node("maximum", inner, 0.0):
            return RELU, 0.0, has_bias
    return None


def _integers_of_product(op: MatMul, a: Shape, b: Shape, c: Shape) -> tuple[int, ...] | None:
    """The integers up to the matrix strides, or None where strides cannot say how batches broadcast."""
    rows, columns = c[-2:]
    depth = a[-2] if op.transpose_a else a[-1]
    batch = math.prod(c[:-2])
    strides = []
    for s in (a, b):
        count = math.prod(s[:-2])
        if count not in (1, batch):
            return None
        strides.append(0 if count == 1 else s[-1] * s[-2])
    return (
        batch, rows, columns, depth, int(op.transpose_a), int(op.transpose_b), a[-1], b[-1], columns, *strides,
        rows * columns,
    )  # fmt: skip


def _product(
    op: MatMul,
    c: Operand,
    a: Operand,
    b: Operand,
    bias: Operand | None = None,
    kind: int = NONE,
    slope: float = 0.0,
) -> list[Instruction] | None:
    module = native()
    if module is None:
        return [_numpy_product(op, c, a, b)] if bias is None and kind == NONE else None
    sizes = _integers_of_product(op, a.spec.shape, b.spec.shape, c.spec.shape)
    if sizes is None or c.spec.size == 0 or sizes[3] == 0:
        return None
    if sizes[0] > 1 and sizes[10] == 0 and not op.transpose_a and sizes[9] == sizes[1] * sizes[6]:
        # one right-hand matrix for a dense batch: the batch is just more rows
        rows = sizes[0] * sizes[1]
        sizes = (1, rows, *sizes[2:9], 0, 0, rows * sizes[2])
    name = f"matmul_{TYPES[c.spec.dtype]}"
    integers = (*sizes, NONE if bias is None else COLUMNS, kind, 0)
    units, scratch, *_ = _plan(name, integers)
    inputs = (a, b) if bias is None else (a, b, bias)
    return [
        Instruction(
            "native",
            name,
            (c,),
            inputs,
            integers=integers,
            reals=(slope,),
            units=units,
            scratch=scratch,
        )
    ]


def _numpy_product(op: MatMul, c: Operand, a: Operand, b: Operand) -> Instruction:
    def run(inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        left, right = inputs
        np.matmul(
            left.swapaxes(-1, -2) if op.transpose_a else left,
            right.swapaxes(-1, -2) if op.transpose_b else right,
            out=outputs[0],
        )

    return Instruction("python", run, (c,), (a, b), provider="numpy")


def geometry(window: Window, groups: int, x: Shape, filters: int) -> tuple[int, ...]:
    """Return the integers 0 to 15 of the convolution kernels: always those of the forward convolution."""
    one = (1,) * (2 - window.rank)
    zero = ((0, 0),) * (2 - window.rank)
    (top, bottom), (left, right) = (*zero, *window.padding)
    return (
        x[0], x[1], *one, *x[2:], filters, *one, *window.size, *one, *window.stride, top, bottom, left, right, *one,
        *window.dilation, groups,
    )  # fmt: skip


def _covers(window: Window, groups: int, x: Shape) -> bool:
    """Whether there is one window, the whole input: the convolution is then a matrix product, 5 times as fast."""
    whole = window.size == x[2:] and all(
        d == 1 or n == 1 for d, n in zip(window.dilation, x[2:], strict=True)
    )
    return whole and groups == 1 and not any(p for pair in window.padding for p in pair)


def _plain_product(
    c: Operand,
    inputs: tuple[Operand, Operand],
    sizes: tuple[int, int, int],
    transposed: tuple[int, int],
    bias: Operand | None = None,
    kind: int = NONE,
    slope: float = 0.0,
) -> Instruction:
    """Return C [rows, columns] = A B over `depth`; operands of any shape are read as dense matrices."""
    rows, columns, depth = sizes
    row_a, row_b = (rows if transposed[0] else depth), (depth if transposed[1] else columns)
    name = f"matmul_{TYPES[c.spec.dtype]}"
    bias_along = NONE if bias is None else COLUMNS
    integers = (
        1,
        rows,
        columns,
        depth,
        *transposed,
        row_a,
        row_b,
        columns,
        0,
        0,
        rows * columns,
        bias_along,
        kind,
        0,
    )
    return _planned(name, c, inputs if bias is None else (*inputs, bias), integers, slope)


def convolution(low: Lowering, step: Step) -> list[Instruction] | None:
    """One native convolution."""
    if not isinstance(step.op, Convolution):
        return None
    x, w = low.operands(step.inputs)
    return _convolution(step.op, low.operand(step.outputs[0]), x, w)


def _fits(*operands: Operand) -> bool:
    return (
        native() is not None
        and all(o.spec.size for o in operands)
        and len(operands[0].spec.shape) in (3, 4)
    )


def _convolution(
    op: Convolution,
    y: Operand,
    x: Operand,
    w: Operand,
    bias: Operand | None = None,
    kind: int = NONE,
    slope: float = 0.0,
) -> list[Instruction] | None:
    if not _fits(x, w, y):
        return None
    if _covers(op.window, op.groups, x.spec.shape):
        (n, o), depth = y.spec.shape[:2], math.prod(w.spec.shape[1:])
        return [_plain_product(y, (x, w), (n, o, depth), (0, 1), bias, kind, slope)]
    integers = (
        *geometry(op.window, op.groups, x.spec.shape, w.spec.shape[0]),
        int(bias is not None),
        kind,
    )
    inputs = (x, w) if bias is None else (x, w, bias)
    return [_planned(f"convolution_{TYPES[y.spec.dtype]}", y, inputs, integers, slope)]


def _planned(
    name: str,
    target: Operand,
    inputs: tuple[Operand, ...],
    integers: tuple[int, ...],
    slope: float = 0.0,
) -> Instruction:
    units, scratch, *_ = _plan(name, integers)
    return Instruction(
        "native",
        name,
        (target,),
        inputs,
        integers=integers,
        reals=(slope,),
        units=units,
        scratch=scratch,
    )


def _plan(name: str, integers: tuple[int, ...]) -> tuple[int, ...]:
    """Return (units, bytes of scratch per thread, partial results) as the kernel itself computes them."""
    module: Any = native()
    return tuple(module.plan(name, list(integers)))


def convolution_input_gradient(low: Lowering, step: Step) -> list[Instruction] | None:
    """One native transposed convolution."""
    op = step.op
    dy, w = low.operands(step.inputs)
    target = low.operand(step.outputs[0])
    if not isinstance(op, ConvolutionInputGradient) or not _fits(target, dy, w):
        return None
    if _covers(op.window, op.groups, target.spec.shape):
        (n, o), depth = dy.spec.shape[:2], math.prod(w.spec.shape[1:])
        return [_plain_product(target, (dy, w), (n, depth, o), (0, 0))]
    integers = (*geometry(op.window, op.groups, target.spec.shape, w.spec.shape[0]), 0, NONE)
    return [
        _planned(f"convolution_input_gradient_{TYPES[dy.spec.dtype]}", target, (dy, w), integers)
    ]


def convolution_kernel_gradient(low: Lowering, step: Step) -> list[Instruction] | None:
    """One native kernel gradient; where its sum is split, partial results and their sum."""
    op = step.op
    x, dy = low.operands(step.inputs)
    target = low.operand(step.outputs[0])
    if not isinstance(op, ConvolutionKernelGradient) or not _fits(x, dy, target):
        return None
    if _covers(op.window, op.groups, x.spec.shape):
        (n, o), depth = dy.spec.shape[:2], math.prod(target.spec.shape[1:])
        return [_plain_product(target, (dy, x), (o, depth, n), (1, 0))]
    kind = TYPES[dy.spec.dtype]
    name = f"convolution_kernel_gradient_{kind}"
    integers = (*geometry(op.window, op.groups, x.spec.shape, dy.spec.shape[1]), 0, NONE)
    _, _, parts = _plan(name, integers)
    if parts == 1:
        return [_planned(name, target, (x, dy), integers)]
    partial = low.temporary((parts, *target.spec.shape), target.spec.dtype)
    size = target.spec.size
    total = Instruction(
        "native",
        f"sum_partials_{kind}",
        (target,),
        (partial,),
        integers=(size, parts),
        units=-(-size // 4096),
    )
    return [_planned(name, partial, (x, dy), integers), total]
