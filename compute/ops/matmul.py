"""`MatMul`: the (batched) product of matrices, either transposed."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ShapeError
from ..program import Cotangents, Op, Program, Values
from ..spec import Spec, broadcast
from .reduce import sum_to


@dataclass(frozen=True)
class MatMul(Op):
    """C[..., m, n] = sum over k of A[..., m, k] B[..., k, n]; a transposed operand holds its last two axes swapped.

    Leading (batch) axes broadcast. Both operands have the same float dtype, which C has too: or `dtype`, float32, where
    theirs has 16 bits and the sums are to be kept whole.
    """

    transpose_a: bool = False
    transpose_b: bool = False
    dtype: str | None = None

    def infer(self, a: Spec, b: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """[..., m, k] x [..., k, n] gives [..., m, n]."""
        if a.rank < 2 or b.rank < 2:
            raise ShapeError(f"MatMul: expected two operands of rank >= 2, given {a} and {b}")
        if a.dtype != b.dtype or not a.is_float:
            raise ShapeError(f"MatMul: expected two operands of one float dtype, given {a} and {b}")
        (m, k), (k2, n) = self._oriented(a, b)
        if k != k2:
            raise ShapeError(
                f"MatMul: the inner extents differ: {k} and {k2} (left {a}{' transposed' * self.transpose_a}, "
                f"right {b}{' transposed' * self.transpose_b})"
            )
        shape = (*broadcast("MatMul batch", a.shape[:-2], b.shape[:-2]), m, n)
        return (Spec(shape, self.dtype or a.dtype),)

    def _oriented(self, a: Spec, b: Spec) -> tuple[tuple[int, ...], tuple[int, ...]]:
        left, right = a.shape[-2:], b.shape[-2:]
        return (left[::-1] if self.transpose_a else left), (
            right[::-1] if self.transpose_b else right
        )

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """dA = C' B^T and dB = A^T C', in the orientation in which A and B are held."""
        a, b = inputs
        c = cotangents[0]
        if c is None:
            return None, None
        ta, tb = self.transpose_a, self.transpose_b
        da = build.apply(MatMul(tb, True), b, c) if ta else build.apply(MatMul(False, not tb), c, b)
        db = build.apply(MatMul(True, ta), c, a) if tb else build.apply(MatMul(not ta, False), a, c)
        return sum_to(build, da, a.shape), sum_to(build, db, b.shape)
