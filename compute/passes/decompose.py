"""Replacing composite ops by what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..program import Program, Step, Value, rewrite

Keep = Callable[[Step], bool]


def decompose(program: Program, keep: Keep = lambda step: False) -> Program:
    """Return the program with every composite step for which `keep` is false replaced by its decomposition."""

    def replace(new: Program, step: Step, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        if not step.op.is_composite or keep(step):
            return None
        return step.op.decompose(new, *inputs)

    while any(s.op.is_composite and not keep(s) for s in program.steps):
        program = rewrite(program, replace)
    return program
