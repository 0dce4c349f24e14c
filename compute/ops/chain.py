"""`Chain`: two ops one after the other, which a backend may do in one pass without writing what lies between."""

from __future__ import annotations

from dataclasses import dataclass

from ..program import Op, Program, Value
from ..spec import Spec


@dataclass(frozen=True)
class Chain(Op):
    """`second` of the one result of `first`; the inputs are those of `first`, the outputs those of `second`."""

    first: Op
    second: Op

    def infer(self, *inputs: Spec) -> tuple[Spec, ...]:
        """The specs of the second op's outputs."""
        return self.second.infer(*self.first.infer(*inputs))

    def decompose(self, build: Program, *inputs: Value) -> tuple[Value, ...]:
        """The one, then the other."""
        made = build.apply(self.second, build.apply(self.first, *inputs))
        return made if isinstance(made, tuple) else (made,)
