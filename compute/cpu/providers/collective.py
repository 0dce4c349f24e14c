"""Sums over processes: the group's own, called between two instructions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...program import Step
from ..instruction import Instruction
from ..lowering import Lowering


def all_reduce(low: Lowering, step: Step) -> list[Instruction] | None:
    """Sum in place where storage let the result lie over the input, as it does for flat gradients."""
    group = low.group
    if group is None:
        return None
    (source,), (target,) = low.operands(step.inputs), low.operands(step.outputs)
    in_place = source.place.resolved == target.place.resolved

    def run(inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        if not in_place:
            np.copyto(outputs[0], inputs[0])
        group.all_reduce(outputs[0])

    return [Instruction("python", run, (target,), (source,), provider="group")]
