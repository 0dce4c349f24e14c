"""Sums over processes, in the memory of the device and on its stream, so that a captured step holds them."""

from __future__ import annotations

from collections.abc import Sequence

from cortex.compute.group import DeviceGroup
from cortex.compute.ops import AllReduce
from cortex.compute.program import Step

from ..device import LibraryCall
from ..instruction import Instruction, copy
from ..lowering import Lowering


def all_reduce(low: Lowering, step: Step) -> list[Instruction] | None:
    """Sum in place where storage let the result lie over the input, as it does for flat gradients."""
    group = low.group
    if not isinstance(step.op, AllReduce) or not isinstance(group, DeviceGroup):
        return None
    (source,), (target,) = low.operands(step.inputs), low.operands(step.outputs)
    spec = target.spec
    if spec.size == 0:
        return []

    def run(addresses: Sequence[int], stream: int) -> None:
        group.all_reduce_on_device(addresses[0], spec.size, spec.dtype, stream)

    in_place = source.place.resolved == target.place.resolved
    call = LibraryCall(f"sum of {spec} over processes", run)
    made = Instruction(call, (target,), (target,), provider="group")
    return [made] if in_place else [copy(target, source), made]
