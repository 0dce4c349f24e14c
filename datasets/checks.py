"""Looking for NaN and infinity before they reach a training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Arrays
from .errors import report
from .protocol import Dataset
from .table import column_names

CHUNK = 4096  # rows in hand at a time


@dataclass(frozen=True)
class NonFinite:
    """How many values of a column are NaN or infinite, and the first row that holds one."""

    column: str
    nan: int
    infinite: int
    first_row: int

    def __str__(self) -> str:
        """For instance `column 'x': 3 NaN, 1 infinite, first in row 17`."""
        return (
            f"column {self.column!r}: {self.nan} NaN, {self.infinite} infinite, "
            f"first in row {self.first_row}"
        )


def find_non_finite(
    dataset: Dataset | Mapping[str, ArrayLike], columns: Iterable[str] | None = None
) -> tuple[NonFinite, ...]:
    """One entry for each of the columns (all by default) that holds NaN or infinity.

    Reads the data once, a few thousand rows at a time; columns of integers, bytes and strings are
    always finite. Raises DataError for a column that does not exist.
    """
    data = dataset if isinstance(dataset, Dataset) else Arrays(dataset)
    names = column_names(data.columns, None if columns is None else list(columns))
    names = [name for name in names if data.columns[name].dtype.kind in "fc"]
    found: dict[str, NonFinite] = {}
    for start in range(0, len(data) if names else 0, CHUNK):
        batch = data.read(np.arange(start, min(start + CHUNK, len(data))), names)
        for name, values in batch.items():
            bad = ~np.isfinite(values)
            if not bad.any():
                continue
            nan = int(np.isnan(values).sum())
            row = start + int(np.flatnonzero(bad.reshape(len(values), -1).any(1))[0])
            before = found.get(name, NonFinite(name, 0, 0, row))
            found[name] = NonFinite(
                name,
                before.nan + nan,
                before.infinite + int(bad.sum()) - nan,
                before.first_row,
            )
    return tuple(found[name] for name in names if name in found)


def check_finite(
    dataset: Dataset | Mapping[str, ArrayLike], columns: Iterable[str] | None = None
) -> None:
    """Raise DataError naming each column with NaN or infinity, how many, and the first row."""
    if found := find_non_finite(dataset, columns):
        raise report("check_finite", [str(each) for each in found])
