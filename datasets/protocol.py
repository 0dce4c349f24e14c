"""What a data set is: named columns of equal length, read by row numbers or in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, overload, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Rows = NDArray[np.int64]
Batch = dict[str, Array]


@dataclass(frozen=True)
class Column:
    """The shape (without the batch axis) and the NumPy dtype of one example of a column."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, array: Array) -> Column:
        """The column that `array` [n, ...] holds; always of native byte order."""
        return cls(tuple(array.shape[1:]), array.dtype.newbyteorder("="))

    def __str__(self) -> str:
        """For instance `uint8 [1, 28, 28]`."""
        return f"{self.dtype} {list(self.shape)}"


@runtime_checkable
class Dataset(Protocol):
    """Named columns with as many rows each; subclass `Table` to write only the first three.

    An array that comes out of `read` or `batches` has the rows as its leading axis, is
    C-contiguous, of native byte order, of the column's dtype (integers and bytes stay what they
    are), and belongs to the caller, who may change it.
    """

    @property
    def columns(self) -> Mapping[str, Column]:
        """Shape and dtype of one example, by column name, in a fixed order."""

    def __len__(self) -> int:
        """The number of rows (examples)."""

    def read(self, rows: ArrayLike, columns: Sequence[str] | None = None) -> Batch:
        """The rows with these numbers [n] (repeats allowed), of all or of the named columns."""

    def batches(
        self, batch_size: int, seed: int | None = None, epoch: int = 0, drop_last: bool = False
    ) -> Iterator[Batch]:
        """One epoch, each row once: in order without a seed, else permuted by (seed, epoch).

        The last batch is smaller where `batch_size` does not divide the length; it is left out
        only if `drop_last`. A data set may take one more argument, `part`; see `in_parts`.
        """

    def take(self, rows: ArrayLike) -> Dataset:
        """The data set of these row numbers (or of the rows where a mask [len] is true)."""

    @overload
    def __getitem__(self, key: slice) -> Dataset: ...
    @overload
    def __getitem__(self, key: int) -> Batch: ...
    @overload
    def __getitem__(self, key: str) -> Array: ...
    def __getitem__(self, key: slice | int | str) -> Dataset | Batch | Array:
        """`data[a:b]`: those rows as a data set; `data[i]`: one example; `data["x"]`: a column."""
