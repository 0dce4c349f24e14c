"""Convolution and pooling on arranged values: native kernels on batch lanes, forward passes on channels last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...layouts import BATCH_LANES, LANES
from ...ops import (
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
    Pool,
    PoolGradient,
)
from ...ops.arranged import Arranged
from ...ops.chain import Chain
from ...ops.fused import Fused
from ...program import Op, Step, Value
from ...spec import ITEM_BYTES, Shape, Spec
from ..instruction import Instruction, Operand
from ..lowering import Lowering
from ..native import native
from .contraction import NONE, TYPES, Finish, finish, geometry
from .contraction import _plain_product as plain_product
from .pooling import GRAIN, pool_geometry

PASSES: dict[type[Op], str] = {
    Convolution: "convolution",
    ConvolutionInputGradient: "convolution_input_gradient",
    ConvolutionKernelGradient: "convolution_kernel_gradient",
}


def keeps(step: Step) -> bool:
    """Whether a kernel takes an arranged op as it is, so that it need not be decomposed."""
    op = step.op
    if isinstance(op, Chain):
        return accepts_chain(op, [v.spec for v in step.inputs])
    if not isinstance(op, Arranged) or native() is None:
        return False
    values = (*step.inputs, *step.outputs)
    if not all(v.spec.size for v in values) or values[0].dtype not in TYPES:
        return False
    if op.layout != BATCH_LANES:
        return isinstance(op.op, (Convolution, Pool))
    return isinstance(op.op, (Pool, PoolGradient)) or type(op.op) in PASSES


def accepts_epilogue(op: Fused, inputs: Sequence[Value]) -> bool:
    """Whether a kernel of an arranged convolution adds this bias, one number a channel, and applies this activation."""
    return end_of(op, [v.spec for v in inputs]) is not None


def end_of(op: Fused, inputs: Sequence[Spec]) -> Finish | None:
    """Return how a kernel ends, or None where it does not end so."""
    inner = op.op
    if native() is None or not isinstance(inner, Arranged) or not isinstance(inner.op, Convolution):
        return None
    axis = 1 if inner.layout == BATCH_LANES else -1
    out = op.infer(*inputs)[0]
    return finish(op.expression, out, inputs[op.arity :], axis, takes_dense=False)


def arranged(low: Lowering, step: Step) -> list[Instruction] | None:
    """One native kernel for an arranged op; a kernel gradient in parts and their sum."""
    if not keeps(step) or not isinstance(step.op, Arranged):
        return None
    inner = step.op.op
    if isinstance(inner, (Pool, PoolGradient)):
        return _pool(low, step, step.op)
    inputs, target = low.operands(step.inputs), low.operand(step.outputs[0])
    if isinstance(inner, ConvolutionKernelGradient):
        return _kernel_gradient(low, step.op, inputs, target)
    return _convolution(low, step.op, inputs, target)


def fused(low: Lowering, step: Step) -> list[Instruction] | None:
    """An arranged convolution that adds its bias and applies its activation."""
    op = step.op
    if not isinstance(op, Fused) or not accepts_epilogue(op, step.inputs):
        return None
    end = end_of(op, [v.spec for v in step.inputs])
    if not isinstance(op.op, Arranged) or end is None:
        return None
    return _convolution(low, op.op, low.operands(step.inputs), low.operand(step.outputs[0]), end)


def accepts_chain(op: Chain, inputs: Sequence[Spec]) -> bool:
    """Whether a kernel takes an unpadded convolution and the maxima of windows side by side inside its result."""
    first, second = op.first, op.second
    fused_op = first if isinstance(first, Fused) else None
    convolution = first.op if isinstance(first, Fused) else first
    if (
        native() is None
        or not isinstance(convolution, Arranged)
        or not isinstance(second, Arranged)
    ):
        return False
    inner, pool = convolution.op, second.op
    if not isinstance(inner, Convolution) or not isinstance(pool, Pool) or pool.kind != "max":
        return False
    if convolution.layout != BATCH_LANES or second.layout != BATCH_LANES:
        return False
    if fused_op is not None and end_of(fused_op, inputs) is None:
        return False
    y, pooled = op.first.infer(*inputs)[0].shape, op.infer(*inputs)[0].shape
    window = pool.window
    inside = all(k * n <= m for k, n, m in zip(window.size, pooled[2:-1], y[2:-1], strict=True))
    padded = any(p for w in (inner.window, window) for pair in w.padding for p in pair)
    reached = math.prod(inputs[0].shape[1:]) < 1 << 31  # a step of the kernel is 32 bits
    return (
        inside and not padded and reached and window.size == window.stride and math.prod(pooled) > 0
    )


def chain(low: Lowering, step: Step) -> list[Instruction] | None:
    """A convolution, its bias and activation, and max pooling: what is pooled is never written."""
    op = step.op
    if not isinstance(op, Chain) or not accepts_chain(op, [v.spec for v in step.inputs]):
        return None
    first, pool = op.first, op.second
    end = end_of(first, [v.spec for v in step.inputs]) if isinstance(first, Fused) else Finish()
    convolution = first.op if isinstance(first, Fused) else first
    if not isinstance(convolution, Arranged) or not isinstance(pool, Arranged) or end is None:
        return None
    if not isinstance(pool.op, Pool):
        return None
    inputs, pooled = low.operands(step.inputs), low.operand(step.outputs[0])
    index = tuple(low.operand(v) for v in step.outputs[1:] if low.is_read(v))
    one = (1,) * (2 - pool.op.window.rank)
    integers = (
        *_geometry(convolution, inputs[0].spec.shape, inputs[1].spec.shape[0]),
        int(end.bias is not None),
        end.activation,
        *one,
        *pool.op.window.size,
        *one,
        *pooled.spec.shape[2:-1],
        ITEM_BYTES[index[0].spec.dtype] if index else 0,
    )
    name = f"lane_convolution_pool_{TYPES[pooled.spec.dtype]}"
    return [_instruction(name, (pooled, *index), inputs, integers)]


def _geometry(op: Arranged, images: Shape, filters: int) -> tuple[int, ...]:
    """Return the integers of the forward pass, whose arranged input has the shape `images`."""
    inner = op.op
    if not isinstance(inner, (Convolution, ConvolutionInputGradient, ConvolutionKernelGradient)):
        raise TypeError(f"{type(inner).__name__} is not a pass of a convolution")
    return geometry(inner.window, inner.groups, op.layout.dense(images, op.batch), filters)


def _instruction(
    name: str,
    outputs: tuple[Operand, ...],
    inputs: tuple[Operand, ...],
    integers: tuple[int, ...],
    grain: int = 1,
) -> Instruction:
    """One call of a kernel whose units and scratch the engine plans."""
    units, scratch, _ = _plan(name, integers)
    return Instruction(
        "native",
        name,
        outputs,
        inputs,
        integers=integers,
        reals=(0.0,),
        units=units,
        grain=grain,
        scratch=scratch,
    )


def _plan(name: str, integers: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (units, bytes of scratch per thread, partial results) as the kernel itself computes them."""
    module: Any = native()
    units, scratch, parts = module.plan(name, list(integers))
    return units, scratch, parts


