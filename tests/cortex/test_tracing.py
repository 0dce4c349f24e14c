"""Traced programs against differences and by hand: losses, penalties, sharing, metrics, layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stepping import LABELS, RNG, X, Y, chain, gradient, run, step, trained_like

from cortex import layers as L
from cortex.executables import evaluation
from cortex.losses import CategoricalCrossEntropy, MeanAbsoluteError, MeanSquaredError
from cortex.network import Network, column, constant, node
from cortex.optimise.optimisers import Sgd
from cortex.parameters import ALIGNMENT, layout


def differences(network: Network, columns: dict[str, Any], name: str, **options: Any) -> np.ndarray:
    """The gradient of the loss by central differences of an evaluation."""
    made = evaluation(network, batch_size=6, backend="numpy", **options)
    run(made, **columns)
    start, found, h = network.parameters[name], np.empty(network.parameter_specs[name].shape), 1e-5
    for i in np.ndindex(*start.shape):
        value = []
        for sign in (1, -1):
            moved = start.copy()
            moved[i] += sign * h
            made.write(name, moved)
            made.run()
            value.append(float(made.read("loss")))
        found[i] = (value[0] - value[1]) / (2 * h)
    return found


def check(network: Network, columns: dict[str, Any], **options: Any) -> None:
    for name, g in gradient(network, columns, **options).items():
        expected = differences(network, columns, name, **options)
        assert np.abs(g - expected).max() < 1e-7 * max(1.0, np.abs(expected).max()), name


CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "softmax": (lambda: chain(L.Linear(4), L.Tanh(), L.Linear(3), L.Softmax()), {"x": X, "label": LABELS}, {}),
    "regression": (lambda: chain(L.Linear(4), L.Softplus(), L.Linear(2)), {"x": X, "label": Y}, {}),
    "penalties": (
        lambda: chain(node(L.Linear(4), l1=0.1, l2=0.3), L.Tanh(), node(L.Linear(2), parameters={"bias": {"l2": 0.7}})),
        {"x": X, "label": Y},
        {},
    ),
    "shared": (
        lambda: chain(
            ("a", L.Linear(5)), L.Tanh(), node(L.Linear(5), "b", bindings={"weights": "a.weights"}), L.Linear(2)
        ),
        {"x": X, "label": Y},
        {},
    ),
    "hypernetwork": (
        lambda: chain(
            node(L.Linear(4), "code", parents=constant([0.3, -0.7])), L.Tanh(), ("weights", L.Linear(10)),
            node(L.Linear(2), "main", "x", bindings={"weights": "weights"}),
        ),
        {"x": X, "label": Y},
        {},
    ),
    "network that reads its own weights": (
        lambda: chain(
            ("a", L.Linear(4)), node(L.Linear(4), "b", "a.weights"), L.Tanh(),
            node(L.Linear(2), "c", "a", bindings={"bias": "d"}), node(L.Linear(2), "d", "tanh1"),
        ),
        {"x": X, "label": Y},
        {},
    ),
    "column": (
        lambda: chain(L.Linear(4), L.Tanh(), node(L.Linear(2), bindings={"weights": column("w")})),
        {"x": X, "label": Y, "w": RNG.normal(size=(2, 4))},
        {},
    ),
    "several outputs": (
        lambda: trained_like(
            Network(
                [("x", L.Input(5)), ("t", L.Linear(4)), L.Tanh(), ("a", L.Linear(2)),
                 node(L.Linear(3), "l", "tanh1"), ("b", L.Softmax())]
            )
        ),
        {"x": X, "label": LABELS, "y": Y, "sample_weight": RNG.uniform(0.1, 2, 6)},
        {"loss": {"a": (MeanSquaredError(), 0.25), "b": (CategoricalCrossEntropy(), 2.0)},
         "target": {"a": "y", "b": "label"}, "sample_weight": True},
    ),
    "convolution": (
        lambda: trained_like(
            Network(
                [("x", L.Input(2, 6, 5)), L.Convolution(3, 3), L.Tanh(), L.AveragePooling(2), L.Linear(3), L.Softmax()]
            )
        ),
        {"x": RNG.normal(size=(6, 2, 6, 5)), "label": LABELS},
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_differences(case: str) -> None:
    make, columns, options = CASES[case]
    check(make(), columns, **options)


def test_the_gradient_of_a_shared_parameter_is_the_sum() -> None:
    shared = CASES["shared"][0]()
    apart = trained_like(
        Network([("x", L.Input(5)), ("a", L.Linear(5)), L.Tanh(), ("b", L.Linear(5)), L.Linear(2)])
    ).with_parameters({**shared.parameters, "b.weights": shared.parameters["a.weights"]})
    columns = {"x": X, "label": Y}
    one, two = gradient(shared, columns), gradient(apart, columns)
    np.testing.assert_allclose(one["a.weights"], two["a.weights"] + two["b.weights"], rtol=1e-12)


def test_losses_by_hand() -> None:
    network, columns, options = CASES["several outputs"][0](), *CASES["several outputs"][1:]
    made = run(evaluation(network, batch_size=6, backend="numpy", **options), **columns)
    p, w = network.parameters, columns["sample_weight"]
    h = np.tanh(X @ p["t.weights"].T + p["t.bias"])
    a, z = h @ p["a.weights"].T + p["a.bias"], h @ p["l.weights"].T + p["l.bias"]
    squares = (w * ((a - Y) ** 2).mean(1)).sum() / w.sum()
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    entropy = (w * -log_p[np.arange(6), LABELS]).sum() / w.sum()
    assert made.read("loss.a") == pytest.approx(squares, rel=1e-12)
    assert made.read("loss.b") == pytest.approx(entropy, rel=1e-12)
    assert made.read("loss") == pytest.approx(0.25 * squares + 2 * entropy, rel=1e-12)
    np.testing.assert_allclose(made.read("b"), np.exp(log_p), rtol=1e-12)


def test_penalty_is_a_part_of_the_loss() -> None:
    network = CASES["penalties"][0]()
    made = run(evaluation(network, batch_size=6, backend="numpy"), x=X, label=Y)
    w, b = network.parameters["linear1.weights"], network.parameters["linear2.bias"]
    penalty = 0.1 * np.abs(w).sum() + 0.15 * (w**2).sum() + 0.35 * (b**2).sum()
    assert made.read("loss.penalty") == pytest.approx(penalty, rel=1e-12)
    assert made.read("loss") == pytest.approx(made.read("loss.linear2") + penalty, rel=1e-12)


def test_l2_gradient_of_zero_data_is_the_weight() -> None:
    network = chain(node(L.Linear(2), l2=0.25))
    zero = network.with_parameters({"linear1.bias": np.zeros(2)})
    g = gradient(zero, {"x": np.zeros((6, 5)), "label": np.zeros((6, 2))})
    np.testing.assert_allclose(
        g["linear1.weights"], 0.25 * zero.parameters["linear1.weights"], rtol=1e-12
    )


def test_metrics_and_totals() -> None:
    network = chain(L.Linear(3), L.Softmax())
    made = step(network, Sgd(0.0), metrics=["correct"], totals=True)
    run(made, 2, x=X, label=LABELS)
    right = (made.read("output").argmax(1) == LABELS).sum()
    assert made.read("metric.correct") == right and made.read("total.metric.correct") == 2 * right
    assert made.read("total.examples") == 12 and made.read("total.loss") == pytest.approx(
        12 * made.read("loss")
    )
    made.write("total.examples", np.zeros(()))
    made.run()
    assert made.read("total.examples") == 6
    weighted = evaluation(
        network, batch_size=6, backend="numpy", sample_weight=True, totals=True,
        metrics={"largest": lambda build, output, target: build.map(lambda o: o * 2.0, build.constant(np.ones(())))},
    )  # fmt: skip
    run(weighted, x=X, label=LABELS, sample_weight=np.full(6, 0.5))
    assert weighted.read("total.examples") == 3 and weighted.read("metric.largest") == 2
    missing = run(step(network, Sgd(0.0), metrics=["correct"]), x=X, label=np.full(6, -1))
    assert missing.read("metric.correct") == 0 and missing.read("loss") == 0


def test_bytes_stay_bytes() -> None:
    network = Network(
        [("image", L.Input(1, 4, 4, dtype="uint8", scale=1 / 255)), L.Linear(3), L.Softmax()]
    )
    made = step(network)
    assert (
        made.program.inputs["image"].dtype == "uint8"
        and made.program.inputs["label"].dtype == "int32"
    )
    image = RNG.integers(0, 256, (6, 1, 4, 4)).astype(np.uint8)
    run(made, image=image, label=LABELS.astype(np.uint8))
    assert np.isfinite(made.read("loss"))


def test_layout() -> None:
    network = chain(
        L.Linear(3), L.BatchNormalisation(), node(L.Linear(4), l2=0.1, parameters={"bias": {"frozen": True}}),
        ("z", L.Linear(2)),
    )  # fmt: skip
    plan = layout(network)
    members = [[s.name for s in g.slots] for g in plan.groups]
    assert members == [
        ["linear1.weights", "linear1.bias", "batch_normalisation1.scale", "batch_normalisation1.bias",
         "z.weights", "z.bias"],
        ["linear2.weights"],
        ["linear2.bias"],
    ]  # fmt: skip
    assert set(plan.statistics) == set(network.statistics)
    for g in plan.groups:
        assert g.size % ALIGNMENT == 0
        ends = 0
        for s in g.slots:
            assert s.offset % ALIGNMENT == 0 and s.offset >= ends
            ends = s.offset + s.size
        assert g.size - ends < ALIGNMENT


def test_mean_absolute_error_has_weights_of_examples() -> None:
    network = chain(L.Linear(2))
    made = step(network, Sgd(0.0), loss=MeanAbsoluteError(), sample_weight=True)
    weights = np.array([1, 0, 0, 2, 0, 0.5])
    run(made, x=X, label=Y, sample_weight=weights)
    error = np.abs(
        X @ network.parameters["linear1.weights"].T + network.parameters["linear1.bias"] - Y
    ).mean(1)
    assert made.read("loss") == pytest.approx((weights * error).sum() / 3.5, rel=1e-12)
