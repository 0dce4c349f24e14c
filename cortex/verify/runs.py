"""Training runs: the same seed gives the same bits, a resumed run is the uninterrupted one, Adam keeps its state."""

from __future__ import annotations

import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cortex.compute.backend import Backend
from cortex.compute.verify import Check, Mismatch, checking, close, equal
from cortex.datasets import as_dataset
from cortex.layers import BatchNormalisation, Convolution, Dropout, Input, Linear, Relu
from cortex.losses import SoftmaxCrossEntropy
from cortex.network import Network
from cortex.optimise.optimisers import Adam
from cortex.prediction import predict
from cortex.training import Result, evaluate, fit, load_checkpoint, save_checkpoint, train

CHECKS: list[Check] = []


def _network(seed: int = 4) -> Network:
    """Return all that a resumed run could get wrong: random masks, running statistics, moments."""
    return Network(
        [
            ("x", Input(2, 6, 6)), Convolution(4, 3), BatchNormalisation(), Relu(), Dropout(0.3),
            ("out", Linear(3)),
        ],
        seed=seed,
    )  # fmt: skip


def _data(count: int = 43) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(7)
    x = generator.normal(size=(count, 2, 6, 6)).astype(np.float32)
    return {"x": x, "label": generator.integers(0, 3, count)}


def _options(backend: Backend, **more: Any) -> dict[str, Any]:
    found = {"batch_size": 8, "optimiser": Adam(0.01), "seed": 9, "backend": backend}
    return {**found, "loss": SoftmaxCrossEntropy(), **more}


def _same(what: str, one: Result, two: Result) -> None:
    """Raise unless both runs end with the same bits in every buffer, at the same place."""
    for name, array in one.checkpoint.state.items():
        equal(f"{what}: {name}", two.checkpoint.state[name], array)
    for name, array in one.network.parameters.items():
        equal(f"{what}: {name}", two.network.parameters[name], array)
    if one.checkpoint.position != two.checkpoint.position:
        raise Mismatch(f"{what}: {one.checkpoint.position} and {two.checkpoint.position}")
    equal(f"{what}: last loss", two.metrics["loss"], one.metrics["loss"])


@checking(CHECKS, "run/same seed, same bits")
def same_seed(backend: Backend) -> None:
    """Two runs are equal to the last bit; another seed of the run gives another one."""
    if not backend.capabilities.deterministic:
        return
    once, again = (
        fit(_network(), _data(), epochs=2, progress=False, **_options(backend)) for _ in "ab"
    )
    _same("the second run", once, again)
    other = fit(_network(), _data(), epochs=2, progress=False, **_options(backend, seed=10))
    if np.array_equal(
        other.network.parameters["out.weights"], once.network.parameters["out.weights"]
    ):
        raise Mismatch("another seed gives the same weights")


@checking(CHECKS, "run/resumed equals uninterrupted")
def resumed(backend: Backend) -> None:
    """Stopped after an epoch and in the middle of one, written, read and resumed: the same bits."""
    if not backend.capabilities.deterministic:
        return
    options = _options(backend)
    whole = fit(_network(), _data(), epochs=3, progress=False, **options)
    for steps in (6, 9):  # an epoch has six steps
        run = train(_network(), _data(), epochs=3, every=1, **options)
        last = next(r for r in run if r["step"] == steps)
        with tempfile.TemporaryDirectory() as folder:
            save_checkpoint(folder, last["checkpoint"])
            rest = fit(_network(), _data(), epochs=3, resume=folder, progress=False, **options)
        _same(f"resumed at step {steps}", whole, rest)


