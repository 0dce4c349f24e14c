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
    return assign_apart(low, ())[1]


def assign_apart(low: Lowering[Any], early: Sequence[int]) -> tuple[Arena, Arena]:
    """Give every root that lies in an arena its offset there (in `address`, until the arena has a base).

    Returns the arena of what the `early` instructions (see `prepared`) make and later ones read, and that of a run.
    """
    first = set(early)
    later = [n for n in range(len(low.instructions)) if n not in first]
    kept, run = _roots(low, early), _roots(low, later)
    shared = kept.keys() & run.keys()
    named = {low.storage.place[v].resolved[0] for v in low.program.outputs.values()}
    for roots, end in ((kept, len(early)), (run, len(later))):
        for root in roots.keys() & (named | shared):
            roots[root] = (roots[root][0], end)
    for root in shared:
        del run[root]
    for root in named - kept.keys() - run.keys():
        if root.kind == "arena":
            run[root] = (len(later), len(later))
    return _arena(kept), _arena(run)


def _roots(low: Lowering[Any], numbers: Sequence[int]) -> dict[Root, tuple[int, int]]:
    """Return the first and last of these instructions that touches each root of an arena."""
    found: dict[Root, tuple[int, int]] = {}
    for position, number in enumerate(numbers):
        for operand in low.instructions[number].operands:
            root, _ = operand.place.resolved
            if root.kind == "arena":
                found[root] = (found.get(root, (position,))[0], position)
    end = len(numbers) - 1
    return {root: (first, min(last + root.rest, end)) for root, (first, last) in found.items()}


def _arena(roots: dict[Root, tuple[int, int]]) -> Arena:
    offsets, size = plan({r: Interval(r.bytes, *life) for r, life in roots.items()})
    for root, offset in offsets.items():
        root.address = offset
        root.first, root.last = roots[root]
    return Arena(size, sum(round_up(r.bytes) for r in roots), list(roots))


def largest(roots: Sequence[Root], count: int = 3) -> list[Root]:
    """Return the roots that take most bytes, the largest first."""
    return sorted(roots, key=lambda r: -r.bytes)[:count]
