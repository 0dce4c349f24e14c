"""From one end of the house to the other: what a user builds, trains, stores and loads again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cortex
from cortex import layers, losses, models, node
from cortex.compute import math as m
from cortex.compute.cpu.native import native
from cortex.initialisers import Constant, He, Orthogonal
from cortex.network import Network, column, constant
from cortex.optimise.optimisers import Adam, Sgd
from cortex.protocols import Parameter
from cortex.verify.digits import small_network
from cortex.verify.rows import ROWS

RNG = np.random.default_rng(21)
X = RNG.normal(size=(90, 4)).astype(np.float32)
LABEL = ((X[:, 0] * X[:, 1] > 0).astype(np.int64) + (X[:, 2] > 0.7)).astype(np.int64)
DATA = {"x": X, "label": LABEL}
BACKENDS = ["numpy", "cpu"]
every_backend = pytest.mark.parametrize("on", BACKENDS)


def learns(network: Network, on: str, optimiser: Any, epochs: int = 30, **options: Any) -> Any:
    """The result of a training that must take the loss below a half and the accuracy above .9."""
    before = cortex.evaluate(network, DATA, backend=on, loss=options.get("loss"))
    result = cortex.fit(
        network,
        DATA,
        epochs=epochs,
        batch_size=15,
        optimiser=optimiser,
        backend=on,
        progress=False,
        **options,
    )
    after = cortex.evaluate(result.network, DATA, backend=on, loss=options.get("loss"))
    assert after["loss"] < 0.5 * before["loss"]
    assert after["accuracy"] > 0.9
    return result


# What a user writes


def bump(x: Any) -> Any:
    """exp(-x^2) + x / 10: an activation that nobody has in a table."""
    return m.exp(-x * x) + 0.1 * x


layers.register_function("whole.bump", bump)


def with_activation(function: Any) -> Network:
    return Network(
        [("x", layers.Input(4)), layers.Linear(24), layers.Activation(function), layers.Linear(3)],
        seed=3,
    )


@every_backend
def test_a_users_own_activation_trains_and_is_stored(on: str, tmp_path: Path) -> None:
    network = with_activation(bump)
    columns = {"x": X[:7], "label": LABEL[:7]}
    loss = losses.SoftmaxCrossEntropy()
    found = cortex.gradient_check(network, columns, loss=loss, backend=on)
    assert set(found) == {"x", *network.parameters} and all(c.error < 1e-6 for c in found.values())
    result = learns(network, on, Adam(0.02))
    cortex.save_checkpoint(tmp_path, result.checkpoint)
    again = cortex.load_checkpoint(tmp_path).network
    assert again == network == with_activation("whole.bump")
    np.testing.assert_array_equal(
        cortex.predict(again, X, backend=on), cortex.predict(result.network, X, backend=on)
    )


def test_a_users_own_activation_is_compiled_as_the_built_in_ones_are() -> None:
    """The map that holds it has the provider of one that holds tanh, and with the engine none is Python."""

    def providers(function: Any) -> list[str]:
        step = cortex.training_step(
            with_activation(function), optimiser=Sgd(), batch_size=64, backend="cpu"
        )
        return [s.provider for s in step.report.steps if "activation1" in s.label.split("/")]

    own, known = providers(bump), providers("tanh")
    assert own and set(own) <= {"native", "numba"} | set(known)
    if native() is not None:
        assert not any("numpy" in p or "python" in p for p in own)


@dataclass(frozen=True)
class Relaxed:
    """Two averages of the gradient at different speeds, and a step that shrinks: nobody's optimiser."""

    step_size: float = 0.05
    fast: float = 0.5
    slow: float = 0.9

    def initialise(self, count: int) -> dict[str, np.ndarray]:
        return {"a": np.zeros(count), "b": np.zeros(count), "num_steps": np.zeros(())}

    def update(self, state: Mapping[str, Any], parameters: Any, gradient: Any) -> Any:
        t = state["num_steps"] + 1
        a = self.fast * state["a"] + (1 - self.fast) * gradient
        b = self.slow * state["b"] + (1 - self.slow) * gradient * gradient
        step = self.step_size / m.sqrt(t) * a / (m.sqrt(b) + 1e-3)
        return parameters - step, {"a": a, "b": b, "num_steps": t}


@every_backend
def test_a_users_own_optimiser_trains_and_resumes(on: str) -> None:
    network = with_activation("tanh")
    learns(network, on, Relaxed(0.2), epochs=60)
    options = {"batch_size": 15, "optimiser": Relaxed(), "backend": on, "progress": False}
    whole = cortex.fit(network, DATA, epochs=3, **options)
    part = cortex.fit(network, DATA, epochs=1, **options)
    rest = cortex.fit(network, DATA, epochs=3, resume=part.checkpoint, **options)
    for name, array in whole.network.parameters.items():
        np.testing.assert_array_equal(rest.network.parameters[name], array)


