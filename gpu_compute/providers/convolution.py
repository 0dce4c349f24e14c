"""Convolutions and their gradients: cuDNN channels-last where it takes them, else our plain kernels in any layout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cortex.compute.layouts import to_first, to_last
from cortex.compute.ops import (
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
)
from cortex.compute.ops.fused import Fused
from cortex.compute.plan.storage import Operand
from cortex.compute.program import Op, Step, Value
from cortex.compute.spec import Shape

from ..device import Libraries
from ..instruction import Instruction
from ..kernels.geometry import Structure, convolving
from ..kernels.launch import parts_of
from ..lowering import Lowering
from ..options import Options
from ..passes.layout import ChannelsLast, permuted
from .dnn import library_call, planned
from .launch import NULL, launch
from .maps import converted
from .matrix import epilogue_of, is_row, say_once
from .movement import permuted as copy_permuted
from .reduction import sum_parts

if TYPE_CHECKING:
    from ..libraries.dnn import Description

TILE = 64  # rows and columns of a tile of a product; see csrc/device/product.h
KINDS = (Convolution, ConvolutionInputGradient, ConvolutionKernelGradient)


def is_convolution(op: Op) -> bool:
    """Whether an op is a convolution or one of its gradients."""
    return isinstance(op, KINDS)


def wants_channels_last(step: Step, libraries: Libraries) -> bool:
    """Whether a step is for cuDNN."""
    return (
        libraries.dnn is not None
        and is_convolution(step.op)
        and all(v.dtype == "float32" and v.spec.size for v in (*step.inputs, *step.outputs))
    )


def accepts_convolution(
    libraries: Libraries, options: Options, op: Fused, inputs: Sequence[Value]
) -> bool:
    """Whether cuDNN has a graph for a convolution and the bias and activation that follow it."""
    inner = op.op
    if not isinstance(inner, ChannelsLast) or not isinstance(inner.op, Convolution):
        return False
    epilogue, count = epilogue_of(op.expression), len(inputs) - op.arity
    if epilogue is None or count != ("bias" in epilogue):
        return False
    out = op.infer(*(v.spec for v in inputs))[0]
    if count and not (inputs[-1].dtype == out.dtype and is_row(inputs[-1].shape, out.shape)):
        return False
    x, w = (permuted(v.shape, to_first(v.spec.rank)) for v in inputs[:2])
    description = _forward(inner.op, x, w, options.held, epilogue)
    return planned(libraries, description, refused=say_once) is not None


def convolution(low: Lowering, step: Step) -> list[Instruction] | None:
    """A convolution or one of its gradients, channels-last or not, with or without bias and activation."""
    fused = step.op if isinstance(step.op, Fused) else None
    op = fused.op if fused else step.op
    last = isinstance(op, ChannelsLast)
    op = op.op if isinstance(op, ChannelsLast) else op
    if not is_convolution(op):
        return None
    inputs, target = low.operands(step.inputs), low.operand(step.outputs[0])
    if last:
        epilogue = epilogue_of(fused.expression) if fused else "none"
        made = _by_library(low, op, target, inputs, epilogue or "none")
        if made is not None:
            return made
    return None if fused else _plain(low, op, target, inputs, last)


def first(operand: Operand) -> Shape:
    """Return the logical shape of an operand that is held channels-last."""
    return permuted(operand.spec.shape, to_first(operand.spec.rank))


def _forward(op: Convolution, x: Shape, w: Shape, dtype: str, epilogue: str) -> Description:
    from ..libraries import dnn

    activation: Any = "relu" if "relu" in epilogue else "none"
    return dnn.ConvolutionForward(
        x, w, op.window, op.groups, dtype, bias="bias" in epilogue, activation=activation
    )  # fmt: skip


def _by_library(
    low: Lowering, op: Op, target: Operand, inputs: tuple[Operand, ...], epilogue: str
) -> list[Instruction] | None:
    from ..libraries import dnn

    dtype = inputs[0].spec.dtype
    description: Description
    others: list[Description] = []
    if isinstance(op, Convolution):
        x, w = map(first, inputs[:2])
        description = _forward(op, x, w, dtype, epilogue)
        names = ("x", "w", "bias")[: len(inputs)]
    elif isinstance(op, ConvolutionInputGradient):
        description = dnn.ConvolutionInputGradient(
            first(target), first(inputs[1]), op.window, op.groups, dtype
        )
        names = ("dy", "w")
    elif isinstance(op, ConvolutionKernelGradient):
        description = dnn.ConvolutionKernelGradient(
            first(inputs[0]), first(target), op.window, op.groups, dtype, target.spec.dtype
        )
        names = ("x", "dy")
        if (
            dtype != target.spec.dtype
        ):  # cuDNN 9.28 has whole sums only where channels come in eights
            others = [replace(description, out_dtype=dtype)]
    else:
        return None
    plan = planned(low.libraries, description, *others, refused=say_once)
    if plan is None:
        return None
    ((output, written),) = plan.description.outputs.items()
    whole = written.dtype == target.spec.dtype
    result = target if whole else low.temporary(target.spec.shape, written.dtype)
    operands = dict(zip(names, inputs, strict=True)) | {output: result}
    call = library_call(low, plan, operands, (result,), f"cuDNN {low.options.precision}")
    return [call] if whole else [call, converted(target, result)]


def _plain(
    low: Lowering, op: Op, target: Operand, inputs: tuple[Operand, ...], last: bool
) -> list[Instruction] | None:
    """The plain kernels, for one or two spatial axes."""
    dtype = inputs[0].spec.dtype
    shapes = [first(o) if last else o.spec.shape for o in (target, *inputs)]
    if isinstance(op, Convolution) and op.window.rank <= 2:
        g = convolving(op.window, shapes[1], shapes[2], op.groups, last)
        return [launch("convolution", dtype, (target, *inputs, NULL, g), (target,))]
    if isinstance(op, ConvolutionInputGradient) and op.window.rank <= 2:
        g = convolving(op.window, shapes[0], shapes[2], op.groups, last)
        return [launch("convolution_input_gradient", dtype, (target, *inputs, g), (target,))]
    if isinstance(op, ConvolutionKernelGradient) and op.window.rank <= 2:
        g = convolving(op.window, shapes[1], shapes[0], op.groups, last)
        return _plain_kernel_gradient(low, target, inputs, g, shapes[0], op.groups, last)
    return None


def _plain_kernel_gradient(
    low: Lowering,
    dw: Operand,
    inputs: tuple[Operand, ...],
    g: Structure,
    shape: Shape,
    groups: int,
    last: bool,
) -> list[Instruction]:
    """The kernel writes [O, C/groups, *K] in parts; they are added up and, channels-last, transposed."""
    (x, dy), dtype = inputs, dw.spec.dtype  # of the sums
    tiles = groups * -(-shape[0] // groups // TILE) * -(-math.prod(shape[1:]) // TILE)
    parts = parts_of(dy.spec.size // max(1, shape[0]), tiles)
    dense = low.temporary(shape, dtype) if last else dw
    partial = low.temporary((parts, *shape), dtype) if parts > 1 else dense
    arguments = (partial, x, dy, g, parts)
    made = [launch("convolution_kernel_gradient", x.spec.dtype, arguments, (partial,))]
    if parts > 1:
        made.append(sum_parts(dense, partial, parts))
    return made + (copy_permuted(dw, dense, to_last(len(shape))) if last else [])
