"""Pooling and its gradients: native kernels."""

from __future__ import annotations

from ...program import Step
from ..instruction import Instruction
from ..lowering import Lowering


def pool(low: Lowering, step: Step) -> list[Instruction] | None:
    return None


def pool_gradient(low: Lowering, step: Step) -> list[Instruction] | None:
    return None
