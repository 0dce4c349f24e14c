"""Training: every example counts, records tell the truth, rules end runs, Adam keeps its state."""

from __future__ import annotations

import math

import numpy as np
import pytest

import cortex
from cortex import datasets, layers, stopping
from cortex.compute.errors import DescriptionError
from cortex.losses import MeanSquaredError, SoftmaxCrossEntropy
from cortex.optimise.optimisers import Adam, Sgd
from cortex.training.session import Session

RNG = np.random.default_rng(5)
X = RNG.normal(size=(17, 3)).astype(np.float32)
Y = (X @ np.array([[1.0], [-2.0], [0.5]], np.float32) + 0.3).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)


def regression() -> cortex.Network:
    return cortex.Network(
        [("x", layers.Input(3)), layers.Linear(4), layers.Tanh(), layers.Linear(1)], seed=1
    )


def classifier() -> cortex.Network:
    return cortex.Network(
        [("x", layers.Input(3)), layers.Linear(8), layers.Relu(), layers.Linear(3)], seed=1
    )


@pytest.mark.parametrize("on", ["numpy", "cpu"])
def test_seventeen_examples_in_batches_of_five(on: str) -> None:
    """All of them are trained on, and the mean loss of an epoch is the mean over examples, not over batches."""
    data = {"x": X, "target": Y}
    sizes = []
    original = Session.train_on

    def watched(self: Session, size: int, batch: dict) -> None:
        assert len(batch["x"]) == size
        sizes.append(size)
        original(self, size, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "train_on", watched)
        (record,) = cortex.train(
            regression(), data, epochs=1, batch_size=5, optimiser=Sgd(1e-30), backend=on, every=100
        )
    assert sizes == [5, 5, 5, 2]
    assert record["examples"] == 17 and record["step"] == 4 and record["batches"] == 4
    output = cortex.predict(regression(), {"x": X}, batch_size=5, backend=on)
    assert output.shape == (17, 1)
    assert record["loss"] == pytest.approx(float(((output - Y) ** 2).mean()), rel=1e-5)


def test_predictions_do_not_depend_on_the_batch_size() -> None:
    network = classifier()
    whole = cortex.predict(network, {"x": X}, batch_size=17)
    for size in (1, 5, 16, 64):
        found = cortex.predict(network, {"x": X}, batch_size=size)
        np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-6)