@every_backend
def test_a_users_own_optimiser_is_the_same_in_a_network_and_alone(on: str) -> None:
    """Three steps of a network in float64 beside three eager ones on its gradients."""
    network = Network([("x", layers.Input(4)), ("out", layers.Linear(2))], seed=1, dtype="float64")
    columns = {"x": X.astype(np.float64)[:9], "label": RNG.normal(size=(9, 2))}
    step = cortex.training_step(network, optimiser=Relaxed(), batch_size=9, backend=on)
    slopes = cortex.gradients(
        network,
        wrt=["out.weights", "out.bias"],
        of="loss",
        batch_size=9,
        backend=on,
        memory=step.memory,
    )
    for made in (step, slopes):
        for name, array in columns.items():
            made.write(name, array)
    flat = np.concatenate([network.parameters[f"out.{n}"].ravel() for n in ("weights", "bias")])
    state: Any = Relaxed().initialise(flat.size)
    for _ in range(3):
        slopes.run()
        g = np.concatenate([slopes.read(f"gradient.out.{n}").ravel() for n in ("weights", "bias")])
        flat, state = Relaxed().update(state, flat, g)
        step.run()
        now = np.concatenate([step.read(f"out.{n}").ravel() for n in ("weights", "bias")])
        np.testing.assert_allclose(now, flat, rtol=1e-12, atol=1e-14)


@layers.register
@dataclass(frozen=True)
class WholeGate(layers.Base):
    """A user's layer: x times the logistic function of a trained row."""

    sharpness: float = 1.0

    def parameters(self, *inputs: Any) -> dict[str, Parameter]:
        return {"row": Parameter(self.one(inputs, 2).shape[1:], Constant(0.5))}

    def forward(self, build: Any, x: Any, *, row: Any) -> Any:
        return build.map(lambda x, r: x * m.logistic(self.sharpness * r), x, row)


def cubic(o: Any, t: Any) -> Any:
    return m.absolute(o - t) * (o - t) * (o - t)


layers.register_function("whole.cubic", cubic)


@every_backend
def test_a_users_own_layer_and_loss_train(on: str) -> None:
    items = [
        ("x", layers.Input(4)),
        WholeGate(2.0),
        layers.Linear(16),
        layers.Tanh(),
        ("out", layers.Linear(1)),
    ]
    network = Network(items, seed=2)
    assert Network.from_data(json.loads(json.dumps(network.to_data()))) == network
    loss = losses.Elementwise("whole.cubic")  # type: ignore[arg-type]
    target = np.sin(X[:, :1])
    found = cortex.gradient_check(network, {"x": X[:5], "label": target[:5]}, loss=loss, backend=on)
    assert "whole_gate1.row" in found
    result = cortex.fit(
        network, {"x": X, "target": target}, epochs=40, batch_size=30, loss=loss, optimiser=Adam(0.02), backend=on,
        progress=False,
    )  # fmt: skip
    assert result.metrics["loss"] < 0.2 * result.history[0]["loss"]
    gate = "whole_gate1.row"
    assert not np.array_equal(result.network.parameters[gate], network.parameters[gate])


# A graph with two inputs and two outputs


def two_by_two() -> Network:
    return Network(
        [
            ("left", layers.Input(4)),
            ("right", layers.Input(2)),
            node(layers.Linear(6), "a", "left"),
            node(layers.Tanh(), "at", "a"),
            node(layers.Linear(6), "b", "right"),
            node(layers.Join("*"), "joined", ["at", "b"]),
            node(layers.Concatenate(), "all", ["joined", "left"]),
            node(layers.Linear(3), "classes", "all", l2=0.01),
            node(layers.Linear(1), "amount", "all"),
        ],
        seed=6,
    )


SIDE = RNG.normal(size=(90, 2)).astype(np.float32)
KIND = (X[:, 0] + SIDE[:, 1] > 0).astype(np.int64) + (X[:, 2] > 0.5)
BOTH = {
    "left": X,
    "right": SIDE,
    "kind": KIND,
    "size": (X[:, :1] * SIDE[:, :1] - 0.3 * X[:, 2:3]).astype(np.float32),
}
AIM: dict[str, Any] = {
    "loss": {"classes": losses.SoftmaxCrossEntropy(), "amount": (losses.MeanSquaredError(), 0.25)},
    "target": {"classes": "kind", "amount": "size"},
}


