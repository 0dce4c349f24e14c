"""Logs are data: records of a descent or of training, kept in a file and read back the same.

| file | what it holds |
|---|---|
| `.jsonl` | an object per record, vectors as lists; infinite and undefined numbers as "NaN", "Infinity" |
| `.npz` | an array per entry, as `numpy.savez_compressed` writes it |
| `.parquet` | a column per entry (needs pyarrow) |
| `.csv` | read only: what `cortex.observers.LogFile` writes |

`save` and `load` take any of them, and any records: those of `descent.log`, a training history, and
the files of `LogFile`. All numbers, words and arrays of a record are kept; the rest (an optimiser,
a network) is left out. Nothing is ever unpickled.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from cortex.compute.errors import CortexError, DescriptionError, near
from cortex.records import Record, from_json, to_json
from cortex.stopping import Reason

REASON = "reason"


class Log(Sequence[Record]):
    """The records of a run, and why it ended (None: not known)."""

    def __init__(self, records: Sequence[Mapping[str, Any]], reason: Reason | None = None) -> None:
        self._records = [r if isinstance(r, Record) else Record(r) for r in records]
        last = self._records[-1].get(REASON) if self._records else None
        self.reason = reason or (last if isinstance(last, Reason) else None)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> Log: ...

    def __getitem__(self, index: int | slice) -> Record | Log:
        if isinstance(index, slice):
            return Log(self._records[index], self.reason)
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def column(self, key: str) -> np.ndarray:
        """Return one entry of all records that have it, stacked: [records, *shape].

        Raises:
            DescriptionError: no record has it; names the nearest.
        """
        found = [r[key] for r in self._records if key in r]
        if not found:
            names = {k for r in self._records for k in r}
            raise DescriptionError("log", [f"no record has the entry {key!r}{near(key, names)}"])
        return np.array(found)

    def __repr__(self) -> str:
        ended = f": {self.reason.value}" if self.reason else ""
        return f"Log({len(self)} records{ended})"


def save(records: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Write records to a file; its ending says how (see the module).

    Raises:
        DescriptionError: the ending is unknown, or the file cannot be written.
        MissingLibrary: the ending asks for pyarrow, which is not installed.
    """
    path = Path(path)
    write = _way(path, _WRITERS)
    rows = [_row(r) for r in records]
    reason = getattr(records, REASON, None)
    if rows and isinstance(reason, Reason):
        rows[-1][REASON] = reason.value
    try:
        write(path, rows)
    except OSError as error:
        raise DescriptionError(
            "log", [f"cannot write {path}: {error.strerror or error}"]
        ) from error


def load(path: str | Path) -> Log:
    """Return the records of a file that `save` or `cortex.observers.LogFile` wrote.

    Vectors are arrays again, 0-d arrays are numbers; an entry that a record did not have, it does
    not have now.

    Raises:
        DescriptionError: the ending is unknown, or the file is not there or no log.
        MissingLibrary: the ending asks for pyarrow, which is not installed.
    """
    path = Path(path)
    read = _way(path, _READERS)
    try:
        rows = read(path)
    except OSError as error:
        raise DescriptionError("log", [f"cannot read {path}: {error.strerror or error}"]) from error
    except (ValueError, KeyError) as error:
        raise DescriptionError("log", [f"{path} is no log of records: {error}"]) from error
    return Log([{k: _restored(k, v) for k, v in row.items()} for row in rows])


def export(
    records: Sequence[Mapping[str, Any]], description: str, folder: str | Path = "."
) -> tuple[Path, Path]:
    """Write parameters and gradients as text, the format of the original, and return both paths.

    `optN-param.txt` and `optN-grad.txt`, N the next free number: the description in the first line,
    then a vector per line, its numbers joined by commas.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while any((folder / f"opt{number}-{part}.txt").exists() for part in ("param", "grad")):
        number += 1
    paths = folder / f"opt{number}-param.txt", folder / f"opt{number}-grad.txt"
    for path, key in zip(paths, ("params", "gradient"), strict=True):
        lines = [
            description,
            *(",".join(repr(v) for v in np.asarray(r[key]).tolist()) for r in records),
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return paths


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a record that are data, as numbers, words and arrays."""
    found: dict[str, Any] = {}
    for key in record:
        value = record[key]
        if isinstance(value, Reason):
            value = value.value
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiub":
            value = value if value.ndim else value.item()
        elif not isinstance(value, (int, float, str, type(None))):
            continue
        found[key] = value
    return found