@checking(CHECKS, "run/save and load")
def save_and_load(backend: Backend) -> None:
    """The network that is read scores as the one that was written, and not as the untrained one."""
    data = _data()
    trained = fit(_network(), data, epochs=3, progress=False, **_options(backend))
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "run", trained.checkpoint)
        read = load_checkpoint(Path(folder) / "run").network
    if read != trained.network:
        raise Mismatch("the description that was read is not the one that was written")
    for name, array in trained.network.parameters.items():
        equal(f"{name}, read", read.parameters[name], array)
    score, before = (
        evaluate(n, data, loss=SoftmaxCrossEntropy(), backend=backend) for n in (read, _network())
    )
    wanted = evaluate(trained.network, data, loss=SoftmaxCrossEntropy(), backend=backend)
    equal("loss of the network that was read", score["loss"], wanted["loss"])
    if not score["loss"] < 0.95 * before["loss"]:
        raise Mismatch(f"the loss is {score['loss']}, before training {before['loss']}")
    outputs = (predict(n, data["x"], backend=backend) for n in (read, trained.network))
    equal("predictions", *outputs)


@checking(CHECKS, "run/several inferences", needs=("float32",))
def several_inferences(backend: Backend) -> None:
    """Nine executables of one network, run in turn over one memory, give the same numbers."""
    from cortex.executables import inference

    data = _data(5)["x"]
    first = inference(_network(), batch_size=5, backend=backend)
    rest = [
        inference(_network(), batch_size=5, backend=backend, memory=first.memory) for _ in range(8)
    ]
    for made in (first, *rest):
        made.write("x", data)
    for made in (first, *rest):
        made.run()
    for number, made in enumerate(rest, 2):
        equal(f"executable {number}", made.read("out"), first.read("out"))


def _reference_adam(network: Network, data: Any, epochs: int) -> tuple[np.ndarray, np.ndarray]:
    """Logistic regression by Adam in plain NumPy, the state kept from batch to batch."""
    w, b = (network.parameters[f"out.{n}"].copy() for n in ("weights", "bias"))
    moments = [[np.zeros_like(p), np.zeros_like(p)] for p in (w, b)]
    batches = (
        batch
        for epoch in range(epochs)
        for batch in as_dataset(data).batches(5, seed=3, epoch=epoch)
    )
    for t, rows in enumerate(batches, 1):
        x, labels = rows["x"], rows["label"]
        z = x @ w.T + b
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        p[np.arange(len(labels)), labels] -= 1
        for (m, v), array, g in zip(moments, (w, b), (p.T @ x / len(x), p.mean(0)), strict=True):
            m[...] = 0.9 * m + 0.1 * g
            v[...] = 0.999 * v + 0.001 * g * g
            array -= 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w, b


@checking(CHECKS, "run/adam over three epochs", needs=("float64",))
def adam_in_the_loop(backend: Backend) -> None:
    """The state of the optimiser lives from batch to batch and from epoch to epoch."""
    generator = np.random.default_rng(2)
    data = {"x": generator.normal(size=(17, 3)), "label": generator.integers(0, 3, 17)}
    network = Network([("x", Input(3)), ("out", Linear(3))], seed=2, dtype="float64")
    options = _options(backend, batch_size=5, seed=3)
    found = fit(network, data, epochs=3, progress=False, **options)
    w, b = _reference_adam(network, data, 3)
    close("weights", found.network.parameters["out.weights"], w, 1e-11)
    close("bias", found.network.parameters["out.bias"], b, 1e-11)
    equal("steps of the optimiser", found.checkpoint.state["optimiser.num_steps"], 12.0)


@checking(CHECKS, "run/records do not disturb")
def records(backend: Backend) -> None:
    """Reading networks and states along the way changes nothing of the run."""
    quiet = fit(_network(), _data(), epochs=2, progress=False, **_options(backend))
    weights = []
    for record in train(_network(), _data(), epochs=2, every=1, **_options(backend)):
        weights.append(record["network"].parameters["out.weights"])
        _ = record["state"], record["checkpoint"]
        final = record["network"]
    equal(
        "the last weights", final.parameters["out.weights"], quiet.network.parameters["out.weights"]
    )
    for one, two in zip(weights, islice(weights, 1, 5), strict=False):
        if np.array_equal(one, two):
            raise Mismatch("the weights of two steps are the same")
