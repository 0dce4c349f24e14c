"""Steps to instructions of the CPU backend."""

from __future__ import annotations

from ..group import Group
from ..plan import lowering as plan
from ..plan.storage import Storage
from ..program import Program
from .instruction import Instruction

Lowering = plan.Lowering[Instruction]


def lower(program: Program, exact: bool = False, group: Group | None = None) -> Lowering:
    """Choose a provider for every step and return the instructions; nothing has an address yet."""
    from .providers import provide
    from .providers.movement import copy_whole

    return plan.fill(
        Lowering(program, Storage(program), exact=exact, group=group), provide, copy_whole
    )
