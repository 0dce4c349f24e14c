"""`Instruction`: one piece of work on a device; operands are places until the plan gives them addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cortex.compute.plan.storage import Operand

from .device import Launch, Target

Argument = Operand | int | float | Mapping[str, object]


@dataclass(frozen=True)
class Instruction:
    """A kernel of ours, a plan of a library, or the name of a device's own copy or clear.

    `arguments` stand in the order of the target's parameters; `writes` says which of the operands are results.
    """

    target: Target
    arguments: tuple[Argument, ...]
    writes: tuple[Operand, ...]
    provider: str = "kernel"

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Every operand among the arguments."""
        return tuple(a for a in self.arguments if isinstance(a, Operand))

    def bound(self) -> Launch:
        """Return the launch, once places have addresses."""
        arguments = tuple(a.place.address if isinstance(a, Operand) else a for a in self.arguments)
        return Launch(self.target, arguments)


def copy(target: Operand, source: Operand) -> Instruction:
    """Return the copy of all bytes of a dense value to another place."""
    return Instruction(
        "copy", (target, source, target.spec.bytes), (target,), provider="device copy"
    )


def clear(target: Operand) -> Instruction:
    """Return the instruction that sets all bytes of a value to zero."""
    return Instruction("clear", (target, target.spec.bytes), (target,), provider="device clear")
