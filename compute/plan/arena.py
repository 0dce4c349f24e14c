"""Lifetimes of the instructions' operands to offsets in one arena."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..passes.memory import Interval, plan, round_up
from .lowering import Lowering
from .storage import Root


@dataclass
class Arena:
    """Where everything is, in bytes."""

    size: int
    unplanned: int
    roots: list[Root]


def assign(low: Lowering[Any]) -> Arena:
    """Give every root that lies in the arena its offset there (in `address`, until the arena has a base)."""
    roots: dict[Root, None] = {}
    for number, instruction in enumerate(low.instructions):
        for operand in instruction.operands:
            root, _ = operand.place.resolved
            if root.kind == "arena":
                roots[root] = None
                root.first, root.last = min(root.first, number), max(root.last, number)
    end = len(low.instructions)
    for value in low.program.outputs.values():
        root, _ = low.storage.place[value].resolved
        if root.kind == "arena":
            roots[root] = None
            root.first, root.last = min(root.first, end), end
    intervals = {r: Interval(r.bytes, r.first, r.last) for r in roots}
    offsets, size = plan(intervals)
    for root, offset in offsets.items():
        root.address = offset
    return Arena(size, sum(round_up(r.bytes) for r in roots), list(roots))


def largest(roots: Sequence[Root], count: int = 3) -> list[Root]:
    """Return the roots that take most bytes, the largest first."""
    return sorted(roots, key=lambda r: -r.bytes)[:count]
