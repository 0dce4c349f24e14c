"""Steps to instructions of a device: who runs what is decided here, once, when a program is compiled."""

from __future__ import annotations

from dataclasses import dataclass, field

from cortex.compute.errors import BackendError
from cortex.compute.plan import lowering as plan
from cortex.compute.plan.storage import Storage
from cortex.compute.program import Program

from .device import Device, Libraries
from .instruction import Instruction, copy
from .options import Options

KNOWN = ("bool", "uint8", "int32", "int64", "uint64", "float32", "float64")


@dataclass
class Lowering(plan.Lowering[Instruction]):
    """A program on its way to instructions for one device."""

    device: Device = field(kw_only=True)
    options: Options = field(kw_only=True)
    libraries: Libraries = field(kw_only=True)


def lower(program: Program, device: Device, options: Options, libraries: Libraries) -> Lowering:
    """Choose a provider for every step and return the instructions; nothing has an address yet."""
    from .providers import provide

    low = Lowering(program, Storage(program), device=device, options=options, libraries=libraries)
    return plan.fill(low, provide, lambda low, target, source: copy(target, source))


def check_supported(program: Program, name: str) -> None:
    """Raise `BackendError` for dtypes that the backend does not know."""
    for step in program.steps:
        for value in (*step.inputs, *step.outputs):
            if value.dtype not in KNOWN:
                raise BackendError(
                    f"{name}: {type(step.op).__name__} uses dtype {value.dtype}, known: {', '.join(KNOWN)}"
                )
