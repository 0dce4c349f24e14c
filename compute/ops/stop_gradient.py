"""Stop-gradient: the identity, through which no gradient flows."""

from __future__ import annotations

from dataclasses import dataclass

from ..program import Cotangents, Op, Program, Value, Values
from ..spec import Spec


@dataclass(frozen=True)
class StopGradient(Op):
    """y = x, of any dtype, taken as a constant by differentiation."""

    def infer(self, x: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """The spec stays."""
        return (x,)

    def decompose(self, build: Program, x: Value) -> tuple[Value, ...]:  # type: ignore[override]
        """Nothing to compute: the value itself."""
        return (x,)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """None."""
        return (None,)