@every_backend
def test_two_inputs_and_two_outputs_with_weighted_losses(on: str) -> None:
    network = two_by_two()
    assert network.outputs == ("classes", "amount")
    few = {n: a[:7] for n, a in BOTH.items()}
    found = cortex.gradient_check(network, few, **AIM, backend=on)
    assert set(found) == {"left", "right", *network.parameters}
    assert max(c.error for c in found.values()) < 1e-6
    result = cortex.fit(
        network,
        BOTH,
        epochs=80,
        batch_size=17,
        optimiser=Adam(0.02),
        backend=on,
        progress=False,
        seed=1,
        **AIM,
    )
    outputs = cortex.predict(
        result.network, {n: BOTH[n] for n in ("left", "right")}, batch_size=13, backend=on
    )
    assert isinstance(outputs, dict) and {n: a.shape for n, a in outputs.items()} == {
        "classes": (90, 3), "amount": (90, 1),
    }  # fmt: skip
    assert (outputs["classes"].argmax(1) == KIND).mean() > 0.9
    assert ((outputs["amount"] - BOTH["size"]) ** 2).mean() < 0.1 * BOTH["size"].var()


@every_backend
def test_the_loss_is_the_weighted_sum_of_its_parts(on: str) -> None:
    network = two_by_two().with_dtype("float64")
    judge = cortex.evaluation(network, batch_size=90, **AIM, backend=on)
    for name, array in BOTH.items():
        judge.write(name, array)
    judge.run()
    logits, amount = judge.read("classes"), judge.read("amount")
    z = logits - logits.max(1, keepdims=True)
    entropy = (np.log(np.exp(z).sum(1)) - z[np.arange(90), KIND]).mean()
    square = ((amount - BOTH["size"]) ** 2).mean()
    penalty = 0.005 * (network.parameters["classes.weights"] ** 2).sum()
    parts = [judge.read(n) for n in ("loss.classes", "loss.amount", "loss.penalty")]
    np.testing.assert_allclose(parts, [entropy, square, penalty], rtol=1e-12)
    assert judge.read("loss") == pytest.approx(entropy + 0.25 * square + penalty, rel=1e-12)


@every_backend
def test_a_loss_on_an_inner_node_is_trained_and_the_accuracy_is_that_of_the_output(on: str) -> None:
    """Centre loss on features: `fit` reports the accuracy of the only output, as `evaluate` does."""
    network = Network(
        [
            ("x", layers.Input(4)),
            layers.Linear(8),
            ("features", layers.Tanh()),
            ("out", layers.Linear(3)),
        ],
        seed=2,
    )
    loss = {"out": losses.SoftmaxCrossEntropy(), "features": (losses.CentreLoss(3), 0.05)}
    target = {"out": "label", "features": "label"}
    result = cortex.fit(
        network, DATA, test=DATA, epochs=20, batch_size=20, optimiser=Adam(0.03), loss=loss, target=target, backend=on,
        progress=False,
    )  # fmt: skip
    guesses = np.asarray(cortex.predict(result.network, X, backend=on)).argmax(1)
    assert result.metrics["test_accuracy"] == pytest.approx((guesses == LABEL).mean())
    assert result.metrics["accuracy"] > 0.7
    centres = result.checkpoint.state["loss.features.centres"]
    assert np.abs(centres).min() > 0


# Descriptions and weights


def zoo() -> dict[str, Callable[[], Network]]:
    """Networks that use what descriptions can say: every layer, nesting, sharing, binding, attributes."""
    found: dict[str, Callable[[], Network]] = {name: make for name, make in models.MODELS.items()}
    found |= {"small": small_network, "two by two": two_by_two}
    for number, row in enumerate(ROWS):
        found[f"{number} {row.name}"] = lambda row=row: row.network("float32", slopes=True)

    def shared() -> Network:
        return Network(
            [
                ("x", layers.Input(5)),
                node(layers.Linear(5), "a", initialiser=Orthogonal(), max_norm=2.0, l1=0.001),
                node(
                    layers.Linear(5), "b", bindings={"weights": "a.weights", "bias": constant(0.5)}
                ),
                node(
                    layers.Linear(5),
                    "c",
                    parameters={"bias": {"frozen": True, "initialiser": Constant(0.1)}},
                ),
            ],
            seed=2**63,
            dtype="float64",
        )

    def hyper() -> Network:
        items: list[Any] = [
            ("x", layers.Input(3)),
            node(
                layers.Linear(6), "made", [constant([[1.0, 2.0, -1.0]])], learning_rate_factor=0.5
            ),
            node(
                layers.Linear(2), "out", "x", bindings={"weights": "made", "bias": column("shift")}
            ),
        ]
        return Network(items)

    def nested() -> Network:
        block = [layers.Linear(6, initialiser=He()), layers.BatchNormalisation(), layers.Relu()]
        inner = Network(
            [("z", layers.Input(6)), layers.Residual((layers.Linear(6), layers.Tanh()))]
        )
        return Network(
            [("x", layers.Input(4)), ("one", block), ("two", inner), ("out", layers.Linear(2))]
        ).freeze("one/linear1")

    def split() -> Network:
        return Network(
            [
                ("x", layers.Input(6)),
                ("cut", layers.Split((2, 4))),
                node(layers.Linear(3), "p", "cut:0"),
                node(layers.Linear(3), "q", "cut:1"),
            ],
            outputs=["q", "cut:0", "p"],
        )

    return {**found, "shared": shared, "hyper": hyper, "nested": nested, "split": split}


