"""Graphs of cuDNN: planning them, and the instructions that run their plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from cortex.compute.passes.memory import ALIGNMENT
from cortex.compute.plan.storage import Operand
from cortex.compute.program import Step

from ..device import Libraries, LibraryCall
from ..instruction import Instruction
from ..lowering import Lowering
from ..passes.graph import DnnGraph
from .casts import half, rounded, widened
from .matrix import WORKSPACE

if TYPE_CHECKING:
    from ..libraries import dnn
    from ..libraries.protocols import DnnPlan


def planned(
    libraries: Libraries,
    description: dnn.Description,
    refused: Callable[[Exception], object] = lambda error: None,
) -> DnnPlan | None:
    """Return the library's plan, or None where there is no library or it refuses, which `refused` is told."""
    from ..libraries.errors import Unsupported

    if libraries.dnn is None:
        return None
    try:
        return libraries.dnn.plan(description)
    except Unsupported as error:
        refused(error)
        return None


def graph(low: Lowering, step: Step) -> list[Instruction] | None:
    """A step that a pass made a graph because the library has a plan for it."""
    op = step.op
    plan = planned(low.libraries, op.description) if isinstance(op, DnnGraph) else None
    if not isinstance(op, DnnGraph) or plan is None:
        return None
    before: list[Instruction] = []
    after: list[Instruction] = []
    operands: dict[str, Operand] = {}
    for (name, o), value in zip(op.description.inputs.items(), step.inputs, strict=True):
        operands[name], casts = _taken(low, low.operand(value), o)
        before += casts
    for (name, o), value in zip(op.description.outputs.items(), step.outputs, strict=True):
        operands[name], casts = _given(low, low.operand(value), o)
        after += casts
    writes = tuple(operands[name] for name in op.description.outputs)
    provider = f"cuDNN {type(op.description).__name__}"
    return [*before, library_call(low, plan, operands, writes, provider), *after]


def _taken(low: Lowering, held: Operand, wanted: dnn.Operand) -> tuple[Operand, list[Instruction]]:
    """Return an operand as the graph reads it; values are float32 until they are stored in 16 bits."""
    if not _differ(held, wanted):
        return held, []
    made, cast = rounded(low, held, wanted.dtype)
    return made, [cast]


def _given(low: Lowering, held: Operand, wanted: dnn.Operand) -> tuple[Operand, list[Instruction]]:
    """Return an operand as the graph writes it, and what makes the value of it."""
    if not _differ(held, wanted):
        return held, []
    made = half(low, held)
    return made, [widened(made, wanted.dtype, held)]


def _differ(held: Operand, wanted: dnn.Operand) -> bool:
    return held.spec.dtype != (wanted.dtype if wanted.dtype != "bits" else "uint8")


def library_call(
    low: Lowering,
    plan: DnnPlan,
    operands: Mapping[str, Operand],
    writes: tuple[Operand, ...],
    provider: str,
) -> Instruction:
    """Return the instruction that runs a plan of cuDNN, with its workspace from the arena."""
    names, given = tuple(operands), tuple(operands.values())
    if plan.workspace:
        given += (low.temporary((plan.workspace + WORKSPACE - ALIGNMENT,), "uint8"),)

    def run(addresses: Sequence[int], stream: int) -> None:
        named = dict(zip(names, addresses[: len(names)], strict=True))
        workspace = -(-addresses[-1] // WORKSPACE) * WORKSPACE if plan.workspace else 0
        plan.run(named, workspace=workspace, stream=stream)

    return Instruction(
        LibraryCall(type(plan.description).__name__, run), given, writes, provider=provider
    )
