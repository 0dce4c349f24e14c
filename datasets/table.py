"""The derived half of a data set: batches, slices and subsets from `columns`, `len` and `read`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from inspect import signature
from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from .errors import DataError, unknown
from .order import EPOCH, permutation, whole
from .protocol import Array, Batch, Column, Dataset, Rows

Part = tuple[int, int]  # (k, n): number k of n parts of each batch
WHOLE: Part = (0, 1)


class Table(ABC):
    """A `Dataset` of which a subclass gives `columns`, `__len__` and `read`."""

    @property
    @abstractmethod
    def columns(self) -> Mapping[str, Column]:
        """Shape and dtype of one example, by column name."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of rows."""

    @abstractmethod
    def read(self, rows: ArrayLike, columns: Sequence[str] | None = None) -> Batch:
        """The rows with these numbers, of all or of the named columns, as fresh arrays."""

    def batches(
        self,
        batch_size: int,
        seed: int | None = None,
        epoch: int = 0,
        drop_last: bool = False,
        part: Part = WHOLE,
    ) -> Iterator[Batch]:
        """One epoch in batches, see `Dataset.batches`; DataError for a size < 1 or a bad seed."""
        epoch = whole("epoch", epoch, 0)
        if seed is None:
            order = np.arange(len(self), dtype=np.int64)
        else:
            order = permutation(len(self), seed, EPOCH, epoch)
        return in_batches(self, order, batch_size, drop_last, part)

    def take(self, rows: ArrayLike) -> Dataset:
        """The data set of these row numbers, or of the rows where a mask [len] is true."""
        return Subset(self, row_numbers(rows, len(self)))

    @overload
    def __getitem__(self, key: slice) -> Dataset: ...
    @overload
    def __getitem__(self, key: int) -> Batch: ...
    @overload
    def __getitem__(self, key: str) -> Array: ...
    def __getitem__(self, key: slice | int | str) -> Dataset | Batch | Array:
        """Rows as a data set, one example (without batch axis), or a column (read-only)."""
        if isinstance(key, slice):
            return self.take(np.arange(*key.indices(len(self)), dtype=np.int64))
        if isinstance(key, str):
            column = self.read(np.arange(len(self), dtype=np.int64), [key])[key]
            column.flags.writeable = False
            return column
        return {name: values[0] for name, values in self.read([key]).items()}

    def __repr__(self) -> str:
        columns = ", ".join(f"{name} {column}" for name, column in self.columns.items())
        return f"<{type(self).__name__} of {len(self):,} examples: {columns}>"


class Subset(Table):
    """The rows of another data set with the given numbers, in that order; copies nothing."""

    def __init__(self, source: Dataset, rows: Rows) -> None:
        self._source, self._rows = source, rows

    @property
    def columns(self) -> Mapping[str, Column]:
        """Those of the source."""
        return self._source.columns

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, rows: ArrayLike, columns: Sequence[str] | None = None) -> Batch:
        """The source's rows behind these numbers."""
        return self._source.read(self._rows[row_numbers(rows, len(self))], columns)

    def take(self, rows: ArrayLike) -> Dataset:
        """A subset of the source itself, so that subsets of subsets do not pile up."""
        return Subset(self._source, self._rows[row_numbers(rows, len(self))])


def in_batches(
    source: Dataset, order: Rows, batch_size: int, drop_last: bool, part: Part = WHOLE
) -> Iterator[Batch]:
    """The rows `order` of `source` in batches, the last one smaller or left out; `part` of each."""
    size = whole("batch_size", batch_size, 1)
    end = len(order) // size * size if drop_last else len(order)
    batches = (order[start : start + size] for start in range(0, end, size))
    return (source.read(rows[part_rows(len(rows), part)]) for rows in batches)


def part_rows(count: int, part: Part) -> slice:
    """The rows of part (k, n) of a batch of `count`: they differ by one at most, some have none.

    Raises DataError unless 0 <= k < n.
    """
    number, parts = part
    if not 0 <= number < parts:
        raise DataError(f"part must be a pair (number, count) with number < count, got {part}")
    return slice(count * number // parts, count * (number + 1) // parts)


def in_parts(
    dataset: Dataset, part: Part, batch_size: int, seed: int | None = None, epoch: int = 0,
    drop_last: bool = False,
) -> Iterator[Batch]:  # fmt: skip
    """Part (k, n) of each of a data set's batches, for process k of n that share them out.

    Ours read only these rows. A data set of another make, whose `batches` knows no `part`, reads
    all of them.
    """
    if part == WHOLE:
        return dataset.batches(batch_size, seed, epoch, drop_last)
    if "part" in signature(dataset.batches).parameters:
        return dataset.batches(batch_size, seed, epoch, drop_last, part=part)  # type: ignore[call-arg]
    return (_cut(batch, part) for batch in dataset.batches(batch_size, seed, epoch, drop_last))


def _cut(batch: Batch, part: Part) -> Batch:
    rows = part_rows(len(next(iter(batch.values()))), part)
    return {name: values[rows] for name, values in batch.items()}


def row_numbers(rows: ArrayLike, count: int) -> Rows:
    """`rows` as int64 numbers [n] in 0 .. count-1; a mask becomes the numbers of its true rows.

    Negative numbers count from the end. Raises DataError for anything that is neither, and
    IndexError for a row that does not exist.
    """
    numbers = np.asarray(rows)
    if numbers.ndim != 1:
        raise DataError(f"row numbers must be a vector, got shape {list(numbers.shape)}")
    if numbers.dtype == bool:
        if len(numbers) != count:
            raise DataError(f"a mask needs one entry per row, {count}; got {len(numbers)}")
        return np.flatnonzero(numbers).astype(np.int64, copy=False)
    if numbers.size == 0:
        return np.empty(0, np.int64)
    if numbers.dtype.kind not in "iu":
        raise DataError(f"row numbers must be whole numbers or a mask, got {numbers.dtype}")
    least, most = int(numbers.min()), int(numbers.max())
    if least < -count or most >= count:
        wrong = least if least < -count else most
        raise IndexError(f"row {wrong} does not exist: the data set has {count} rows")
    numbers = numbers.astype(np.int64, copy=False)
    return numbers if least >= 0 else np.where(numbers < 0, numbers + count, numbers)


def column_names(known: Mapping[str, Column], names: Sequence[str] | None) -> list[str]:
    """The asked-for column names, all of them for None; DataError naming the nearest on a typo."""
    if names is None:
        return list(known)
    wrong = [name for name in names if name not in known]
    if wrong:
        raise DataError(" ".join(unknown("column", name, known) for name in wrong))
    return list(names)
