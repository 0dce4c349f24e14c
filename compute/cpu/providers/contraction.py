"""Matrix products and convolutions, with what the kernel can do to its own result: bias, activation, mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...expression import Expression
from ...ops import Convolution, ConvolutionInputGradient, ConvolutionKernelGradient, MatMul, Window
from ...ops.fused import Fused
from ...program import Op, Step, Value
from ...spec import Shape, Spec
from ..instruction import Instruction, Operand
from ..lowering import Lowering
from ..native import native

TYPES = {"float32": "f32", "float64": "f64"}
NONE, RELU = 0, 1
COLUMNS = 1  # along which the bias of a matrix product runs
ADD, GATE, MASK = 1, 2, 3  # what a matrix product does with a dense operand


@dataclass(frozen=True)
class Epilogue:
    """gate(activation(result + added)): what `Fused` may do to a result, inputs by symbol.

    The gate is a factor, 1 where its symbol is greater than 0 and `factor` elsewhere, or selects (zero elsewhere).
    """

    added: tuple[int, ...] = ()
    activation: int = NONE
    gate: int = 0  # 0: none; symbol 0 is the result itself
    use: int = NONE
    factor: float = 0.0


def epilogue(e: Expression) -> Epilogue | None:
    """Return an expression of symbols 0.. as an epilogue, or None where it is no such thing."""
    gate, use, factor = 0, NONE, 0.0
    found = _gate(e)
    if found is not None:
        e, gate, use, factor = found
    kind = NONE
    if e.op == "maximum" and _is(e.args[1], 0):
        e, kind = e.args[0], RELU
    terms = _terms(e)
    if terms.count(0) != 1 or min(terms) < 0 or len(set(terms)) != len(terms):
        return None
    made = Epilogue(tuple(t for t in terms if t), kind, gate, use, factor)
    return made if made != Epilogue() else None


def _is(e: Expression, number: float) -> bool:
    return e.op == "constant" and e.args[0] == number


def _gate(e: Expression) -> tuple[Expression, int, int, float] | None:
    """Return (inner, symbol, use, factor) of x * where(s > 0, 1, factor) or where(s > 0, x, 0)."""
    if e.op == "where" and _is(e.args[2], 0):
        symbol = _positive(e.args[0])
        return (e.args[1], symbol, MASK, 0.0) if symbol else None
    if e.op == "mul":
        for inner, w in (e.args, e.args[::-1]):
            if w.op == "where" and _is(w.args[1], 1) and w.args[2].op == "constant":
                symbol = _positive(w.args[0])
                return (inner, symbol, GATE, float(w.args[2].args[0])) if symbol else None
    return None


def _positive(e: Expression) -> int:
    """Return the symbol s of s > 0, or 0."""
    compared = e.op == "gt" and e.args[0].op == "symbol" and _is(e.args[1], 0)
    return int(e.args[0].args[0]) if compared else 0


def _terms(e: Expression) -> list[int]:
    """Return the symbols of a sum; -1 stands for anything else."""
    if e.op == "add":
        return _terms(e.args[0]) + _terms(e.args[1])
    return [e.args[0]] if e.op == "symbol" else [-1]


def _finish(op: Op, expression: Expression, out: Spec, extra: Sequence[Spec]) -> Finish | None:
    product = isinstance(op, MatMul)
    return finish(expression, out, extra, -1 if product else 1, product)


@dataclass(frozen=True)
class Finish:
    """An epilogue as the kernels take it: operands by number among those that follow the op's own."""

    bias: int | None = None
    dense: int | None = None
    use: int = NONE
    activation: int = NONE
    factor: float = 0.0


def finish(
    expression: Expression, out: Spec, extra: Sequence[Spec], axis: int, takes_dense: bool
) -> Finish | None:
    """Return how a kernel ends with the expression, or None where it does not.

    A bias runs along `axis`; whether the kernel takes an operand of the result's shape, `takes_dense` says.
    """
    e = epilogue(expression)
    if e is None or len(e.added) + bool(e.gate) != len(extra) or e.gate in e.added:
        return None
    wanted = [1] * out.rank
    wanted[axis] = out.shape[axis]
    bias = dense = None
    # where the result is one row, an operand of its shape may be either: what can be a bias only comes first
    added = sorted(e.added, key=lambda s: extra[s - 1].shape == out.shape)
    for symbol in (*added, *((e.gate,) if e.gate else ())):
        spec = extra[symbol - 1]
        if spec.dtype != out.dtype:
            return None
        along = (1,) * (out.rank - spec.rank) + spec.shape == tuple(wanted)
        if along and bias is None and symbol in e.added:
            bias = symbol - 1
        elif spec.shape == out.shape and dense is None and takes_dense:
            dense = symbol - 1
        else:
            return None
    return Finish(
        bias, dense, (e.use or ADD) if dense is not None else NONE, e.activation, e.factor
    )


def matmul(low: Lowering, step: Step) -> list[Instruction] | None:
    """One native matrix product."""
    op = step.op
    if not isinstance(op, MatMul):
        return None
    a, b = low.operands(step.inputs)
    return _product(low, op, low.operand(step.outputs[0]), a, b)


def fused(low: Lowering, step: Step) -> list[Instruction] | None:
    """A product or convolution that adds its bias or a second result, and applies its activation or a mask."""
    op = step.op
    if not isinstance(op, Fused):
        return None
    inputs = low.operands(step.inputs)
    own, extra = inputs[: op.arity], inputs[op.arity :]
    target = low.operand(step.outputs[0])
    end = _finish(op.op, op.expression, target.spec, [o.spec for o in extra])
    if end is None:
        return None
    bias = extra[end.bias] if end.bias is not None else None
    if isinstance(op.op, MatMul):
        dense = extra[end.dense] if end.dense is not None else None
        return _product(low, op.op, target, own[0], own[1], bias, dense, end)
    if isinstance(op.op, Convolution):
        return _convolution(low, op.op, target, own[0], own[1], bias, end.activation)
    return None


