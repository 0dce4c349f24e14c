"""Steps shared out among processes (threads here) are those of one process: layers, losses, and all that is a mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sharing import after, assert_same
from threads import in_threads

import cortex
from cortex import layers as L
from cortex import losses
from cortex.optimise import Adam, Sgd
from cortex.verify.losses import ROWS as LOSS_ROWS
from cortex.verify.rows import ROWS

EXACT = 1e-12  # float64; sums in another order
RNG = np.random.default_rng(3)


def check(
    network: Any, batches: list[dict], sizes: tuple[int, ...] = (2, 3), **options: Any
) -> None:
    options = {"optimiser": Sgd(0.1), "backend": "numpy", **options}
    one = after(network, batches, None, **options)
    for size in sizes:
        every = in_threads(size, lambda group: after(network, batches, group, **options))
        assert_same(one, every, EXACT)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_every_layer(row: Any) -> None:
    """Batches of 5 and of 2: uneven shares, and one process of three without an example."""
    network = row.network("float64", slopes=True)
    batches = []
    for seed, size in enumerate((5, 2)):
        batch = row.columns(size, seed)
        for name in network.outputs:
            shape = (size, *network.specs[name].shape)
            batch[f"{name}.target"] = np.random.default_rng(seed).normal(size=shape)
        batches.append(batch)
    targets = {name: f"{name}.target" for name in network.outputs}
    loss = dict.fromkeys(network.outputs, losses.MeanSquaredError())
    check(network, batches, (3,), loss=loss, target=targets)


ENDS: dict[str, list[Any]] = {
    "_shares": [L.Logistic()],
    "_distribution": [L.Softmax()],
    "_log_distribution": [L.LogSoftmax()],
}


@pytest.mark.parametrize("row", LOSS_ROWS, ids=lambda r: r.name)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_every_loss(row: Any, weighted: bool) -> None:
    """With missing targets, and with weights of examples."""
    shape = row.shape or (1,)
    ends = ENDS.get(row.output.__name__, [])
    network = dense(L.Linear(int(np.prod(shape))), L.Reshape(shape), *ends)
    batches = []
    for size in (7, 2):
        target = replace(row, shape=shape).draw(size, missing=True)[1]
        batch = {"x": RNG.normal(size=(size, 6)), "label": target}
        if weighted:
            batch["sample_weight"] = RNG.uniform(0, 2, size)
        batches.append(batch)
    column = cortex.datasets.Column.of(batches[0]["label"])
    check(network, batches, loss=row.loss, sample_weight=weighted, columns={"label": column})


def dense(*items: Any, **options: Any) -> Any:
    return cortex.Network([("x", L.Input(6)), *items], dtype="float64", seed=2, **options)


def labelled(*sizes: int) -> list[dict[str, np.ndarray]]:
    return [{"x": RNG.normal(size=(n, 6)), "label": RNG.integers(0, 3, n)} for n in sizes]


@pytest.mark.parametrize(
    "options",
    [
        {"optimiser": Adam(0.01)},
        {"clip": 0.05},
        {"clip": cortex.Clip(norm=1.0, value=0.01)},
        {"metrics": "correct"},
        {"loss_scale": "dynamic", "clip": 0.05},
        {"loss_scale": 3, "optimiser": Adam(0.01)},
    ],
    ids=["adam", "clipped by norm", "clipped by value", "metrics", "scaled, clipped", "scaled"],
)
def test_what_stands_around_the_gradient(options: dict) -> None:
    check(dense(L.Linear(5), L.Tanh(), L.Linear(3), L.Softmax()), labelled(8, 8, 7, 1), **options)


def test_penalties_of_parameters_count_once() -> None:
    """l1, l2 and max-norm act on the summed gradient, not in each process."""
    network = dense(L.Linear(5), L.Tanh(), L.Linear(3), L.Softmax())
    network = network.with_attributes("linear1.weights", l1=0.1, l2=0.2).with_attributes(
        "linear2.weights", l2=0.3, max_norm=0.5, learning_rate_factor=0.5
    )
    check(network, labelled(8, 7, 2))


def test_missing_targets_are_counted_over_all_processes() -> None:
    """All the labels that one process has may be missing."""
    batches = labelled(6, 6)
    batches[0]["label"][:3] = -1
    batches[1]["label"][:] = -1
    check(dense(L.Linear(3), L.LogSoftmax()), batches, metrics="correct")


def test_averaging_the_means_of_shares_would_be_wrong() -> None:
    """The sizes of this test are such that the usual mistake would show: 64 rows on 3 processes."""
    network, (batch,) = dense(L.Linear(3), L.Softmax()), labelled(64)
    before = network.parameters["linear1.weights"]

    def move(rows: slice) -> np.ndarray:
        part = {n: a[rows] for n, a in batch.items()}
        found = after(network, [part], None, optimiser=Sgd(1.0), backend="numpy")
        return found["parameters.0"][: before.size] - before.reshape(-1)

    shares = [move(slice(a, b)) for a, b in ((0, 21), (21, 42), (42, 64))]
    assert np.abs(np.mean(shares, 0) - move(slice(0, 64))).max() > 1e-4
    check(network, [batch], (3,), optimiser=Sgd(1.0))


def test_a_share_is_one_message_of_scalars_and_one_of_gradients() -> None:
    network = dense(L.Linear(5), L.BatchNormalisation(), L.Linear(3), L.Softmax())
    network = network.with_attributes("linear1.bias", l2=0.1)  # two groups

    def count(group: Any) -> int:
        made = cortex.training_step(
            network, optimiser=Sgd(), batch_size=8, metrics="correct", group=group, backend="cpu"
        )
        return sum(s.op == "AllReduce" for s in made.report.steps)

    # besides: how many labels are present; the mean and the variance, and the cotangents of both
    assert in_threads(2, count) == [2 + 1 + 4] * 2


def test_the_cpu_backend_sums_flat_gradients_in_place() -> None:
    """The fast path: pieces computed inside the flat buffer, which is summed where it lies."""
    seen: list[tuple[int, int]] = []

    class Watched:
        rank, size = 0, 2

        def all_reduce(self, array: np.ndarray) -> None:
            seen.append((array.ctypes.data, array.size))

        def broadcast(self, array: np.ndarray) -> None:
            pass

        def gather(self, text: str) -> list[str]:
            return [text, text]

    network = cortex.Network([("x", L.Input(6)), L.Linear(5), L.Tanh(), L.Linear(3), L.Softmax()])
    alone, made = (
        cortex.training_step(network, optimiser=Sgd(), batch_size=8, group=group, backend="cpu")
        for group in (None, Watched())
    )
    (flat,) = made.layout.groups
    (found,) = [
        i
        for i in made.executable._low.instructions
        if i.provider == "group" and i.outputs[0].spec.size == flat.size
    ]
    assert found.inputs[0].place.resolved == found.outputs[0].place.resolved
    assert copies(made) == copies(alone)  # into the gaps between parameters
    made.run()
    assert (found.outputs[0].place.address, flat.size) in seen


def copies(made: Any) -> int:
    low = made.executable._low
    return sum(low.reports[owner].op == "Concatenate" for owner in low.owners)
