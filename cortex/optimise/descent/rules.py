"""What `term` is made of: transforms of the record, rules that stop, and effects that show it.

Out transforms, rules and effects alike, are the shared stopping rules (`cortex.stopping`): they
work in `study`, in `term(out=[...])` and in training.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cortex import stopping
from cortex.compute.errors import DescriptionError, near
from cortex.records import Lazy, Record
from cortex.stopping import Factory, Reason

Write = Callable[[str], Any]
# An entry's name, a function of the record, or a path of both, such as ("last", "params", np.sum).
Part = str | Callable[[Any], Any] | Sequence[Any]

# In transforms: the record that the rest sees; None: the rest does not see this one.
InTransform = Callable[[], Callable[[Any], Any]]


def skip_initial(n: int = 1) -> InTransform:
    """Hide the first `n` records from the transforms that follow."""

    def start() -> Callable[[Any], Any]:
        seen = 0

        def transform(record: Any) -> Any:
            nonlocal seen
            seen += 1
            return record if seen > n else None

        return transform

    return start


def stagger() -> InTransform:
    """Replace a record by one with the entries `last` (None at first) and `current`."""

    def start() -> Callable[[Any], Any]:
        last = None

        def transform(record: Any) -> Any:
            nonlocal last
            both, last = Record({"last": last, "current": record}), record
            return both

        return transform

    return start


def count_steps() -> InTransform:
    """Add the entry `step_count`: 0 for the first record seen, then 1, 2, ..."""

    def start() -> Callable[[Any], Any]:
        count = -1

        def transform(record: Any) -> Any:
            nonlocal count
            count += 1
            return record.extended({"step_count": count})

        return transform

    return start


# Rules


def limit_steps(n: int) -> Factory:
    """Stop when more than `n` records have been seen, which is after n steps."""

    def start() -> Any:
        seen = 0

        def rule(record: Any) -> Reason | None:
            nonlocal seen
            seen += 1
            return Reason.STEPS if seen > n else None

        return rule

    return Factory(start)


def limit_params(cutoff: float, target: Any) -> Factory:
    """Stop when the parameters are within `cutoff` of the vector `target` (Euclidean distance)."""
    goal = np.asarray(target, np.float64)

    def rule(record: Any) -> Reason | None:
        return Reason.PARAMS if np.linalg.norm(record["params"] - goal) <= cutoff else None

    return Factory(lambda: rule)


def limit_value(cutoff: float) -> Factory:
    """Stop when the value is `cutoff` or below."""
    return Factory(lambda: lambda record: Reason.VALUE if record["value"] <= cutoff else None)


def limit_gradient(cutoff: float, key: str = "gradient") -> Factory:
    """Stop when the length of the gradient is `cutoff` or below.

    Under a constraint the gradient does not vanish: use the entry `projected_gradient`.
    """

    def rule(record: Any) -> Reason | None:
        return Reason.GRADIENT if _length(record[key]) <= cutoff else None

    return Factory(lambda: rule)


def plateau(patience: int = 20, least: float = 0.0, key: str = "value") -> Any:
    """Stop when an entry has not improved by more than `least` in `patience` records."""
    return stopping.plateau(key, patience, least)


def not_finite(key: str = "value") -> Factory:
    """Stop when an entry, a number or a vector, has something infinite or not a number in it."""

    def rule(record: Any) -> Reason | None:
        return None if np.isfinite(record[key]).all() else Reason.NOT_FINITE

    return Factory(lambda: rule)


limit_time = stopping.seconds
limit_evaluations = stopping.evaluations


# Effects


def slow_steps(milliseconds: float) -> Factory:
    """Wait this long at each record."""

    def rule(record: Any) -> None:
        time.sleep(milliseconds / 1000)

    return Factory(lambda: rule)


def output(*parts: Part, write: Write = print) -> Factory:
    """Write parts of each record, and words, in a line; a word that is an entry's name is that entry."""
    return Factory(
        lambda: lambda record: write(" ".join(_plain(look_up(record, p, True)) for p in parts))
    )


