"""Composite ops for which one pass over memory is enough: softmax, cross-entropy, normalisations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cortex.compute.errors import BackendError
from cortex.compute.ops import (
    BatchNormalisation,
    BatchNormalisationGradient,
    LayerNormalisation,
    LocalResponseNormalisation,
    LogSoftmax,
    RmsNormalisation,
    Softmax,
    SoftmaxCrossEntropy,
)
from cortex.compute.plan.storage import Operand
from cortex.compute.program import Step
from cortex.compute.spec import ITEM_BYTES, Shape

from ..instruction import Instruction
from ..kernels.launch import parts_of
from ..lowering import Lowering
from .launch import NULL, launch
from .reduction import sum_parts

MISSING = -(1 << 62)  # labels below 0 are missing, however far below


def keeps_composite(step: Step) -> bool:
    """Whether a kernel here computes a composite op."""
    op = step.op
    if not step.inputs or step.inputs[0].spec.size == 0:
        return False
    rank = step.inputs[0].spec.rank
    if isinstance(op, (LayerNormalisation, RmsNormalisation)):
        return op.axes == tuple(range(rank - len(op.axes), rank)) and bool(op.axes)
    if isinstance(op, (BatchNormalisation, BatchNormalisationGradient)):
        return channel_axis(op.axes, rank) is not None
    return isinstance(op, (Softmax, LogSoftmax, SoftmaxCrossEntropy, LocalResponseNormalisation))


def channel_axis(axes: Sequence[int], rank: int) -> int | None:
    """Return the one axis without statistics, where it is the second or the last."""
    rest = [a for a in range(rank) if a not in axes]
    return rest[0] if len(rest) == 1 and rest[0] in (1, rank - 1) else None


def _rows(x: Operand, axis: int) -> tuple[int, int, int]:
    """Return (rows, width, inner): what softmax kernels are told about an axis."""
    width, inner = x.spec.shape[axis], math.prod(x.spec.shape[axis % x.spec.rank + 1 :])
    return x.spec.size // width, width, inner


def softmax(low: Lowering, step: Step) -> list[Instruction] | None:
    """Softmax or its logarithm along an axis."""
    op = step.op
    if not isinstance(op, (Softmax, LogSoftmax)):
        return None
    name = "softmax" if isinstance(op, Softmax) else "log_softmax"
    x, y = low.operand(step.inputs[0]), low.operand(step.outputs[0])
    return [launch(name, x.spec.dtype, (y, x, *_rows(x, op.axis)), (y,))]


def cross_entropy(low: Lowering, step: Step) -> list[Instruction] | None:
    """Terms from logits and labels or a distribution; in debug mode labels are checked first."""
    op = step.op
    if not isinstance(op, SoftmaxCrossEntropy):
        return None
    (x, target), terms = low.operands(step.inputs), low.operand(step.outputs[0])
    rows, width, inner = _rows(x, op.axis)
    numbers = (op.label_smoothing, rows, width, inner)
    if target.spec.is_float:
        return [launch("soft_cross_entropy", x.spec.dtype, (terms, x, target, *numbers), (terms,))]
    item = ITEM_BYTES[target.spec.dtype]
    made = [launch("cross_entropy", x.spec.dtype, (terms, x, target, item, *numbers), (terms,))]
    if low.options.debug:
        made.insert(0, _label_check(low, step, target, width))
    return made


def _label_check(low: Lowering, step: Step, labels: Operand, classes: int) -> Instruction:
    where = f"in {step.label!r}: " if step.label else ""

    def error(position: int) -> BackendError:
        return BackendError(
            f"{where}SoftmaxCrossEntropy: the label at position {position} is no class in 0..{classes - 1}"
        )

    cell, item = low.check(error), ITEM_BYTES[labels.spec.dtype]
    arguments = (labels, item, cell, MISSING, classes, labels.spec.size)
    return launch("check_indices", "raw8", arguments, ())


def row_normalisation(low: Lowering, step: Step) -> list[Instruction] | None:
    """Layer and root-mean-square normalisation over trailing axes."""
    op = step.op
    if not isinstance(op, (LayerNormalisation, RmsNormalisation)):
        return None
    (x, *parameters), y = low.operands(step.inputs), low.operand(step.outputs[0])
    width = parameters[0].spec.size
    numbers = (op.epsilon, x.spec.size // width, width)
    if isinstance(op, LayerNormalisation):
        scale, bias = parameters
        arguments = (y, NULL, NULL, x, scale, bias, *numbers)
        return [launch("layer_norm", x.spec.dtype, arguments, (y,))]
    return [launch("rms_norm", x.spec.dtype, (y, NULL, x, parameters[0], *numbers), (y,))]


def local_response(low: Lowering, step: Step) -> list[Instruction] | None:
    """Local response normalisation across channels."""
    op = step.op
    if not isinstance(op, LocalResponseNormalisation):
        return None
    x, y = low.operand(step.inputs[0]), low.operand(step.outputs[0])
    channels, inner = x.spec.shape[1], math.prod(x.spec.shape[2:])
    numbers = (op.k, op.alpha, op.beta, op.size, channels, inner, x.spec.size)
    return [launch("lrn", x.spec.dtype, (y, NULL, x, *numbers), (y,))]


@dataclass(frozen=True)
class _Channels:
    """An image as kernels see it, [outer, channels, inner], and in how many parts they sum over a channel."""

    count: int  # elements of a channel
    channels: int
    inner: int
    parts: int
    size: int  # elements of a part

    @property
    def by_column(self) -> bool:
        """Whether neighbours in memory are neighbouring channels."""
        return self.inner == 1

    @staticmethod
    def of(shape: Shape, axis: int) -> _Channels:
        """Split columns so that the device is busy, rows where they end."""
        channels, inner = shape[axis], math.prod(shape[axis + 1 :])
        count = math.prod(shape) // channels
        parts = parts_of(count, channels) if inner == 1 else shape[0]
        size = -(-count // parts) if inner == 1 else inner
        return _Channels(count, channels, inner, -(-count // size), size)


def batch_normalisation(low: Lowering, step: Step) -> list[Instruction] | None:
    """Moments in parts, their merge, then one pass that normalises; channels second or last."""
    op = step.op
    if not isinstance(op, BatchNormalisation):
        return None
    x, scale, bias = low.operands(step.inputs)
    y, mean, variance = low.operands(step.outputs)
    dtype, axis = x.spec.dtype, channel_axis(op.axes, x.spec.rank)
    if axis is None:
        return None
    c = _Channels.of(x.spec.shape, axis)
    means, squares = (low.temporary((c.parts, c.channels), mean.spec.dtype) for _ in range(2))
    if c.by_column:
        arguments = (means, squares, x, c.count, c.channels, c.parts)
        first = launch("moments_columns", dtype, arguments, (means, squares))
    else:
        of_rows = (means, squares, x, c.parts * c.channels, c.inner)
        first = launch("moments_rows", dtype, of_rows, (means, squares))
    merging = (mean, variance, means, squares, c.channels, c.parts, c.size, c.count)
    merge = launch("moments_merge", mean.spec.dtype, merging, (mean, variance))
    applying = (y, x, mean, variance, scale, bias, op.epsilon, c.channels, c.inner, x.spec.size)
    return [first, merge, launch("channel_norm", dtype, applying, (y,))]


def batch_normalisation_gradient(low: Lowering, step: Step) -> list[Instruction] | None:
    """Two sums in parts, each added up, then one pass; channels second or last."""
    op = step.op
    if not isinstance(op, BatchNormalisationGradient):
        return None
    dy, x, scale, mean, variance = low.operands(step.inputs)
    dx, dscale, dbias = low.operands(step.outputs)
    dtype, axis = x.spec.dtype, channel_axis(op.axes, x.spec.rank)
    if axis is None:
        return None
    c = _Channels.of(x.spec.shape, axis)
    totals = sums = (dbias, dscale)  # of dy, and of dy times the normalised x
    if c.parts > 1:
        shape = (c.parts, c.channels)
        sums = (low.temporary(shape, dbias.spec.dtype), low.temporary(shape, dbias.spec.dtype))
    summing = (*sums, x, dy, mean, variance, op.epsilon)
    if c.by_column:
        arguments = (*summing, c.count, c.channels, c.parts)
        made = [launch("channel_gradient_columns", dtype, arguments, sums)]
    else:
        of_rows = (*summing, c.parts * c.channels, c.channels, c.inner)
        made = [launch("channel_gradient_rows", dtype, of_rows, sums)]
    if c.parts > 1:
        made += [sum_parts(*pair, c.parts) for pair in zip(totals, sums, strict=True)]
    sizes = (op.epsilon, float(c.count), c.channels, c.inner, x.spec.size)
    applying = (dx, x, dy, mean, variance, scale, *totals, *sizes)
    return [*made, launch("channel_norm_gradient", dtype, applying, (dx,))]
