"""Steps to instructions of the CPU backend."""

from __future__ import annotations

from ..errors import BackendError
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


def check_supported(program: Program) -> None:
    """Raise `BackendError` for dtypes that the CPU backend does not know."""
    known = ("bool", "uint8", "int32", "int64", "uint64", "float32", "float64")
    for step in program.steps:
        for value in (*step.inputs, *step.outputs):
            if value.dtype not in known:
                raise BackendError(
                    f"cpu: {type(step.op).__name__} uses dtype {value.dtype}, known: {', '.join(known)}"
                )
