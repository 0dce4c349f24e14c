"""What steps cost on one core, for the choice of layouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..layouts import Layout
from ..ops.arranged import Arranged
from ..program import Op
from ..spec import Spec

BANDWIDTH = 10e9  # bytes a second of one core, read and written, from beyond the L2 cache


@dataclass(frozen=True)
class CpuCosts:
    """The costs that `choose_layouts` asks for; see compute/passes/layout.py."""

    exact: bool

    def dense(self, op: Op, inputs: Sequence[Spec], outputs: Sequence[Spec]) -> float:
        """Return the time of the dense kernels."""
        from .providers.costs import dense_seconds

        found = dense_seconds(op, *inputs)
        return _moved(inputs, outputs) if found is None else found

    def lifted(self, op: Op, inputs: Sequence[Spec], outputs: Sequence[Spec]) -> float | None:
        """Return the time of the fastest kernel for values in a layout, or None where there is none."""
        if not isinstance(op, Arranged):
            return _moved(inputs, outputs)
        from .providers import costs, winograd

        found = [costs.seconds(op, *inputs)]
        if not self.exact:
            found.append(winograd.seconds(op, *inputs))
        return min((t for t in found if t is not None), default=None)

    def reorder(self, value: Spec, layout: Layout) -> float:
        """Return the time of a transposed copy."""
        from .providers.costs import reorder_seconds

        return reorder_seconds(value)


def _moved(inputs: Sequence[Spec], outputs: Sequence[Spec]) -> float:
    """Return the time to read and write everything once."""
    return sum(s.bytes for s in (*inputs, *outputs)) / BANDWIDTH
