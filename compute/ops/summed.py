"""`SummedMap`: sums of elementwise expressions, which a backend may take without writing what it adds up."""

from __future__ import annotations

from dataclasses import dataclass

from ..expression import Expression
from ..program import Op, Program, Value
from ..spec import Shape, Spec
from .map import Map
from .reduce import Reduce, reduced_shape


@dataclass(frozen=True)
class SummedMap(Op):
    """The sums over `axes` (kept with extent 1) of `expressions` of inputs that broadcast to `shape`."""

    expressions: tuple[Expression, ...]
    dtype: str
    shape: Shape
    axes: tuple[int, ...]

    def infer(self, *inputs: Spec) -> tuple[Spec, ...]:
        """One sum for each expression."""
        return tuple(
            Spec(reduced_shape(s.shape, self.axes, True), s.dtype)
            for s in self._map().infer(*inputs)
        )

    def decompose(self, build: Program, *inputs: Value) -> tuple[Value, ...]:
        """A map, then a reduction of each of its results."""
        made = build.apply(self._map(), *inputs)
        values = made if isinstance(made, tuple) else (made,)
        return tuple(build.apply(Reduce("sum", self.axes, True), v) for v in values)

    def _map(self) -> Map:
        return Map(self.expressions, (self.dtype,) * len(self.expressions), self.shape)

    def __str__(self) -> str:
        return f"SummedMap[{', '.join(map(str, self.expressions))}; axes {self.axes}]"
