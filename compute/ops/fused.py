"""`Fused`: an op and elementwise work on its result, which a backend may do while that is in registers."""

from __future__ import annotations

from dataclasses import dataclass

from ..expression import Expression
from ..program import Op, Program, Value
from ..spec import Spec
from .map import Map


@dataclass(frozen=True)
class Fused(Op):
    """`op`, then `expression` of its result (symbol 0) and of further inputs (symbols 1..) that broadcast to it."""

    op: Op
    arity: int
    expression: Expression

    def infer(self, *inputs: Spec) -> tuple[Spec, ...]:
        """The spec of the inner op's output."""
        return self.op.infer(*inputs[: self.arity])

    def decompose(self, build: Program, *inputs: Value) -> tuple[Value, ...]:
        """The op, then a map."""
        y = build.apply(self.op, *inputs[: self.arity])
        return (
            build.apply(Map((self.expression,), (y.dtype,), y.shape), y, *inputs[self.arity :]),
        )
