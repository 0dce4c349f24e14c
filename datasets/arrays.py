"""Data sets held in arrays, and what becomes one: mappings, structured arrays, lists of maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike

from .errors import DataError, report
from .protocol import Array, Batch, Column, Dataset
from .table import Table, column_names, row_numbers


class Arrays(Table):
    """A data set of one array [n, ...] per column: `Arrays(image=x, label=y)` or of a mapping.

    The arrays (memory-mapped ones too) are kept, not copied. Raises DataError with all problems:
    unequal lengths, a scalar, ragged lists, objects.
    """

    def __init__(
        self, columns: Mapping[str, ArrayLike] | None = None, /, **named: ArrayLike
    ) -> None:
        given = dict(columns or {})
        problems = [f"column {name!r} is given twice" for name in named if name in given]
        self._arrays: dict[str, Array] = {}
        for name, values in (given | named).items():
            array, problem = _as_column(name, values)
            problems += [problem] if problem else []
            if array is not None:
                self._arrays[name] = array
        lengths = {name: len(array) for name, array in self._arrays.items()}
        if len(set(lengths.values())) > 1:
            sizes = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
            problems.append(f"all columns need the same number of rows, got {sizes}")
        if not (self._arrays or problems):
            problems.append("at least one column is needed, got none")
        if problems:
            raise report("data set of arrays", problems)
        self._length = next(iter(lengths.values()))
        described = {name: Column.of(array) for name, array in self._arrays.items()}
        self._columns = MappingProxyType(described)

    @property
    def columns(self) -> Mapping[str, Column]:
        """Shape and dtype of one example, by column name."""
        return self._columns

    def __len__(self) -> int:
        return self._length

    def read(self, rows: ArrayLike, columns: Sequence[str] | None = None) -> Batch:
        """Copies of the rows with these numbers."""
        numbers = row_numbers(rows, len(self))
        return {
            name: np.require(self._arrays[name][numbers], self._columns[name].dtype, "C")
            for name in column_names(self._columns, columns)
        }

    @overload
    def __getitem__(self, key: slice) -> Dataset: ...
    @overload
    def __getitem__(self, key: int) -> Batch: ...
    @overload
    def __getitem__(self, key: str) -> Array: ...
    def __getitem__(self, key: slice | int | str) -> Dataset | Batch | Array:
        """As `Table`, but slices and columns are views that copy nothing."""
        if isinstance(key, slice):
            return Arrays({name: array[key] for name, array in self._arrays.items()})
        if isinstance(key, str):
            column_names(self._columns, [key])
            column = np.require(self._arrays[key], self._columns[key].dtype, ["C", "A"]).view()
            column.flags.writeable = False
            return column
        return super().__getitem__(key)


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


def from_maps(examples: Iterable[Mapping[str, Any]] | _Indexed, lazy: bool = False) -> Dataset:
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
        return Maps(examples)
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


def from_structured(array: ArrayLike) -> Arrays:
    """A data set of a structured array [n]: one column per field, sub-arrays included; no copy.

    Raises DataError for an array without named fields or with more than one axis.
    """
    records = np.asarray(array)
    if records.dtype.names is None or records.ndim != 1:
        raise DataError(
            "from_structured needs a vector of records (a dtype with named fields), "
            f"got {records.dtype} of shape {list(records.shape)}"
        )
    return Arrays({name: records[name] for name in records.dtype.names})


def as_dataset(data: Any) -> Dataset:
    """`data` as a data set: one already, a mapping of arrays, structured records, or maps.

    Raises DataError for anything else.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, Mapping):
        return Arrays(data)
    if isinstance(data, np.ndarray) and data.dtype.names:
        return from_structured(data)
    if isinstance(data, Iterable) and not isinstance(data, (str, bytes, np.ndarray)):
        return from_maps(data)
    raise DataError(
        f"cannot make a data set of {type(data).__name__}: give a Dataset, a mapping of column "
        "names to arrays, a structured array, or a sequence of maps; for files see load"
    )


def _as_column(name: object, values: ArrayLike) -> tuple[Array | None, str | None]:
    """`values` as an array with a row axis, or what is wrong with them."""
    if not isinstance(name, str) or not name:
        return None, f"a column name must be a non-empty string, got {name!r}"
    try:
        array = np.asarray(values)
    except ValueError:
        return None, f"column {name!r} is ragged: its rows have different shapes"
    if array.ndim == 0:
        return None, f"column {name!r} is a scalar; it needs a leading axis of rows"
    if array.dtype.hasobject:
        return None, (
            f"column {name!r} holds Python objects; give numbers, bytes or strings "
            "(a missing number is NaN)"
        )
    return array, None


def _copied(where: str, example: Mapping[str, Any]) -> dict[str, Array]:
    """The values of one example as fresh arrays [1, ...]."""
    if not isinstance(example, Mapping):
        raise DataError(f"data set of maps: {where} is a {type(example).__name__}, not a map")
    columns = {name: _as_column(name, [value]) for name, value in example.items()}
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
