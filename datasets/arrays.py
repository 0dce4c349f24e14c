"""Data sets held in arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import overload

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
            array, problem = as_column(name, values)
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


def as_column(name: object, values: ArrayLike) -> tuple[Array | None, str | None]:
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
