"""`Map`: any elementwise computation, with broadcasting and several outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import ShapeError
from ..expression import Expression, constant, derivative, substitute, symbol
from ..program import Cotangents, Op, Program, Value, Values
from ..spec import FLOATS, HALVES, Shape, Spec, broadcast
from .reduce import sum_to


@dataclass(frozen=True)
class Map(Op):
    """Elementwise `expressions` over inputs that broadcast together (and to `shape`, where given).

    Output k has dtype `dtypes[k]`. It is computed in float64 where an input or the output is float64, else in
    float32 where one of them is a float (of 16 bits too), else in int64; the result is converted to its dtype.
    """

    expressions: tuple[Expression, ...]
    dtypes: tuple[str, ...]
    shape: Shape | None = None

    def computes_in(self, inputs: Iterable[str]) -> str:
        """Return the dtype of the computation for inputs of these dtypes."""
        floats = {*inputs, *self.dtypes}.intersection((*FLOATS, *HALVES))
        return "float64" if "float64" in floats else "float32" if floats else "int64"

    def infer(self, *inputs: Spec) -> tuple[Spec, ...]:
        """All outputs have the broadcast shape."""
        needed = max((max(e.symbols, default=-1) for e in self.expressions), default=-1) + 1
        if len(inputs) < needed:
            raise ShapeError(f"Map: the expressions need {needed} inputs, given {len(inputs)}")
        shape = broadcast(
            "Map", *(s.shape for s in inputs), *([self.shape] if self.shape is not None else [])
        )
        if self.shape is not None and shape != self.shape:
            raise ShapeError(f"Map: the inputs broadcast to {shape}, the map asks for {self.shape}")
        return tuple(Spec(shape, dtype) for dtype in self.dtypes)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """The sum over outputs of cotangent times symbolic derivative, summed over broadcast axes.

        Where the derivative contains an output's own expression, the output is read instead of computed again.
        """
        live = [
            (k, c) for k, c in enumerate(cotangents) if c is not None and outputs[k].spec.is_float
        ]
        seeds = [c for _, c in live]
        memos: list[dict[Expression, Expression]] = [{} for _ in live]
        result: list[Value | None] = []
        for i, value in enumerate(inputs):
            total = constant(0)
            if value.spec.is_float:
                for n, (k, _) in enumerate(live):
                    memos[n].clear()
                    slope = derivative(self.expressions[k], i, memos[n])
                    total = total + symbol(len(inputs) + n) * slope
            if total is constant(0):
                result.append(None)
                continue
            known = {
                e: symbol(len(inputs) + len(seeds) + k)
                for k, e in enumerate(self.expressions)
                if e.op not in ("symbol", "constant") and outputs[k].dtype == value.dtype
            }
            total = substitute(total, [symbol(n) for n in range(len(inputs) + len(seeds))], known)
            gradient = _apply(
                build, total, [*inputs, *seeds, *outputs], value.dtype, outputs[0].shape
            )
            result.append(sum_to(build, gradient, value.shape))
        return result

    def __str__(self) -> str:
        body = ", ".join(map(str, self.expressions))
        return f"Map[{body if len(body) < 200 else body[:197] + '...'}]"


def _apply(
    build: Program, e: Expression, values: Sequence[Value], dtype: str, shape: Shape
) -> Value:
    """Record one expression with only the inputs it uses."""
    used = sorted(e.symbols)
    place = {old: symbol(new) for new, old in enumerate(used)}
    table = [place.get(i, constant(0)) for i in range(len(values))]
    return build.apply(Map((substitute(e, table),), (dtype,), shape), *(values[i] for i in used))


def convert(build: Program, value: Value, dtype: str) -> Value:
    """Record a conversion of dtype, or nothing where it is the same already."""
    return value if value.dtype == dtype else build.apply(Map((symbol(0),), (dtype,)), value)


def broadcast_to(build: Program, value: Value, shape: Shape) -> Value:
    """Record a broadcast, or nothing where the shape is the same already."""
    return (
        value
        if value.shape == shape
        else build.apply(Map((symbol(0),), (value.dtype,), shape), value)
    )


def filled(build: Program, number: float, shape: Shape, dtype: str) -> Value:
    """Record a value full of one number."""
    return build.apply(Map((constant(number),), (dtype,), tuple(shape)))
