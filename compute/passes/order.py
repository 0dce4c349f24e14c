"""Ordering: what only updates state comes last, when everybody has read the old state."""

from __future__ import annotations

from dataclasses import replace

from ..program import Program, Step


def updates_last(program: Program) -> Program:
    """Return the program with the steps that feed nothing but updates moved to its end, in their order.

    They can then write over the old state instead of beside it.
    """
    read = {v for s in program.steps for v in s.inputs} | set(program.outputs.values())

    def last(step: Step) -> bool:
        return not any(o in read for o in step.outputs)

    return replace(program, steps=sorted(program.steps, key=last))
