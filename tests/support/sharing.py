"""The same training in one process and shared out among several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import cortex
from cortex.compute.group import Group, share_of
from cortex.network import Network


def after(
    network: Network,
    batches: Sequence[Mapping[str, np.ndarray]],
    group: Group | None,
    **options: Any,
) -> dict[str, np.ndarray]:
    """All state and all 0-d outputs after one step on each batch, each size with its own executable."""
    made: dict[int, Any] = {}
    memory = None
    for batch in batches:
        size = len(next(iter(batch.values())))
        if size not in made:
            made[size] = cortex.training_step(
                network, batch_size=size, memory=memory, group=group, totals=True, **options
            )
            memory = made[size].memory
        step = made[size]
        rows = slice(None) if group is None else share_of(group, size).rows
        for name, array in batch.items():
            step.write(name, array[rows])
        step.run()
    scalars = [n for n, v in step.program.outputs.items() if v.shape == ()]
    return {name: step.read(name) for name in (*step.program.state, *scalars)}


def assert_same(
    one: Mapping[str, np.ndarray], every: Sequence[Mapping[str, np.ndarray]], tolerance: float
) -> None:
    """Every process has the same bits, and what one process alone has within a tolerance."""
    for rank, other in enumerate(every):
        assert one.keys() == other.keys()
        for name, array in other.items():
            assert np.array_equal(array, every[0][name]), f"{name} of process {rank}"
            scale = max(1.0, float(np.abs(one[name]).max(initial=0)))
            np.testing.assert_allclose(
                array, one[name], rtol=0, atol=tolerance * scale, err_msg=f"{name}, process {rank}"
            )
