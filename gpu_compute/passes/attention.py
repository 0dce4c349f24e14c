"""Attention by cuDNN; what it has no plan for stays an op, to be taken apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cortex.compute.ops import Attention, AttentionGradient
from cortex.compute.program import Op, Program, Step, Value, rewrite

from ..libraries import dnn
from .graph import DnnGraph

KINDS: dict[type[Op], type[dnn.AttentionForward | dnn.AttentionBackward]] = {
    Attention: dnn.AttentionForward,
    AttentionGradient: dnn.AttentionBackward,
}
HALVES = ("bfloat16", "float16")  # cuDNN refuses the gradient of float32 attention


def attend(
    program: Program, multiplies_in: str, accepts: Callable[[dnn.Description], bool]
) -> Program:
    """Return the program with attention in 16 bits as graphs, where the library accepts them.

    float32 operands count as what they are rounded to for products, `multiplies_in`.
    """

    def replace(new: Program, step: Step, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        op = step.op
        if not isinstance(op, (Attention, AttentionGradient)):
            return None
        q, k = inputs[:2]
        dtype = multiplies_in if q.dtype == "float32" else q.dtype
        if dtype not in HALVES or not q.spec.size:
            return None
        batch, queries, heads, width = q.shape
        extents = (batch, heads, queries, k.shape[1], width)
        description = KINDS[type(op)](*extents, dtype, op.causal, op.scale)
        if not accepts(description):
            return None
        results: Sequence[Value] = new.apply(DnnGraph(description), *inputs)
        return results

    return rewrite(program, replace)
