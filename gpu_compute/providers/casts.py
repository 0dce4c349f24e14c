"""Rounding operands of products and convolutions to 16 bits and back, where that precision was asked for."""

from __future__ import annotations

from cortex.compute.expression import symbol
from cortex.compute.plan.geometry import collapse
from cortex.compute.plan.storage import Operand

from ..device import MapTarget
from ..instruction import Argument, Instruction
from ..kernels.emitted import form_of, values_of
from ..lowering import Lowering

HALF_BYTES = 2


def half(low: Lowering, operand: Operand) -> Operand:
    """Return memory for the elements of an operand in 16 bits each."""
    return low.temporary((operand.spec.size * HALF_BYTES,), "uint8")


def rounded(low: Lowering, operand: Operand, dtype: str) -> tuple[Operand, Instruction]:
    """Return a copy of a float32 operand in a 16-bit dtype, and the launch that makes it."""
    made = half(low, operand)
    return made, _cast(made, dtype, operand, "float32", operand.spec.size)


def widened(source: Operand, dtype: str, target: Operand) -> Instruction:
    """Return the launch that makes float32 of what lies in `source` in a 16-bit dtype."""
    return _cast(target, "float32", source, dtype, target.spec.size)


def _cast(target: Operand, to: str, source: Operand, dtype: str, size: int) -> Instruction:
    layout = collapse((size,), [(size,), (size,)])
    aligned = [o.alignment for o in (target, source)]
    form = form_of([symbol(0)], [to], [dtype], "float32", layout, aligned)
    arguments: tuple[Argument, ...] = (target, source, *values_of(form, layout, ()))
    return Instruction(MapTarget(form), arguments, (target,), provider="emitted")
