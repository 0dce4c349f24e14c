"""The memory plan: intervals of life to places in one arena, by first fit over the larger first."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

ALIGNMENT = 64  # bytes: a cache line, and the widest vector


@dataclass(frozen=True)
class Interval:
    """Bytes that must stay untouched from step `first` to step `last`, both included."""

    bytes: int
    first: int
    last: int


def plan(intervals: Mapping[Key, Interval]) -> tuple[dict[Key, int], int]:
    """Return an offset for each interval, so that those alive together do not overlap, and the size of the arena.

    The larger go first, each to the lowest gap that holds it: within a few percent of the lower bound (the largest
    sum alive at one step) for training steps, in time quadratic in the number of intervals.
    """
    placed: list[tuple[int, int, Interval]] = []
    offsets: dict[Key, int] = {}
    size = 0
    for key, item in sorted(intervals.items(), key=lambda kv: (-kv[1].bytes, kv[1].first)):
        need = round_up(item.bytes)
        at = 0
        for start, stop, other in placed:  # kept sorted by start
            if other.first > item.last or other.last < item.first:
                continue
            if start - at >= need:
                break
            at = max(at, stop)
        offsets[key] = at
        placed.append((at, at + need, item))
        placed.sort(key=lambda p: p[0])
        size = max(size, at + need)
    return offsets, size


def round_up(count: int) -> int:
    """Return `count` rounded up to the alignment, at least one line."""
    return max(ALIGNMENT, -(-count // ALIGNMENT) * ALIGNMENT)


def lower_bound(intervals: Mapping[Key, Interval]) -> int:
    """Return the largest number of bytes alive at one step; no plan can be smaller."""
    steps = range(max((i.last for i in intervals.values()), default=-1) + 1)
    return max(
        (
            sum(round_up(i.bytes) for i in intervals.values() if i.first <= t <= i.last)
            for t in steps
        ),
        default=0,
    )
