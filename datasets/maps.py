"""Data sets of maps: a sequence or a stream of examples, each a map of column names to values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Arrays, as_column
from .errors import DataError, report
from .protocol import Array, Batch, Column, Dataset
from .table import Table, column_names, row_numbers


class _Indexed(Protocol):
    """A sequence as far as `Maps` needs one."""

    def __len__(self) -> int: ...
    def __getitem__(self, row: int, /) -> Mapping[str, Any]: ...


class Maps(Table):
    """A data set over a sequence of maps (column name -> value), asked for row by row when read.

    Each value is copied before the next row is asked for, so a sequence may give the same mutable
    array again and again. Shape and dtype of the columns are those of the first example.
    Raises DataError for an empty sequence, and on reading for a row that differs from the first.
    """

    def __init__(self, examples: _Indexed) -> None:
        if len(examples) == 0:
            raise DataError("data set of maps: no examples, so the columns are unknown")
        first = Arrays(_copied("example 0", examples[0]))
        self._examples, self._columns = examples, first.columns

    @property
    def columns(self) -> Mapping[str, Column]:
        """Shape and dtype of the values of the first example."""
        return self._columns

    def __len__(self) -> int:
        return len(self._examples)

    def read(self, rows: ArrayLike, columns: Sequence[str] | None = None) -> Batch:
        """The values of these rows, copied one row after the other."""
        numbers = row_numbers(rows, len(self))
        wanted = {name: self._columns[name] for name in column_names(self._columns, columns)}
        batch: Batch = {
            name: np.empty((len(numbers), *column.shape), column.dtype)
            for name, column in wanted.items()
        }
        for place, row in enumerate(numbers.tolist()):
            example = self._examples[row]
            values = {name: np.asarray(example[name]) for name in wanted if name in example}
            problems = [
                problem
                for name, column in wanted.items()
                if (problem := _misfit(name, values.get(name), column))
            ]
            if problems:
                raise report(f"data set of maps, example {row}", problems)
            for name, value in values.items():
                batch[name][place] = value
        return batch


def from_maps(examples: Iterable[Mapping[str, Any]], lazy: bool = False) -> Dataset:
    """A data set of maps (column name -> value): read once into arrays, or `lazy`, row by row.

    Read once, values are copied as they come (so a generator may re-use its arrays) and numbers of
    different kinds in a column meet in their common dtype. `lazy` needs a sequence, see `Maps`.
    Raises DataError for no examples, and for missing columns or unequal shapes, naming the row.
    """
    if lazy:
        if not (hasattr(examples, "__getitem__") and hasattr(examples, "__len__")):
            raise DataError(
                f"a lazy data set of maps needs a sequence, got {type(examples).__name__}; "
                "leave lazy=False to read it into arrays"
            )
        return Maps(cast(_Indexed, examples))
    gathered: dict[str, list[Array]] = {}
    problems: list[str] = []
    for row, example in enumerate(examples):
        values = _copied(f"example {row}", example)
        gathered = gathered or {name: [] for name in values}
        problems += [
            f"example {row} has {name!r}, which the first has not"
            for name in values
            if name not in gathered
        ]
        for name, earlier in gathered.items():
            if name not in values:
                problems.append(f"example {row} lacks {name!r}")
            elif earlier and (problem := _unlike(name, values[name], earlier[0])):
                problems.append(f"example {row}: {problem}")
            else:
                earlier.append(values[name])
    if not gathered:
        problems.append("no examples, so the columns are unknown")
    if problems:
        raise report("data set of maps", problems)
    return Arrays({name: np.concatenate(values) for name, values in gathered.items()})


def _copied(where: str, example: Mapping[str, Any]) -> dict[str, Array]:
    """The values of one example as fresh arrays [1, ...]."""
    if not isinstance(example, Mapping):
        raise DataError(f"data set of maps: {where} is a {type(example).__name__}, not a map")
    columns = {name: as_column(name, [value]) for name, value in example.items()}
    problems = [f"{where}: {problem}" for _, problem in columns.values() if problem]
    if problems or not columns:
        raise report("data set of maps", problems or [f"{where} is empty"])
    return {name: array for name, (array, _) in columns.items() if array is not None}


def _unlike(name: str, value: Array, first: Array) -> str | None:
    """What keeps two values from standing in one column of a common dtype, if anything."""
    if value.shape != first.shape:
        return f"{name!r} has shape {list(value.shape[1:])}, the first {list(first.shape[1:])}"
    numbers = value.dtype.kind in "biufc", first.dtype.kind in "biufc"
    if value.dtype.kind != first.dtype.kind and not all(numbers):
        return f"{name!r} is {value.dtype}, the first {first.dtype}"
    return None


def _misfit(name: str, value: Array | None, column: Column) -> str | None:
    """What keeps a value from standing in the column, if anything."""
    if value is None:
        return f"column {name!r} is missing"
    if value.shape != column.shape:
        return f"{name!r} has shape {list(value.shape)}, the first {list(column.shape)}"
    if not np.can_cast(value.dtype, column.dtype, "same_kind"):
        return f"{name!r} is {value.dtype}, the first {column.dtype}"
    return None
