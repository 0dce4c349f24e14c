"""Batches: every example counts once, in order, whatever the size of the last batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cortex.compute.backend import Backend
from cortex.compute.verify import Check, Mismatch, checking, close, equal, within
from cortex.datasets import as_dataset, from_maps
from cortex.layers import Input, Linear, Tanh
from cortex.losses import MeanSquaredError
from cortex.network import Network
from cortex.optimise.optimisers import Adam, Sgd
from cortex.training import evaluate, train

from .fits import fitted, predicted

CHECKS: list[Check] = []


def _network(dtype: str = "float32") -> Network:
    return Network([("x", Input(3)), Linear(4), Tanh(), ("out", Linear(1))], seed=1, dtype=dtype)


def _data(count: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(count)
    x = generator.normal(size=(count, 3)).astype(np.float32)
    return {"x": x, "target": x @ np.array([[1.0], [-2.0], [0.5]], np.float32) + np.float32(0.3)}


@checking(CHECKS, "batches/17 examples in batches of 5")
def seventeen(backend: Backend) -> None:
    """17 outputs; training sees all 17; the mean loss is that of 17 examples, not of 4 batches."""
    data, network = _data(17), _network()
    output = predicted(backend, network, data["x"], batch_size=5)
    if output.shape != (17, 1):
        raise Mismatch(f"predict: expected 17 outputs for 17 inputs, got {output.shape}")
    close("in one batch", output, predicted(backend, network, data["x"], batch_size=17))
    still: dict[str, Any] = {"epochs": 1, "batch_size": 5, "optimiser": Sgd(0.0), "every": 100}
    *_, last = train(network, data, backend=backend, **still)
    equal("examples and steps", [last["examples"], last["step"]], [17, 4])
    within("mean loss", last["loss"], ((output - data["target"]) ** 2).mean(), 1e-5)
    within(
        "loss of evaluate",
        evaluate(network, data, batch_size=5, backend=backend)["loss"],
        last["loss"],
        1e-5,
    )


@checking(CHECKS, "batches/each example pulls once", needs=("float64",))
def pulls(backend: Backend) -> None:
    """Plain SGD through 17 examples in batches of 5, beside the same in NumPy: 5, 5, 5 and 2."""
    data = {n: a.astype(np.float64) for n, a in _data(17).items()}
    network = Network([("x", Input(3)), ("out", Linear(1))], seed=1, dtype="float64")
    w, b = (network.parameters[f"out.{n}"].copy() for n in ("weights", "bias"))
    seen: list[np.ndarray] = []
    for rows in as_dataset(data).batches(5, seed=4, epoch=0):
        x, error = rows["x"], rows["x"] @ w.T + b - rows["target"]
        w, b = w - 0.1 * 2 * error.T @ x / len(x), b - 0.1 * 2 * error.mean(0)
        seen.append(x)
    equal("sizes of the batches", [len(x) for x in seen], [5, 5, 5, 2])
    every = np.concatenate(seen)
    equal("each example once", every[np.lexsort(every.T)], data["x"][np.lexsort(data["x"].T)])
    result = fitted(
        backend, network, data, epochs=1, batch_size=5, optimiser=Sgd(0.1), seed=4,
        loss=MeanSquaredError(),
    )  # fmt: skip
    close("weights", result.network.parameters["out.weights"], w)
    close("bias", result.network.parameters["out.bias"], b)


@checking(CHECKS, "batches/200 examples in batches of 10")
def two_hundred(backend: Backend) -> None:
    """Twenty steps an epoch, other order in another epoch, and one output per example in order."""
    data, network = _data(200), _network()
    records = list(
        train(network, data, epochs=2, batch_size=10, every=1, optimiser=Adam(), backend=backend)
    )
    equal("steps", [r["step"] for r in records], np.arange(1, 41))
    equal("examples", [r["examples"] for r in records], 10 * np.arange(1, 41))
    first, second = (
        np.concatenate([b["x"] for b in as_dataset(data).batches(10, seed=0, epoch=e)])
        for e in (0, 1)
    )
    if np.array_equal(first, second):
        raise Mismatch("the second epoch has the order of the first")
    found = predicted(backend, network, data["x"], batch_size=10)
    close("all at once", found, predicted(backend, network, data["x"], batch_size=200))
    alone = np.concatenate([predicted(backend, network, x[None]) for x in data["x"][:7]])
    close("the first seven, alone", alone, found[:7])


class _OneArray:
    """A sequence of examples that gives the same two arrays again and again, with other content."""

    def __init__(self, columns: Mapping[str, np.ndarray]) -> None:
        self.columns = columns
        self.example = {n: np.empty_like(a[0]) for n, a in columns.items()}

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        if row >= len(self):
            raise IndexError(row)
        for name, a in self.columns.items():
            self.example[name][...] = a[row]
        return self.example

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return (self[row] for row in range(len(self)))


@checking(CHECKS, "batches/a sequence that re-uses one array")
def one_array(backend: Backend) -> None:
    """Trains to the same bits as arrays do, read at once or row by row."""
    data, options = _data(23), {"epochs": 2, "batch_size": 5, "optimiser": Adam(0.01)}
    wanted = fitted(backend, _network(), data, **options).network.parameters
    for lazy in (False, True):
        examples = from_maps(_OneArray(data), lazy=lazy)
        found = fitted(backend, _network(), examples, **options).network.parameters
        for name, array in wanted.items():
            equal(f"{name}, lazy {lazy}", found[name], array)


@checking(CHECKS, "batches/accuracy counts")
def accuracy(backend: Backend) -> None:
    """The accuracy of 43 labelled examples in batches of 8 is that of their predictions, counted."""
    generator = np.random.default_rng(3)
    x = generator.normal(size=(43, 3)).astype(np.float32)
    data = {"x": x, "label": (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0.5)}
    network = Network([("x", Input(3)), ("out", Linear(3))], seed=5)
    right = predicted(backend, network, x).argmax(1) == data["label"]
    still: dict[str, Any] = {"epochs": 1, "batch_size": 8, "optimiser": Sgd(0.0), "every": 100}
    *_, last = train(network, data, backend=backend, **still)
    within("accuracy of an epoch", last["accuracy"], right.mean(), 1e-12)
    found = evaluate(network, data, batch_size=8, backend=backend)
    within("accuracy of evaluate", found["accuracy"], right.mean(), 1e-12)
    if not 0.05 < right.mean() < 0.95:
        raise Mismatch("all or none are right; the check shows nothing")