def outputf(form: str, *parts: Part, write: Write = print) -> Factory:
    """Write a line per record: `form` as in `%`; a vector is formatted number by number, in brackets.

    Raises:
        DescriptionError: the form has another number of fields than there are parts.
    """
    pieces = _FIELD.split(form)
    if len(_fields(form)) != len(parts):
        problem = f"the form {form!r} has {len(_fields(form))} fields, given {len(parts)} parts"
        raise DescriptionError("outputf", [problem])

    def rule(record: Any) -> None:
        values = iter(parts)
        line = ""
        for piece in pieces:
            if _FIELD.fullmatch(piece):
                line += "%" if piece == "%%" else formatted(piece, look_up(record, next(values)))
            else:
                line += piece
        write(line)

    return Factory(lambda: rule)


def stdout(write: Write = print) -> Factory:
    """Write value, length of the gradient, and length of the last step (nan at first) of each record."""

    def step(record: Any) -> float:
        return _length(record["last_step"]) if "last_step" in record else np.nan

    def slope(record: Any) -> float:
        return _length(record["gradient"])

    form = "f = % .8e, |grad| = % .8e, |dx| = % .8e"
    return outputf(form, "value", slope, step, write=write)


def pause(period: int = 1, read: Callable[[str], str] = input) -> Factory:
    """Wait for Enter after the first record and `period` more, then after each `period` of them.

    A number changes the period, any other text stops.
    """

    def start() -> Any:
        left, each = period + 1, period

        def rule(record: Any) -> Reason | None:
            nonlocal left, each
            left -= 1
            if left:
                return None
            answer = read("").strip()
            if answer.isdecimal() and int(answer) > 0:
                each = int(answer)
            elif answer:
                return Reason.ASKED
            left = each
            return None

        return rule

    return Factory(start)


_FIELD = re.compile(r"(%%|%[-+ #0]*\d*(?:\.\d+)?[a-zA-Z])")


def _fields(form: str) -> list[str]:
    return [f for f in _FIELD.findall(form) if f != "%%"]


def formatted(field: str, value: Any) -> str:
    """Return a number in a `%` format, or the numbers of a vector, in brackets."""
    if isinstance(value, (np.ndarray, tuple, list)) and np.ndim(value) != 0:
        return f"[{' '.join(formatted(field, v) for v in value)}]"
    return field % value


def look_up(record: Any, part: Part, words: bool = False) -> Any:
    """Return a part of a record: an entry, what a function makes of it, or what a path leads to.

    With `words`, a string that is no entry stands for itself.

    Raises:
        DescriptionError: there is no such entry; names the nearest.
    """
    if isinstance(part, str):
        if isinstance(record, Mapping) and part in record:
            return record[part]
        if words:
            return part
        known = record if isinstance(record, Mapping) else ()
        problem = f"the record has no entry {part!r}{near(part, map(str, known))}"
        raise DescriptionError("output", [problem])
    if callable(part):
        return part(record)
    for piece in part:
        if record is None:  # the last of two records, at the first
            return None
        record = look_up(record, piece)
    return record


def _plain(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"[{' '.join(_plain(v) for v in value)}]"
    return repr(float(value)) if isinstance(value, np.floating) else str(value)


def _length(vector: Any) -> float:
    return float(np.linalg.norm(vector))


def realised(record: Mapping[str, Any]) -> Record:
    """Return a record with every lazy entry computed."""
    return Record({key: record[key] for key in record})


def zipped(records: Sequence[Mapping[str, Any]]) -> Record:
    """Return one record of several: each entry is the tuple of theirs, for the entries that all have."""

    def read(key: str) -> Lazy:
        return Lazy(lambda: tuple(r[key] for r in records))

    return Record({key: read(key) for key in records[0] if all(key in r for r in records)})
