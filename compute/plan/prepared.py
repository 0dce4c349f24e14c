"""Instructions whose results last: what depends on constants and on state that no run changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .lowering import Lowering
from .storage import Root


def prepared(low: Lowering[Any]) -> list[int]:
    """Return the numbers of the instructions that depend on constants and on state that no run changes.

    Their results (transformed kernels, folded scales) stay until somebody writes that state.
    """
    touched: dict[Root, list[int]] = {}  # by whom each root is written
    reads: list[set[Root]] = []
    for number, instruction in enumerate(low.instructions):
        reads.append({o.place.resolved[0] for o in instruction.inputs})
        for operand in instruction.outputs:
            touched.setdefault(operand.place.resolved[0], []).append(number)

    def steady(root: Root) -> bool:
        if root in touched:
            return root.kind == "arena" and chosen.issuperset(touched[root])
        return root.kind == "constant" or (
            root.kind == "state" and root.name not in low.program.updates
        )

    chosen = set(range(len(low.instructions)))
    while True:
        kept = {
            n
            for n in chosen
            if all(map(steady, reads[n]))
            and all(steady(o.place.resolved[0]) for o in low.instructions[n].outputs)
        }
        if kept == chosen:
            return sorted(kept)
        chosen = kept


def watched(low: Lowering[Any], early: Sequence[int]) -> list[str]:
    """Return the names of the state that the `early` instructions (see `prepared`) read."""
    roots = {o.place.resolved[0] for n in early for o in low.instructions[n].inputs}
    return sorted({r.name for r in roots if r.kind == "state"})
