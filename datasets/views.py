"""Data sets made from data sets: fewer or renamed columns, mapped, joined and shuffled rows.

No view copies what it stands on; values are computed when a batch is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from .errors import DataError, report, unknown
from .order import SHUFFLE, permutation
from .protocol import Array, Batch, Column, Dataset
from .table import WHOLE, Part, Table, column_names, in_parts, row_numbers


def select(dataset: Dataset, *columns: str) -> Dataset:
    """Only these columns, in this order; DataError for a name that the data set has not."""
    if not columns:
        raise DataError("select needs at least one column name")
    return Renamed(dataset, {name: name for name in column_names(dataset.columns, columns)})


def rename(dataset: Dataset, names: Mapping[str, str] | None = None, /, **more: str) -> Dataset:
    """Columns under other names, old to new: `rename(digits, image="x")`; the others stay.

    Raises DataError with all unknown old names and all new names that would occur twice.
    """
    changes = dict(names or {}) | more
    known = dataset.columns
    problems = [unknown("column", old, known) for old in changes if old not in known]
    targets = [changes.get(old, old) for old in known]
    problems += [
        f"two columns would be called {new!r}"
        for new in dict.fromkeys(targets)
        if targets.count(new) > 1
    ]
    if problems:
        raise report("rename", problems)
    return Renamed(dataset, dict(zip(targets, known, strict=True)))


def map_batches(
    dataset: Dataset,
    function: Callable[[Batch], Mapping[str, ArrayLike]],
    columns: Mapping[str, Column] | None = None,
) -> Dataset:
    """`function`, from a batch (a dict of arrays [n, ...]) to a batch, applied as batches are read.

    It may change its argument. Each row's result must depend on that row alone and the number of
    rows stay the same. The new columns are learnt from the first row, unless given.
    """
    if columns is None:
        if len(dataset) == 0:
            raise DataError("map_batches: an empty data set has no row to learn `columns` from")
        first = _mapped(function, dataset.read([0]))
        columns = {name: Column.of(values) for name, values in first.items()}
    return Mapped(dataset, function, columns)


def concatenate(*datasets: Dataset) -> Dataset:
    """The rows of several data sets, one after the other.

    Raises DataError unless all have the same columns with the same shapes and dtypes.
    """
    if not datasets:
        raise DataError("concatenate needs at least one data set")
    expected = dict(datasets[0].columns)
    problems = []
    for number, dataset in enumerate(datasets[1:], 2):
        for name in expected | dict(dataset.columns):
            one, other = expected.get(name), dataset.columns.get(name)
            if one != other:
                problems.append(
                    f"column {name!r} is {one or 'missing'} in data set 1 "
                    f"and {other or 'missing'} in data set {number}"
                )
    if problems:
        raise report("concatenate", problems)
    return Concatenated(datasets)


def shuffle(dataset: Dataset, seed: int) -> Dataset:
    """The rows in a random order that is fixed by `seed` (batches with a seed permute anyway)."""
    return dataset.take(permutation(len(dataset), seed, SHUFFLE))


class _View(Table):
    """Another data set, row for row, with other columns."""

    def __init__(self, source: Dataset, columns: Mapping[str, Column]) -> None:
        self._source, self._columns = source, MappingProxyType(dict(columns))

    @property
    def columns(self) -> Mapping[str, Column]:
        """Those of the view."""
        return self._columns

    def __len__(self) -> int:
        return len(self._source)


class Renamed(_View):
    """Columns of another data set under the given names (new to old)."""

    def __init__(self, source: Dataset, names: Mapping[str, str]) -> None:
        super().__init__(source, {new: source.columns[old] for new, old in names.items()})
        self._names = dict(names)

    def read(self, rows: ArrayLike, columns: Sequence[str] | None = None) -> Batch:
        """The source's rows; only what is asked for is read."""
        names = column_names(self._columns, columns)
        batch = self._source.read(rows, list(dict.fromkeys(self._names[name] for name in names)))
        return {name: batch[self._names[name]] for name in names}

    def batches(
        self,
        batch_size: int,
        seed: int | None = None,
        epoch: int = 0,
        drop_last: bool = False,
        part: Part = WHOLE,
    ) -> Iterator[Batch]:
        """The source's own batches, so that a sampling source keeps its order."""
        return (
            {new: batch[old] for new, old in self._names.items()}
            for batch in in_parts(self._source, part, batch_size, seed, epoch, drop_last)
        )