def reference_adam(epochs: int, batch: int) -> list[np.ndarray]:
    """Logistic regression by Adam in plain NumPy, in the order in which `train` takes the examples."""
    network = softmax_regression()
    w, b = (network.parameters[f"linear1.{n}"].astype(np.float64) for n in ("weights", "bias"))
    moments = [[np.zeros_like(p), np.zeros_like(p)] for p in (w, b)]
    t = 0
    data = datasets.as_dataset({"x": X.astype(np.float64), "label": LABELS})
    for epoch in range(epochs):
        for rows in data.batches(batch, seed=3, epoch=epoch):
            x, labels = rows["x"], rows["label"]
            z = x @ w.T + b
            p = np.exp(z - z.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            p[np.arange(len(labels)), labels] -= 1
            t += 1
            for k, g in enumerate((p.T @ x / len(x), p.sum(0) / len(x))):
                m, v = moments[k]
                m[...] = 0.9 * m + 0.1 * g
                v[...] = 0.999 * v + 0.001 * g * g
                step = 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
                (w, b)[k][...] -= step
    return [w, b]


def softmax_regression() -> cortex.Network:
    return cortex.Network(
        [("x", layers.Input(3, dtype="float64")), layers.Linear(3)], seed=2, dtype="float64"
    )


@pytest.mark.parametrize("on", ["numpy", "cpu"])
def test_adam_keeps_its_state_over_three_epochs(on: str) -> None:
    """The original threw the optimiser's state away after every batch; its bias correction stayed at t = 1."""
    result = cortex.fit(
        softmax_regression(), {"x": X.astype(np.float64), "label": LABELS}, epochs=3, batch_size=5,
        optimiser=Adam(0.01), seed=3, backend=on, progress=False,
    )  # fmt: skip
    w, b = reference_adam(3, 5)
    np.testing.assert_allclose(result.network.parameters["linear1.weights"], w, rtol=1e-11)
    np.testing.assert_allclose(result.network.parameters["linear1.bias"], b, rtol=1e-11, atol=1e-14)


def test_records_are_lazy_and_say_so_when_read_too_late() -> None:
    records = cortex.train(classifier(), {"x": X, "label": LABELS}, epochs=2, batch_size=5, every=1)
    first = next(records)
    assert not first.realised("network") and not first.realised("state")
    weights = first["network"].parameters["linear1.weights"]
    assert first.realised("network")
    second = next(records)
    assert not np.array_equal(weights, second["network"].parameters["linear1.weights"])
    third = next(records)
    next(records)
    with pytest.raises(RuntimeError, match="of step 3, training is at step 4"):
        third["network"].parameters  # noqa: B018 - reading is the point


def test_integer_labels_are_classes_and_are_counted() -> None:
    data = {"x": np.repeat(X, 20, 0), "label": np.repeat(LABELS, 20)}
    result = cortex.fit(
        classifier(),
        data,
        test=data,
        epochs=20,
        batch_size=20,
        progress=False,
        optimiser=Adam(0.02),
    )
    assert result.metrics["accuracy"] > 0.95
    assert result.metrics["test_accuracy"] > 0.95
    logits = cortex.predict(result.network, {"x": data["x"]})
    assert (logits.argmax(1) == data["label"]).mean() == pytest.approx(
        result.metrics["test_accuracy"]
    )
    found = cortex.evaluate(result.network, data, loss=SoftmaxCrossEntropy(), batch_size=7)
    assert found["accuracy"] == pytest.approx(result.metrics["test_accuracy"])
    assert found["loss"] == pytest.approx(result.metrics["test_loss"], rel=1e-5)


def test_sample_weights_of_zero_leave_examples_out() -> None:
    weight = (np.arange(17) < 10).astype(np.float32)
    options = {
        "epochs": 3,
        "batch_size": 17,
        "optimiser": Sgd(0.1),
        "progress": False,
        "loss": MeanSquaredError(),
    }
    wrong = np.where(weight[:, None] > 0, Y, 1000).astype(np.float32)
    a = cortex.fit(regression(), {"x": X, "target": wrong, "sample_weight": weight}, **options)
    b = cortex.fit(regression(), {"x": X, "target": Y, "sample_weight": weight}, **options)
    for name, array in a.network.parameters.items():
        np.testing.assert_array_equal(array, b.network.parameters[name])


@pytest.mark.parametrize(
    ("rule", "reason", "steps"),
    [
        (stopping.steps(6), stopping.Reason.STEPS, 6),
        (stopping.epochs(2), stopping.Reason.EPOCHS, 8),
        (stopping.seconds(0.0), stopping.Reason.TIME, 1),
        (stopping.target("loss", 1e9), stopping.Reason.TARGET, 1),
        (stopping.plateau("loss", patience=3, least=1e9), stopping.Reason.PLATEAU, 4),
        (stopping.any_of(stopping.steps(5), stopping.epochs(1)), stopping.Reason.EPOCHS, 4),
        (stopping.all_of(stopping.steps(5), stopping.epochs(1)), stopping.Reason.EPOCHS, 5),
    ],
)
def test_rules_end_a_run_with_a_reason(
    rule: stopping.RuleFactory, reason: stopping.Reason, steps: int
) -> None:
    data = {"x": X, "target": Y}
    *_, last = cortex.train(regression(), data, batch_size=5, every=1, stop=rule)
    assert last["reason"] is reason
    assert last["step"] == steps
    assert reason.value.endswith(".")


def test_a_loss_that_is_not_finite_ends_the_run() -> None:
    bad = Y.copy()
    result = cortex.fit(
        regression(), {"x": X * 1e25, "target": bad}, optimiser=Sgd(1e20), epochs=50, progress=False
    )
    assert result.reason is stopping.Reason.NOT_FINITE
    assert not math.isfinite(result.history[-1]["loss"])


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ({"x": X, "label": LABELS}, {"batch_size": 0}, "batch_size must be at least 1, given 0"),
        ({"x": X, "label": LABELS}, {"epochs": 0}, "epochs must be at least 1, given 0"),
        ({"x": X[:0], "label": LABELS[:0]}, {}, "the data set is empty"),
        ({"x": X}, {}, "no target: expected a column named label, target, y"),
        (
            {"x": X, "label": LABELS},
            {"target": "labels"},
            "target column 'labels' is missing; did you mean 'label'",
        ),
        ({"a": X, "b": X, "label": LABELS}, {}, "input 'x' has no column"),
    ],
)
def test_arguments_that_do_not_fit_are_named(data: dict, options: dict, message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        next(cortex.train(classifier(), data, **options))


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(DescriptionError) as caught:
        next(
            cortex.train(classifier(), {"x": X[:0], "label": LABELS[:0]}, batch_size=-1, epochs=-1)
        )
    assert len(caught.value.problems) == 3
