"""Steps to instructions of a device: who runs what is decided here, once, when a program is compiled."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from cortex.compute.backend import StepReport
from cortex.compute.expression import constant
from cortex.compute.group import Group
from cortex.compute.ops import Map
from cortex.compute.plan import lowering as plan
from cortex.compute.plan.storage import Operand, Storage, is_joined
from cortex.compute.program import Program, Step, Value

from .device import Device, Libraries
from .instruction import Instruction, clear, copy
from .options import Options


@dataclass
class Lowering(plan.Lowering[Instruction]):
    """A program on its way to instructions for one device."""

    device: Device = field(kw_only=True)
    options: Options = field(kw_only=True)
    libraries: Libraries = field(kw_only=True)
    cleared: list[Operand] = field(
        default_factory=list
    )  # to be zero before anything is written to them

    @cached_property
    def padding(self) -> set[Value]:
        """Zeros that are only joined to other values: the joined value is cleared as a whole, and they need no work."""
        joins = [s for s in self.program.steps if is_joined(s)]
        plain = [s for s in joins if self.operand(s.outputs[0]).place.resolved[0].kind == "arena"]
        pads = {s.outputs[0] for s in self.program.steps if is_zero(s)}
        named = {*self.program.outputs.values(), *self.program.updates.values()}
        read = {v for s in self.program.steps if s not in plain for v in s.inputs}
        return pads - named - read


def lower(
    program: Program,
    device: Device,
    options: Options,
    libraries: Libraries,
    group: Group | None = None,
) -> Lowering:
    """Choose a provider for every step and return the instructions; nothing has an address yet."""
    from .providers import provide

    low = Lowering(
        program, Storage(program), device=device, options=options, libraries=libraries, group=group
    )
    plan.fill(low, provide, lambda low, target, source: copy(target, source))
    for target in low.cleared:
        _clear_first(low, target)
    return low


def is_zero(step: Step) -> bool:
    """Whether a step fills a float value with zeros."""
    op = step.op
    return isinstance(op, Map) and not step.inputs and op.expressions == (constant(0.0),)


def _clear_first(low: Lowering, target: Operand) -> None:
    """Clear a value before the first instruction that touches its memory."""
    root, _ = target.place.resolved
    touching = (any(o.place.resolved[0] is root for o in i.operands) for i in low.instructions)
    first = next((number for number, touches in enumerate(touching) if touches), 0)
    low.instructions.insert(first, clear(target))
    low.owners.insert(first, len(low.reports))
    low.reports.append(StepReport("padding", "", "device clear", (str(target.spec),)))
