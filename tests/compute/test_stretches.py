"""The order in which threads take the elements of a flat state."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import cortex
from cortex import layers
from cortex.compute.cpu.stretches import FEWEST, LINE, stretches
from cortex.losses import SoftmaxCrossEntropy
from cortex.optimise.optimisers import Adam


@given(
    sizes=st.lists(st.integers(1, 9 * FEWEST), min_size=1, max_size=9),
    tail=st.integers(0, 100),
)
def test_stretches_cover_all_elements_once(sizes, tail):
    ends = np.cumsum(sizes)
    total = int(ends[-1]) + tail
    made = stretches(total, [0, *map(int, ends[:-1])])
    pairs = sorted(zip(made[::2], made[1::2], strict=True))
    if pairs:
        assert pairs[0][0] == 0 and pairs[-1][1] == total
        assert all(a[1] == b[0] for a, b in zip(pairs, pairs[1:], strict=False))
        assert all(end - first >= FEWEST - LINE for first, end in pairs)


def test_one_large_array_has_no_order():
    assert stretches(10 * FEWEST, [0]) == ()
    assert stretches(10 * FEWEST, [0, 10 * FEWEST - 5]) == ()


def test_a_thread_begins_with_the_first_part_of_every_array():
    """16 parts of the first, 8 of the second: half of the stretches are half of each."""
    first, second = 16 * FEWEST, 8 * FEWEST
    made = stretches(first + second, [0, first])
    pairs = list(zip(made[::2], made[1::2], strict=True))
    assert len(pairs) == 24
    assert sorted(pairs[:12]) == [
        *((i * FEWEST, (i + 1) * FEWEST) for i in range(8)),
        *((first + i * FEWEST, first + (i + 1) * FEWEST) for i in range(4)),
    ]


def test_the_update_of_a_network_is_shared_out_by_its_arrays():
    network = cortex.Network(
        [("x", layers.Input(300)), layers.Linear(256), layers.Relu(), layers.Linear(200)]
    )
    step = cortex.training_step(network, optimiser=Adam(), batch_size=4, loss=SoftmaxCrossEntropy())
    *_, update = step.executable._low.instructions
    offsets = {view.offset for view in step.program.views.values() if view.state.startswith("par")}
    assert update.stretches == stretches(update.units, sorted(offsets)) != ()
