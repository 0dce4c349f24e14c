"""Embedding: rows of a table by index."""

from __future__ import annotations

from dataclasses import dataclass

from .. import math as m
from ..errors import ShapeError
from ..program import Cotangents, Op, Program, Value, Values
from ..spec import Spec
from .checks import need_float
from .gather import Gather, ScatterAdd
from .reduce import reshape_to


@dataclass(frozen=True)
class Embedding(Op):
    """y = table[index]: table [V, D] and an integer index [*I] in 0..V-1 give [*I, D].

    The row `padding_index`, where given, reads as zeros and gets no gradient.
    """

    padding_index: int | None = None

    def infer(self, table: Spec, index: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """[V, D] and [*I] give [*I, D]."""
        need_float("Embedding", table, "the table")
        if table.rank != 2:
            raise ShapeError(f"Embedding: expected a table [rows, features], given {table}")
        if self.padding_index is not None and not 0 <= self.padding_index < table.shape[0]:
            raise ShapeError(
                f"Embedding: padding_index {self.padding_index} is not a row of the table {table}"
            )
        return Gather().infer(table, index)

    def decompose(self, build: Program, table: Value, index: Value) -> tuple[Value, ...]:  # type: ignore[override]
        """Gather, and zeros at the padding."""
        return (self._without_padding(build, index, build.apply(Gather(), table, index)),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Scatter the cotangent, but for the padding."""
        (table, index), c = inputs, cotangents[0]
        if c is None:
            return None, None
        rows = self._without_padding(build, index, c)
        return build.apply(ScatterAdd(table.shape[0]), index, rows), None

    def _without_padding(self, build: Program, index: Value, rows: Value) -> Value:
        if self.padding_index is None:
            return rows
        column = reshape_to(build, index, (*index.shape, 1))
        kept: Value = build.map(
            lambda i, y: m.where(m.equal(i, self.padding_index), 0, y),
            *(column, rows),
            dtype=rows.dtype,
        )
        return kept
