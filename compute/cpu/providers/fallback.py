"""NumPy for what has no kernel: the reference runs on arrays that lie in the plan's memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...program import Step
from ...reference import KERNELS
from ..instruction import Instruction
from ..lowering import Lowering


def with_numpy(low: Lowering, step: Step) -> list[Instruction]:
    """Return one instruction that calls the reference kernel."""
    kernel, op = KERNELS[type(step.op)], step.op

    def run(inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        for target, result in zip(outputs, kernel(op, *inputs), strict=True):
            np.copyto(target, result)

    return [
        Instruction(
            "python", run, low.operands(step.outputs), low.operands(step.inputs), provider="numpy"
        )
    ]
