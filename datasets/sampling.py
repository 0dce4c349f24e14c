"""Endless sampling in which every class occurs equally often."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .errors import DataError
from .labels import class_labels
from .order import BALANCE, permutation, stream, whole
from .protocol import Batch, Column, Dataset, Rows
from .table import WHOLE, Part, Table, in_batches, row_numbers


def balanced(dataset: Dataset, by: str = "label", epoch_length: int = 1024) -> Dataset:
    """An endless class-balanced sample of `dataset`, cut into epochs of `epoch_length` rows.

    Every class of column `by` has its turn once in each round, in an order drawn per round (the
    classes' sorted order without a seed); within a class no example comes again before all others
    of the class did. Epoch e + 1 goes on where epoch e ended.
    Raises DataError for an empty data set or a column that holds no class labels.
    """
    return Balanced(dataset, by, whole("epoch_length", epoch_length, 1))


class Balanced(Table):
    """See `balanced`; read without batches, it is the first epoch in unseeded order."""

    def __init__(self, source: Dataset, by: str, epoch_length: int) -> None:
        labels = class_labels(source, by)
        if len(labels) == 0:
            raise DataError("balanced: the data set is empty")
        self._source, self._length = source, epoch_length
        codes = np.unique(labels, return_inverse=True)[1].reshape(-1)
        self._members = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]

    @property
    def columns(self) -> Mapping[str, Column]:
        """Those of the source."""
        return self._source.columns

    def __len__(self) -> int:
        return self._length

    def read(self, rows: ArrayLike, columns: Sequence[str] | None = None) -> Batch:
        """Rows of the first epoch in unseeded order."""
        return self._source.read(self.draw(None, 0)[row_numbers(rows, len(self))], columns)

    def batches(
        self,
        batch_size: int,
        seed: int | None = None,
        epoch: int = 0,
        drop_last: bool = False,
        part: Part = WHOLE,
    ) -> Iterator[Batch]:
        """The rows drawn for (seed, epoch), in batches."""
        order = self.draw(seed, whole("epoch", epoch, 0))
        return in_batches(self._source, order, batch_size, drop_last, part)

    def draw(self, seed: int | None, epoch: int) -> Rows:
        """The source's row numbers [epoch_length], int64, that make up this epoch."""
        classes = len(self._members)
        positions = epoch * self._length + np.arange(self._length, dtype=np.int64)
        rounds, turns = np.divmod(positions, classes)
        if seed is not None:
            first, last = int(rounds[0]), int(rounds[-1])
            turns = _turns(seed, first, last, classes)[rounds - first, turns]
        drawn = np.empty(self._length, np.int64)
        for code, members in enumerate(self._members):
            here = np.flatnonzero(turns == code)
            cycles, places = np.divmod(rounds[here], len(members))
            if seed is not None:
                for cycle in np.unique(cycles).tolist():
                    now = cycles == cycle
                    order = permutation(len(members), seed, BALANCE, code, cycle)
                    places[now] = order[places[now]]
            drawn[here] = members[places]
        return drawn


def _turns(seed: int, first: int, last: int, classes: int) -> Rows:
    """The order of the classes in rounds first .. last [rounds, classes]."""
    # One step of the Philox counter gives four numbers: rounds begin at whole steps, so that any
    # round can be reached at once.
    steps = -(-classes // 4)
    source = stream(seed, BALANCE).advance(first * steps)
    keys = source.random_raw((last - first + 1) * steps * 4).reshape(-1, steps * 4)[:, :classes]
    return np.argsort(keys, axis=1, kind="stable").astype(np.int64, copy=False)
