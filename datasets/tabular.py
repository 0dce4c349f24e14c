"""Numbers in CSV files."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from .arrays import Arrays
from .errors import DataError, report, unknown
from .protocol import Array
from .raw import GZIP, PathLike, read_bytes, read_past

LIMIT = 1 << 30  # bytes of text that a compressed file may grow to


def from_csv(
    path: PathLike,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    *,
    header: bool = True,
    skip: int = 0,
    delimiter: str = ",",
    missing: Sequence[str] = (),
) -> Arrays:
    """A data set of the numbers in a CSV file (UTF-8, gzip or not), RFC 4180 quoting.

    `columns` groups fields: {"features": ["length", "width"], "label": "kind"} gives columns of
    examples [2] and []; by default each field is a column. Without a `header` line fields are
    called "0", "1", ...; `skip` lines are passed over before it. A field whose entries are all
    whole numbers is int64, else float64; entries in `missing` (say "" or "NA") become NaN.
    Raises MissingFileError, and DataError with line, field and text of each entry that is no
    number and each line of the wrong length.
    """
    return parse_csv(
        read_bytes(path),
        str(path),
        columns,
        header=header,
        skip=skip,
        delimiter=delimiter,
        missing=missing,
    )


def parse_csv(
    data: bytes,
    name: str,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    *,
    header: bool = True,
    skip: int = 0,
    delimiter: str = ",",
    missing: Sequence[str] = (),
) -> Arrays:
    """`from_csv` of the bytes of a file that error messages call `name`."""
    fields, lines, rows = _rows(data, name, header, skip, delimiter)
    problems = [
        f"line {line} has {len(row)} fields, expected {len(fields)}"
        for line, row in zip(lines, rows, strict=True)
        if len(row) != len(fields)
    ]
    if header and fields and all(_is_number(field) for field in fields):
        problems.append("the header line holds only numbers; if there is none, give header=False")
    problems += [f"field {field!r} occurs twice" for field in _twice(fields)]
    groups = {field: field for field in fields} if columns is None else dict(columns)
    wanted = {field: None for group in groups.values() for field in _members(group)}
    problems += [unknown("field", field, fields) for field in wanted if field not in fields]
    problems += [f"column {group!r} groups no fields" for group, of in groups.items() if not of]
    if not rows:
        problems.append("no lines of numbers")
    if problems:
        raise report(name, problems)
    numbers: dict[str, Array] = {}
    for field in wanted:
        place = fields.index(field)
        texts = [row[place].strip() for row in rows]
        numbers[field] = _numbers(field, texts, lines, frozenset(missing), problems)
    if problems:
        raise report(name, problems)
    return Arrays(
        {
            group: numbers[of] if isinstance(of, str) else np.stack([numbers[f] for f in of], 1)
            for group, of in groups.items()
        }
    )


def _rows(
    data: bytes, name: str, header: bool, skip: int, delimiter: str
) -> tuple[list[str], list[int], list[list[str]]]:
    """Field names, and the line number and entries of each row that is not blank."""
    try:
        if data[:2] == GZIP:
            data = bytes(read_past(gzip.GzipFile(fileobj=io.BytesIO(data)), LIMIT))
        if len(data) > LIMIT:
            raise DataError(f"{name}: more than {LIMIT:,} bytes of text; see from_npy for big data")
        source = io.StringIO(data.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 text: {error}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{name}: damaged gzip archive: {error}") from error
    for _ in range(skip):
        source.readline()
    reader = csv.reader(source, delimiter=delimiter)
    lines, rows = [], []
    try:
        for row in reader:
            if row:
                lines.append(skip + reader.line_num)
                rows.append(row)
    except csv.Error as error:
        raise DataError(f"{name}: line {skip + reader.line_num}: {error}") from error
    if header and rows:
        return [field.strip() for field in rows[0]], lines[1:], rows[1:]
    return [str(number) for number in range(len(rows[0]) if rows else 0)], lines, rows


def _numbers(
    field: str, texts: list[str], lines: list[int], missing: frozenset[str], problems: list[str]
) -> Array:
    """One field as int64 where possible, else float64; what is no number goes to `problems`."""
    try:
        # Python would read 1_000 as a number; a file that says so means something else.
        if missing.isdisjoint(texts) and not any("_" in text for text in texts):
            return np.array([int(text) for text in texts], np.int64)
    except (ValueError, OverflowError):
        pass  # not all whole, or too large for int64
    values = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        if text in missing:
            continue
        try:
            values[row] = float(text if "_" not in text else "")
        except ValueError:
            what = repr(text) if text else "empty (see missing=)"
            problems.append(f"line {lines[row]}, field {field!r}: not a number: {what}")
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _members(group: str | Sequence[str]) -> Sequence[str]:
    return [group] if isinstance(group, str) else group


def _twice(names: list[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]