def _restored(key: str, value: Any) -> Any:
    if key == REASON and value in (r.value for r in Reason):
        return Reason(value)
    return value


def _way(path: Path, ways: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    if path.suffix not in ways:
        raise DescriptionError(
            "log", [f"expected a path that ends in {', '.join(ways)}, given {path.name!r}"]
        )
    return ways[path.suffix]


# JSON lines


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps({k: to_json(v) for k, v in row.items()}, allow_nan=False) + "\n")


def _read_lines(path: Path) -> list[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    if not all(isinstance(r, dict) for r in rows):
        raise ValueError("every line must be an object")
    return [{k: from_json(v) for k, v in r.items()} for r in rows]


# Arrays: per entry "values/<entry>"; where not every record has it, "rows/<entry>"; where shapes differ from record to
# record, "shapes/<entry>" beside the values of all of them in one vector.


def _write_arrays(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    arrays: dict[str, np.ndarray] = {"count": np.array(len(rows))}
    for key in _keys(rows):
        having = [i for i, row in enumerate(rows) if row.get(key) is not None]
        values = [rows[i][key] for i in having]
        shapes = [np.shape(v) for v in values]
        if not values:
            continue
        if len(set(map(len, shapes))) > 1:
            problem = f"the entry {key!r} has the shapes {sorted(set(shapes))}; .npz needs one number of axes"
            raise DescriptionError("log", [problem])
        if len(set(shapes)) == 1:
            arrays[f"values/{key}"] = np.array(values)
        else:
            arrays[f"values/{key}"] = np.concatenate([np.ravel(v) for v in values])
            arrays[f"shapes/{key}"] = np.array(shapes, np.int64)
        if len(having) < len(rows):
            arrays[f"rows/{key}"] = np.array(having, np.int64)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def _read_arrays(path: Path) -> list[dict[str, Any]]:
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    rows: list[dict[str, Any]] = [{} for _ in range(int(arrays["count"]))]
    for name, values in arrays.items():
        kind, _, key = name.partition("/")
        if kind != "values":
            continue
        entries: Any = values
        if f"shapes/{key}" in arrays:
            shapes = arrays[f"shapes/{key}"]
            parts = np.split(values, np.cumsum(shapes.prod(axis=1))[:-1])
            entries = [p.reshape(s) for p, s in zip(parts, shapes.tolist(), strict=True)]
        having = arrays.get(f"rows/{key}", np.arange(len(entries)))
        for i, entry in zip(having.tolist(), entries, strict=True):
            rows[i][key] = entry if np.ndim(entry) else entry.item()
    return rows


def _keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


# Parquet


class MissingLibrary(CortexError, ImportError):
    """pyarrow is not installed."""


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingLibrary(
            f"log: .parquet needs pyarrow, which is missing ({error}); pip install pyarrow, or use .npz"
        ) from error
    return pyarrow, pyarrow.parquet


def _write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    arrow, parquet = _parquet()
    columns = {
        key: [v.tolist() if isinstance(v := row.get(key), np.ndarray) else v for row in rows]
        for key in _keys(rows)
    }
    parquet.write_table(arrow.table(columns), path)


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    _, parquet = _parquet()
    rows = parquet.read_table(path).to_pylist()
    return [
        {k: np.array(v) if isinstance(v, list) else v for k, v in row.items() if v is not None}
        for row in rows
    ]


# Tables of `LogFile`


def _read_table(path: Path) -> list[dict[str, Any]]:
    with open(path, newline="", encoding="utf-8") as file:
        return [
            {k: _cell(v) for k, v in row.items() if k and v not in ("", None)}
            for row in csv.DictReader(file)
        ]


def _cell(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


_WRITERS = {".jsonl": _write_lines, ".npz": _write_arrays, ".parquet": _write_parquet}
_READERS = {
    ".jsonl": _read_lines,
    ".npz": _read_arrays,
    ".parquet": _read_parquet,
    ".csv": _read_table,
}