def accepts_epilogue(op: Fused, inputs: Sequence[Value]) -> bool:
    """Whether a kernel can do the work of a fused op."""
    if native() is None or not isinstance(op.op, (MatMul, Convolution)):
        return False
    specs = [v.spec for v in inputs]
    out = op.infer(*specs)[0]
    if isinstance(op.op, MatMul):
        sizes = _integers_of_product(op.op, specs[0].shape, specs[1].shape, out.shape)
        if sizes is None or sizes[3] == 0 or out.size == 0:
            return False
    return _finish(op.op, op.expression, out, specs[op.arity :]) is not None


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
    low: Lowering,
    op: MatMul,
    c: Operand,
    a: Operand,
    b: Operand,
    bias: Operand | None = None,
    dense: Operand | None = None,
    end: Finish = Finish(),
) -> list[Instruction] | None:
    if native() is None:
        return [_numpy_product(op, c, a, b)] if end == Finish() else None
    sizes = _integers_of_product(op, a.spec.shape, b.spec.shape, c.spec.shape)
    if sizes is None or c.spec.size == 0 or sizes[3] == 0:
        return None
    if sizes[0] > 1 and sizes[10] == 0 and not op.transpose_a and sizes[9] == sizes[1] * sizes[6]:
        # one right-hand matrix for a dense batch: the batch is just more rows
        rows = sizes[0] * sizes[1]
        sizes = (1, rows, *sizes[2:9], 0, 0, rows * sizes[2])
    return _native_product(low, sizes, c, a, b, bias, dense, end)


def _native_product(
    low: Lowering,
    sizes: tuple[int, ...],
    c: Operand,
    a: Operand,
    b: Operand,
    bias: Operand | None,
    dense: Operand | None = None,
    end: Finish = Finish(),
) -> list[Instruction]:
    """Return the product, after the packing of an operand where that is done once for all blocks."""
    kind = TYPES[c.spec.dtype]
    integers = (
        *sizes, NONE if bias is None else COLUMNS, end.activation, 0, end.use, sizes[8], sizes[11], 0,
    )  # fmt: skip
    inputs = (a, b, *(o for o in (bias, dense) if o is not None))
    units, _, size = _plan(f"matmul_pack_{kind}", integers)
    if not size:
        return [_planned(f"matmul_{kind}", c, inputs, integers, (0.0, end.factor))]
    # What all cores have read is dear to write: the packing of the next product took 28 us, at rest 16.
    packed = low.temporary((size,), c.spec.dtype, rest=1)
    integers = (*integers[:-1], 1)
    return [
        _planned(f"matmul_pack_{kind}", packed, (a, b), integers),
        _planned(f"matmul_{kind}", c, (*inputs, packed), integers, (0.0, end.factor)),
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
    low: Lowering,
    c: Operand,
    inputs: tuple[Operand, Operand],
    sizes: tuple[int, int, int],
    transposed: tuple[int, int],
    bias: Operand | None = None,
    kind: int = NONE,
) -> list[Instruction]:
    """Return C [rows, columns] = A B over `depth`; operands of any shape are read as dense matrices."""
    rows, columns, depth = sizes
    row_a, row_b = (rows if transposed[0] else depth), (depth if transposed[1] else columns)
    integers = (1, *sizes, *transposed, row_a, row_b, columns, 0, 0, rows * columns)
    return _native_product(low, integers, c, *inputs, bias, end=Finish(activation=kind))


def convolution(low: Lowering, step: Step) -> list[Instruction] | None:
    """One native convolution."""
    if not isinstance(step.op, Convolution):
        return None
    x, w = low.operands(step.inputs)
    return _convolution(low, step.op, low.operand(step.outputs[0]), x, w)


def _fits(*operands: Operand) -> bool:
    return (
        native() is not None
        and all(o.spec.size for o in operands)
        and len(operands[0].spec.shape) in (3, 4)
    )


def _convolution(
    low: Lowering,
    op: Convolution,
    y: Operand,
    x: Operand,
    w: Operand,
    bias: Operand | None = None,
    kind: int = NONE,
) -> list[Instruction] | None:
    if not _fits(x, w, y):
        return None
    if _covers(op.window, op.groups, x.spec.shape):
        (n, o), depth = y.spec.shape[:2], math.prod(w.spec.shape[1:])
        return _plain_product(low, y, (x, w), (n, o, depth), (0, 1), bias, kind)
    integers = (
        *geometry(op.window, op.groups, x.spec.shape, w.spec.shape[0]),
        int(bias is not None),
        kind,
    )
    inputs = (x, w) if bias is None else (x, w, bias)
    return [_planned(f"convolution_{TYPES[y.spec.dtype]}", y, inputs, integers)]


def _planned(
    name: str,
    target: Operand,
    inputs: tuple[Operand, ...],
    integers: tuple[int, ...],
    reals: tuple[float, ...] = (0.0,),
) -> Instruction:
    units, scratch, *_ = _plan(name, integers)
    return Instruction(
        "native",
        name,
        (target,),
        inputs,
        integers=integers,
        reals=reals,
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
        return _plain_product(low, target, (dy, w), (n, depth, o), (0, 0))
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
        return _plain_product(low, target, (dy, x), (o, depth, n), (1, 0))
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
