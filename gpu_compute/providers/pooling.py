"""Pooling and its gradient, in either layout; a gradient gathers, so it is deterministic without atomics."""

from __future__ import annotations

from cortex.compute.ops import Pool, PoolGradient, Window
from cortex.compute.program import Step
from cortex.compute.spec import ITEM_BYTES

from ..instruction import Instruction
from ..kernels.geometry import pooling
from ..lowering import Lowering
from ..passes.layout import ChannelsLast
from .convolution import first
from .launch import launch


def is_pooling(step: Step) -> bool:
    """Whether a step pools or is the gradient of one that does."""
    return isinstance(step.op, (Pool, PoolGradient)) and step.op.window.rank <= 2


def pool(low: Lowering, step: Step) -> list[Instruction] | None:
    """Maximum (with the position of each) or average of windows."""
    last = isinstance(step.op, ChannelsLast)
    op = step.op.op if isinstance(step.op, ChannelsLast) else step.op
    if not isinstance(op, Pool) or op.window.rank > 2 or not _plain(op.window):
        return None
    x, y = low.operand(step.inputs[0]), low.operand(step.outputs[0])
    numbers, count = pooling(op.window, first(x) if last else x.spec.shape, last), y.spec.size
    if op.kind == "average":
        arguments = (y, x, int(op.count_padding), numbers, count)
        return [launch("average_pool", y.spec.dtype, arguments, (y,))]
    index = low.operand(step.outputs[1])
    item = ITEM_BYTES[index.spec.dtype]
    return [launch("max_pool", y.spec.dtype, (y, index, item, x, numbers, count), (y, index))]


def pool_gradient(low: Lowering, step: Step) -> list[Instruction] | None:
    """What the windows that saw a cell hand back to it."""
    last = isinstance(step.op, ChannelsLast)
    op = step.op.op if isinstance(step.op, ChannelsLast) else step.op
    if not isinstance(op, PoolGradient) or op.window.rank > 2 or not _plain(op.window):
        return None
    dy, dx = low.operand(step.inputs[0]), low.operand(step.outputs[0])
    numbers, count = pooling(op.window, first(dx) if last else dx.spec.shape, last), dx.spec.size
    if op.kind == "average":
        padded = (dx, dy, int(op.count_padding), numbers, count)
        return [launch("average_pool_gradient", dx.spec.dtype, padded, (dx,))]
    index = low.operand(step.inputs[1])
    arguments = (dx, dy, index, ITEM_BYTES[index.spec.dtype], numbers, count)
    return [launch("max_pool_gradient", dx.spec.dtype, arguments, (dx,))]


def _plain(window: Window) -> bool:
    return all(d == 1 for d in window.dilation)
