"""Data sets by name, from a file, or of what is at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from .arrays import Arrays, from_structured
from .digits import SPLITS, mnist
from .errors import DataError, unknown
from .files import from_npz
from .maps import from_maps
from .protocol import Dataset
from .raw import PathLike
from .small import breast_cancer, corn, iris, xor
from .tabular import from_csv


@dataclass(frozen=True)
class Entry:
    """A data set that ships with the package: its name, what it is, its splits if it has any."""

    name: str
    load: Callable[..., Dataset]
    summary: str
    splits: tuple[str, ...] = ()


CATALOGUE = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Entry("mnist", mnist, "70,000 handwritten digits, uint8 [1, 28, 28], 0-9", SPLITS),
            Entry("iris", iris, "150 flowers, 4 measurements, 3 classes"),
            Entry("breast_cancer", breast_cancer, "569 tumours, 30 measurements, 2 classes"),
            Entry("corn", corn, "10 corn yields, 2 treatments, a number to predict"),
            Entry("xor", xor, "the four cases of exclusive or"),
        )
    }
)

READERS: MappingProxyType[str, Callable[..., Dataset]] = MappingProxyType(
    {".npz": from_npz, ".csv": from_csv}
)


def load(source: PathLike, **options: Any) -> Dataset:
    """The data set called `source` in `CATALOGUE`, or that of a .npz or .csv file at this path.

    `options` go to the data set's own function (mnist: split, data_dir, subset) or to the reader
    (from_npz, from_csv). Raises DataError for an unknown name, suggesting the nearest, for an
    unknown kind of file and for unknown options, and what the function raises.
    """
    path = Path(source)
    if isinstance(source, str) and source in CATALOGUE:
        function = CATALOGUE[source].load
    elif path.suffix in READERS:
        function = READERS[path.suffix]
        options = {"path": path} | options
    elif path.suffix or path.name != str(source):
        raise DataError(f"load: {source}: unknown kind of file; known: {', '.join(READERS)}")
    else:
        raise DataError(
            f"load: {unknown('data set', source, CATALOGUE)} "
            f"A path must end in {' or '.join(READERS)}."
        )
    known = signature(function).parameters
    if wrong := [unknown("option", name, known) for name in options if name not in known]:
        raise DataError(f"load {source}: {' '.join(wrong)}")
    return function(**options)


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
