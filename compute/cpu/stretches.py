"""The order in which threads take the elements of a flat state: each the parts of every array in it that it made.

An optimiser updates all parameters in one loop over a flat buffer. Were each of two threads to take half of the buffer,
it would write weights that the other one reads, and read gradients that the other one wrote; and to write a line of
memory that the other core has a copy of costs 7 to 10 nanoseconds, 28 where the cores share no cache. Matrix products
split weights and their gradients by rows, so threads take the first part of each array, then the second of each.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from ..program import Program, Step

PARTS = 16  # of an array at most
FEWEST = 1 << 14  # elements in a part: 64 KB, so that the streams of several arrays run on
LINE = 16  # elements: parts end where a line of float32 does


def viewed(program: Program, step: Step) -> list[int]:
    """Return where arrays begin in the flat state that a step updates; nothing where it updates none."""
    states = {name for name, value in program.updates.items() if value in step.outputs}
    return sorted({view.offset for view in program.views.values() if view.state in states})


def stretches(size: int, offsets: Iterable[int]) -> tuple[int, ...]:
    """Return first and end of each stretch of `size` elements, in order; nothing where arrays are not several.

    `offsets` ascend; an array that is smaller than a part goes with the one before it.
    """
    bounds = [0]
    for offset in offsets:
        if min(offset - bounds[-1], size - offset) >= FEWEST:
            bounds.append(offset)
    if len(bounds) == 1:
        return ()
    found: list[tuple[float, int, int]] = []
    for first, end in pairwise([*bounds, size]):
        count = min(PARTS, (end - first) // FEWEST)
        cuts = [first + (end - first) * i // count // LINE * LINE for i in range(count)]
        found += [((i + 0.5) / count, *cut) for i, cut in enumerate(pairwise([*cuts, end]))]
    return tuple(position for _, first, end in sorted(found) for position in (first, end))
