"""The gradients of a linear layer in one product: that of the bias is a sum over what the product reads anyway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cortex.compute.ops import MatMul, Reduce
from cortex.compute.program import Op, Program, Step, Value, rewrite
from cortex.compute.spec import Spec, common_float


@dataclass(frozen=True)
class ProductWithSum(Op):
    """A^T B [m, n] and the sum of A over its rows [m], for A [k, m] and B [k, n]; float32 where these have 16 bits."""

    def infer(self, a: Spec, b: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """[k, m] and [k, n] give [m, n] and [m]."""
        (product,) = MatMul(True, dtype=common_float(a)).infer(a, b)
        return product, Spec(a.shape[1:], product.dtype)

    def decompose(self, build: Program, a: Value, b: Value) -> tuple[Value, ...]:  # type: ignore[override]
        """A product and a reduction."""
        product = build.apply(MatMul(True, dtype=common_float(a.spec)), a, b)
        return product, build.apply(Reduce("sum", (0,)), a)


def join_sums(program: Program) -> Program:
    """Return the program with sums over rows joined to products before them that read the same operand transposed."""
    waiting: dict[
        Value, Step
    ] = {}  # by the operand, the first product that could take its sum along
    pairs: dict[Step, Step] = {}
    for step in program.steps:
        if step.op == MatMul(transpose_a=True) and _fits(step):
            waiting.setdefault(step.inputs[0], step)
        elif step.op == Reduce("sum", (0,)) and step.inputs[0] in waiting:
            pairs.setdefault(waiting.pop(step.inputs[0]), step)
    sums: dict[Step, Value] = {}

    def replace(new: Program, step: Step, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        if step in pairs:
            product, total = new.apply(ProductWithSum(), *inputs)
            sums[pairs[step]] = total
            return (product,)
        return (sums[step],) if step in sums else None

    return rewrite(program, replace) if pairs else program


def _fits(step: Step) -> bool:
    return all(v.spec.rank == 2 and v.spec.size for v in (*step.inputs, *step.outputs))
