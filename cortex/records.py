"""`Record`: what a step offers to those who watch. Nothing in it is computed until somebody reads it.

Training of networks and descents of functions yield the same kind of record; observers and stopping rules
(`cortex.observers`, `cortex.stopping`) are functions of one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from cortex.compute.errors import near


class Lazy(partial[Any]):
    """An entry that is computed at its first reading: `Lazy(function, *arguments)`."""

    # A partial is made in C, in a quarter of the time of a class written here; a step of a descent makes five.
    __slots__ = ()


class Record(Mapping[str, Any]):
    """An immutable mapping whose `Lazy` entries are realised once, when read; entries are attributes too."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, key: str) -> Any:
        try:
            value = self._entries[key]
        except KeyError:
            raise KeyError(f"this record has no entry {key!r}{near(key, self._entries)}") from None
        if isinstance(value, Lazy):
            value = self._entries[key] = value()
        return value

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):
            raise AttributeError(key)
        try:
            return self[key]
        except KeyError as error:
            raise AttributeError(error.args[0]) from None

    def __contains__(self, key: object) -> bool:
        return key in self._entries  # Mapping's own would compute the entry

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def extended(self, entries: Mapping[str, Any]) -> Record:
        """Return a record with further entries; lazy ones stay lazy."""
        return Record({**self._entries, **entries})

    def realised(self, key: str) -> bool:
        """Return whether an entry has been computed (or never needed to be)."""
        return not isinstance(self._entries[key], Lazy)

    def plain(self) -> dict[str, Any]:
        """Return the entries that are plain numbers, strings, truth values or None, as a dict fit for JSON."""
        return {
            k: v
            for k, v in self._entries.items()
            if isinstance(v, (int, float, str, bool, type(None)))
        }

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self.plain().items())
        hidden = [k for k in self._entries if k not in self.plain()]
        return f"Record({shown}{'; also: ' + ', '.join(hidden) if hidden else ''})"


_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_json(value: Any) -> Any:
    """Return an entry as JSON can hold it: arrays are lists, "NaN", "Infinity" and "-Infinity" words."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [to_json(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def from_json(value: Any) -> Any:
    """Return the entry that `to_json` stored; lists are arrays."""
    return np.array(_numbers(value)) if isinstance(value, list) else _numbers(value)


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value
