"""`Gather` and `ScatterAdd`: rows by index, and their adjoint."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ShapeError
from ..program import Cotangents, Op, Program, Values
from ..spec import Spec

INDEX_DTYPES = ("uint8", "int32", "int64")


@dataclass(frozen=True)
class Gather(Op):
    """y[i..., :] = x[index[i...], :]: rows of x [R, *rest] for an index of any shape; an index must lie in 0..R-1."""

    def infer(self, x: Spec, index: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """[R, *rest] and [*I] give [*I, *rest]."""
        if x.rank < 1 or index.dtype not in INDEX_DTYPES:
            raise ShapeError(
                f"Gather: expected rows and an integer index ({', '.join(INDEX_DTYPES)}), given {x}, {index}"
            )
        return (Spec((*index.shape, *x.shape[1:]), x.dtype),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Scatter the cotangent."""
        x, index = inputs
        c = cotangents[0]
        if c is None or not x.spec.is_float:
            return None, None
        return build.apply(ScatterAdd(x.shape[0]), index, c), None


@dataclass(frozen=True)
class ScatterAdd(Op):
    """y [rows, *rest] = the sum of updates[i..., :] over all i with index[i...] = r; rows without an index are 0.

    The sum runs in the order of the index, on every backend.
    """

    rows: int

    def infer(self, index: Spec, updates: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """[*I] and [*I, *rest] give [rows, *rest]."""
        if index.dtype not in INDEX_DTYPES or updates.shape[: index.rank] != index.shape:
            raise ShapeError(
                f"ScatterAdd: expected an integer index [*I] and updates [*I, *rest], given {index} and {updates}"
            )
        return (Spec((self.rows, *updates.shape[index.rank :]), updates.dtype),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Gather the cotangent."""
        c = cotangents[0]
        return None, (None if c is None else build.apply(Gather(), c, inputs[0]))