ZOO = zoo()


@pytest.mark.parametrize("name", ZOO)
def test_description_to_json_and_back(name: str) -> None:
    network = ZOO[name]()
    data = network.to_data()
    again = Network.from_data(json.loads(json.dumps(data, allow_nan=False)))
    assert again == network and again.to_data() == data
    assert again.specs == network.specs and again.parameter_specs == network.parameter_specs
    assert again.outputs == network.outputs and again.inputs == network.inputs
    fresh = Network.from_data(
        data
    ).parameters  # drawn from the seed alone, so they are the same too
    if name in models.MODELS or name in ("shared", "hyper", "nested", "split", "small"):
        for parameter, array in network.parameters.items():
            np.testing.assert_array_equal(fresh[parameter], array)


SCRIPT = """
import sys, numpy as np, cortex
folder, on = sys.argv[1:]
network = cortex.load_checkpoint(folder).network
columns = dict(np.load(folder + "/columns.npz"))
found = cortex.predict(network, columns, batch_size=4, backend=on)
found = found if isinstance(found, dict) else {network.outputs[0]: found}
np.savez(folder + "/found.npz", **{k.replace(":", "_"): v for k, v in found.items()})
"""


@every_backend
@pytest.mark.parametrize("name", ["two by two", "nested", "lenet_normalised"])
def test_another_process_predicts_the_same_bits(name: str, on: str, tmp_path: Path) -> None:
    """Trained for a step or two, so that weights, statistics and moments are no first draws."""
    network, generator = ZOO[name](), np.random.default_rng(1)
    columns = {
        n: generator.integers(0, 256, (9, *s.shape)).astype(np.uint8)
        if s.dtype == "uint8"
        else generator.normal(size=(9, *s.shape)).astype(np.float32)
        for n, s in network.inputs.items()
    }
    targets = {
        f"t{i}": generator.normal(size=(9, *network.specs[o].shape))
        for i, o in enumerate(network.outputs)
    }
    aim: Any = {
        "loss": {o: losses.MeanSquaredError() for o in network.outputs},
        "target": {o: f"t{i}" for i, o in enumerate(network.outputs)},
    }
    result = cortex.fit(
        network,
        {**columns, **targets},
        epochs=2,
        batch_size=5,
        backend=on,
        progress=False,
        checkpoint=tmp_path,
        **aim,
    )
    np.savez(tmp_path / "columns.npz", **columns)
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path), on], check=True)
    here = cortex.predict(result.network, columns, batch_size=4, backend=on)
    here = here if isinstance(here, dict) else {network.outputs[0]: here}
    with np.load(tmp_path / "found.npz") as there:
        for output, array in here.items():
            np.testing.assert_array_equal(there[output.replace(":", "_")], array)
            assert np.isfinite(array).all() and array.std() > 0


def test_both_backends_train_to_the_same_network() -> None:
    """Twenty steps with dropout and statistics: the same numbers but for rounding."""
    items = [
        ("x", layers.Input(4)), layers.Linear(12, bias=False), layers.BatchNormalisation(), layers.Relu(),
        layers.Dropout(0.2),
        layers.Linear(3),
    ]  # fmt: skip
    network = Network(items, seed=8, dtype="float64")
    data = {"x": X.astype(np.float64), "label": LABEL}
    one, two = (
        cortex.fit(
            network,
            data,
            epochs=4,
            batch_size=18,
            optimiser=Adam(0.01),
            backend=on,
            progress=False,
            seed=5,
        )
        for on in BACKENDS
    )
    for name, array in one.network.parameters.items():
        np.testing.assert_allclose(
            two.network.parameters[name], array, rtol=1e-9, atol=1e-11, err_msg=name
        )
