"""The gradient of a relu inside the product that makes its cotangent: cuBLASLt keeps one bit of each result for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cortex.compute import math as m
from cortex.compute.expression import Expression, symbol
from cortex.compute.ops import Map, MatMul
from cortex.compute.ops.fused import Fused
from cortex.compute.passes.simplify import remove_dead
from cortex.compute.program import Op, Program, Step, Value, count_uses, rewrite
from cortex.compute.spec import Spec

from ..libraries.products import MASK_BITS

X, Y = symbol(0), symbol(1)
GATES = (X * m.where(Y > 0, 1, 0), X * m.where(Y > 0.0, 1, 0))  # of cotangent and result of a relu

Accepts = Callable[["ProductWithMask", Sequence[Value], "GatedProduct", Sequence[Value]], bool]


@dataclass(frozen=True)
class ProductWithMask(Op):
    """A product with relu, and one bit of each element, whether it is positive: bytes as cuBLASLt packs them."""

    product: Fused

    def infer(self, *inputs: Spec) -> tuple[Spec, ...]:
        """[m, n], and a mask of m rows."""
        (y,) = self.product.infer(*inputs)
        return y, mask_of(y)


@dataclass(frozen=True)
class GatedProduct(Op):
    """A B where the bits of a mask say so, 0 elsewhere; inputs A, B and the mask."""

    product: MatMul

    def infer(self, a: Spec, b: Spec, mask: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """The spec of the product."""
        return self.product.infer(a, b)


def mask_of(y: Spec) -> Spec:
    """Return the spec of the mask of a matrix."""
    rows, columns = y.shape
    return Spec((rows * math.ceil(columns / MASK_BITS) * MASK_BITS // 8,), "uint8")


def gate_products(program: Program, accepts: Accepts) -> Program:
    """Return the program with gradients of relus moved into products, where the library accepts both products.

    A gradient qualifies when its cotangent is a product that nobody else reads, and the relu was done by a product.
    """
    pairs = _pairs(program, accepts)
    forward = {f for _, f in pairs.values()}
    place: dict[Value, Value] = {}
    masks: dict[Step, Value] = {}

    def replace(new: Program, step: Step, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        place.update(zip(step.inputs, inputs, strict=True))
        if step in forward and isinstance(step.op, Fused):
            y, masks[step] = new.apply(ProductWithMask(step.op), *inputs)
            return (y,)
        if step in pairs:
            product, source = pairs[step]
            given = (place[v] for v in product.inputs)
            return (new.apply(GatedProduct(product.op), *given, masks[source]),)  # type: ignore[arg-type]
        return None

    return remove_dead(rewrite(program, replace)) if pairs else program


def _pairs(program: Program, accepts: Accepts) -> dict[Step, tuple[Step, Step]]:
    """Return, for the gradients that go into products, the product and the one that did the relu."""
    producer = {s.outputs[0]: s for s in program.steps if len(s.outputs) == 1}
    uses = count_uses(program)
    found = {}
    for step in program.steps:
        if not computes(step, GATES) or not all(v in producer for v in step.inputs):
            continue
        product, forward = (producer[v] for v in step.inputs)
        if not isinstance(product.op, MatMul) or not isinstance(forward.op, Fused):
            continue
        c, y = (v.spec for v in step.inputs)
        if uses[step.inputs[0]] > 1 or not c == y == step.outputs[0].spec or c.rank != 2:
            continue
        before, after = ProductWithMask(forward.op), GatedProduct(product.op)
        if accepts(before, forward.inputs, after, product.inputs):
            found[step] = (product, forward)
    return found


def computes(step: Step, expressions: Sequence[Expression]) -> bool:
    """Whether a step is a map that computes just one of some expressions."""
    return (
        isinstance(step.op, Map)
        and len(step.outputs) == 1
        and step.op.expressions[0] in expressions
    )
