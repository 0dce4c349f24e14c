"""Attention by cuDNN; what it has no plan for stays an op, to be taken apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cortex.compute.ops import Attention, AttentionGradient
from cortex.compute.program import Op, Program, Step, Value, rewrite
from cortex.compute.spec import HALVES

from ..libraries import dnn
from .graph import DnnGraph

KINDS: dict[type[Op], type[dnn.AttentionForward | dnn.AttentionBackward]] = {
    Attention: dnn.AttentionForward,
    AttentionGradient: dnn.AttentionBackward,
}


def attend(program: Program, held: str, accepts: Callable[[dnn.Description], bool]) -> Program:
    """Return the program with attention as graphs that the library accepts, where values are `held` in 16 bits.

    Not in float32, for cuDNN refuses the gradient.
    """
    if held not in HALVES:
        return program

    def replace(new: Program, step: Step, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        op = step.op
        if not isinstance(op, (Attention, AttentionGradient)):
            return None
        q, k = inputs[:2]
        if q.dtype != "float32" or not q.spec.size:
            return None
        batch, queries, heads, width = q.shape
        extents = (batch, heads, queries, k.shape[1], width)
        description = KINDS[type(op)](*extents, held, op.causal, op.scale)
        if not accepts(description):
            return None
        results: Sequence[Value] = new.apply(DnnGraph(description), *inputs)
        return results

    return rewrite(program, replace)