def _convolution(
    low: Lowering,
    op: Arranged,
    inputs: tuple[Operand, ...],
    target: Operand,
    end: Finish | None = None,
) -> list[Instruction]:
    images = target if isinstance(op.op, ConvolutionInputGradient) else inputs[0]
    integers = _geometry(op, images.spec.shape, inputs[1].spec.shape[0])
    has_bias, kind = (end.bias is not None, end.activation) if end is not None else (False, NONE)
    if op.layout != BATCH_LANES and _is_pointwise(op):
        *rows, filters = target.spec.shape
        sizes = (math.prod(rows), filters, images.spec.shape[-1])
        bias = inputs[2] if has_bias else None
        return plain_product(low, target, (inputs[0], inputs[1]), sizes, (0, 1), bias, kind)
    place = "lane" if op.layout == BATCH_LANES else "last"
    name = f"{place}_{PASSES[type(op.op)]}_{TYPES[target.spec.dtype]}"
    return [_instruction(name, (target,), inputs, (*integers, int(has_bias), kind))]


def _is_pointwise(op: Arranged) -> bool:
    """Whether every pixel is one matrix product of its channels."""
    inner = op.op
    if not isinstance(inner, Convolution) or inner.groups != 1:
        return False
    window = inner.window
    ones = all(v == 1 for v in (*window.size, *window.stride))
    return ones and not any(p for pair in window.padding for p in pair)


def _kernel_gradient(
    low: Lowering, op: Arranged, inputs: tuple[Operand, ...], target: Operand
) -> list[Instruction]:
    """Return the gradient; where its sum is split, partial results and their sum."""
    kind, size = TYPES[target.spec.dtype], target.spec.size
    name = f"lane_convolution_kernel_gradient_{kind}"
    integers = (*_geometry(op, inputs[0].spec.shape, target.spec.shape[0]), 0, NONE)
    _, _, parts = _plan(name, integers)
    if parts == 1:
        return [_instruction(name, (target,), inputs, integers)]
    return [
        _instruction(
            name,
            (partial := low.temporary((parts, *target.spec.shape), target.spec.dtype),),
            inputs,
            integers,
        ),
        _instruction(f"sum_partials_{kind}", (target,), (partial,), (size, parts)),
    ]


def _pool(low: Lowering, step: Step, op: Arranged) -> list[Instruction]:
    inner, inputs = op.op, low.operands(step.inputs)
    outputs: tuple[Operand, ...] = (low.operand(step.outputs[0]),)
    if isinstance(inner, Pool):
        images, pooled, index = inputs[0], outputs[0], step.outputs[1:]
        read = [low.operand(i) for i in index if low.is_read(i)]
        outputs = (*outputs, *read)
        flag = ITEM_BYTES[read[0].spec.dtype] if read else 0
        name = f"lane_{inner.kind}_pool"
    elif isinstance(inner, PoolGradient):
        images, pooled = outputs[0], inputs[0]
        flag = ITEM_BYTES[inputs[-1].spec.dtype]
        name = f"lane_{inner.kind}_pool_gradient"
    else:
        raise TypeError(f"{type(inner).__name__} is not a pool")
    if inner.kind == "average":
        flag = int(inner.count_padding)
    layout, shape = op.layout, images.spec.shape
    lanes = layout == BATCH_LANES
    planes, depth = (shape[0] * shape[1], LANES) if lanes else (shape[0], shape[-1])
    integers = pool_geometry(
        inner.window, layout.dense(shape, op.batch), layout.dense(pooled.spec.shape, op.batch), flag
    )
    row = max(1, math.prod(images.spec.shape[-2:]))
    grain = max(1, GRAIN // row)
    kind = TYPES[images.spec.dtype]
    return [
        _instruction(f"{name}_{kind}", outputs, inputs, (planes, *integers[1:], depth), grain=grain)
    ]
