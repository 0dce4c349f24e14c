"""Elementwise steps."""
from __future__ import annotations
from cortex.compute.program import Step
from ..instruction import Instruction
from ..lowering import Lowering
def map_(low: Lowering, step: Step) -> list[Instruction] | None:
    return None
