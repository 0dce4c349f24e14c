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
    """Maximum (with the position of each) or average of windows; as a gradient, what they hand back to each cell."""
    last = isinstance(step.op, ChannelsLast)
    op = step.op.op if isinstance(step.op, ChannelsLast) else step.op
    if not isinstance(op, (Pool, PoolGradient)) or not _is_plain(op.window):
        return None
    back = isinstance(op, PoolGradient)
    inputs, outputs = low.operands(step.inputs), low.operands(step.outputs)
    target, source = outputs[0], inputs[0]
    image = target if back else source
    cells = pooling(op.window, first(image) if last else image.spec.shape, last)
    name, dtype = f"{op.kind}_pool{'_gradient' * back}", target.spec.dtype
    if op.kind == "average":
        arguments = (target, source, int(op.count_padding), cells, target.spec.size)
        return [launch(name, dtype, arguments, outputs)]
    index = inputs[1] if back else outputs[1]
    seen = (index, ITEM_BYTES[index.spec.dtype])
    order = (target, source, *seen) if back else (target, *seen, source)
    return [launch(name, dtype, (*order, cells, target.spec.size), outputs)]


def _is_plain(window: Window) -> bool:
    return window.rank <= 2 and all(d == 1 for d in window.dilation)
