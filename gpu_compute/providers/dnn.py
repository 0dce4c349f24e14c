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
from .matrix import WORKSPACE

if TYPE_CHECKING:
    from ..libraries import dnn
    from ..libraries.protocols import DnnPlan


def planned(
    libraries: Libraries,
    *descriptions: dnn.Description,
    refused: Callable[[Exception], object] = lambda error: None,
) -> DnnPlan | None:
    """Return the library's plan of the first description that it takes.

    None where there is no library, or it refuses all; `refused` is then told why.
    """
    from ..libraries.errors import Unsupported

    if libraries.dnn is None:
        return None
    for description in descriptions:
        try:
            return libraries.dnn.plan(description)
        except Unsupported as error:
            why = error
    refused(why)
    return None


def graph(low: Lowering, step: Step) -> list[Instruction] | None:
    """A step that a pass made a graph because the library has a plan for it."""
    op = step.op
    plan = planned(low.libraries, op.description) if isinstance(op, DnnGraph) else None
    if not isinstance(op, DnnGraph) or plan is None:
        return None
    names = (*op.description.inputs, *op.description.outputs)
    outputs = low.operands(step.outputs)
    operands = dict(zip(names, (*low.operands(step.inputs), *outputs), strict=True))
    provider = f"cuDNN {type(op.description).__name__}"
    return [library_call(low, plan, operands, outputs, provider)]


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