class Mapped(_View):
    """Another data set through a function of a batch."""

    def __init__(
        self,
        source: Dataset,
        function: Callable[[Batch], Mapping[str, ArrayLike]],
        columns: Mapping[str, Column],
    ) -> None:
        super().__init__(source, columns)
        self._function = function

    def read(self, rows: ArrayLike, columns: Sequence[str] | None = None) -> Batch:
        """The function of the source's rows."""
        names = column_names(self._columns, columns)
        batch = self._checked(self._source.read(rows))
        return {name: batch[name] for name in names}

    def batches(
        self,
        batch_size: int,
        seed: int | None = None,
        epoch: int = 0,
        drop_last: bool = False,
        part: Part = WHOLE,
    ) -> Iterator[Batch]:
        """The function of each of the source's own batches."""
        batches = in_parts(self._source, part, batch_size, seed, epoch, drop_last)
        return map(self._checked, batches)

    def _checked(self, batch: Batch) -> Batch:
        """The function's result, or DataError where it is not what the columns announce."""
        if not len(next(iter(batch.values()))):  # a function need not know what to do with no rows
            return {n: np.empty((0, *c.shape), c.dtype) for n, c in self._columns.items()}
        mapped = _mapped(self._function, batch)
        found = {name: Column.of(values) for name, values in mapped.items()}
        problems = [
            f"column {name!r} is {found.get(name, 'missing')}, expected {expected}"
            for name, expected in self._columns.items()
            if found.get(name) != expected
        ]
        if problems:
            raise report("map_batches", problems)
        return {name: mapped[name] for name in self._columns}


class Concatenated(_View):
    """The rows of several data sets with equal columns."""

    def __init__(self, parts: Sequence[Dataset]) -> None:
        super().__init__(parts[0], parts[0].columns)
        self._parts = tuple(parts)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, rows: ArrayLike, columns: Sequence[str] | None = None) -> Batch:
        """Each row from the part it lies in."""
        numbers = row_numbers(rows, len(self))
        batch: Batch = {}
        for name in column_names(self._columns, columns):
            column = self._columns[name]
            batch[name] = np.empty((len(numbers), *column.shape), column.dtype)
        part_of = np.searchsorted(self._starts, numbers, side="right") - 1
        for number in np.unique(part_of).tolist():
            here = part_of == number
            part = self._parts[number].read(numbers[here] - self._starts[number], list(batch))
            for name, values in part.items():
                batch[name][here] = values
        return batch


def _mapped(function: Callable[[Batch], Mapping[str, ArrayLike]], batch: Batch) -> dict[str, Array]:
    """The function's result as C-contiguous arrays with as many rows as went in."""
    rows = len(next(iter(batch.values())))
    result = function(batch)
    if not isinstance(result, Mapping) or not result:
        raise DataError(
            "map_batches: the function must return a mapping of column names to arrays, "
            f"got {type(result).__name__} {result if result is None else ''}".rstrip()
        )
    arrays = {name: np.asarray(values) for name, values in result.items()}
    problems = [
        f"column {name!r} came back with shape {list(array.shape)}, expected {rows} rows"
        for name, array in arrays.items()
        if array.ndim == 0 or len(array) != rows
    ]
    if problems:
        raise report("map_batches", problems)
    return {
        name: np.require(array, array.dtype.newbyteorder("="), "C")
        for name, array in arrays.items()
    }
