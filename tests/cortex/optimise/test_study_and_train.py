"""The same optimiser value drives a study and a training: the same numbers, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cortex
from cortex import datasets, layers
from cortex.losses import BinaryCrossEntropyWithLogits, MeanSquaredError
from cortex.optimise import Adam, LBfgs, Sgd, functions, optimisers
from cortex.optimise import descent as d
from cortex.optimise import schedules as s
from cortex.stopping import steps

STEPS = 100
GENERATOR = np.random.default_rng(11)
X = GENERATOR.standard_normal((13, 5))
Y = X @ GENERATOR.standard_normal((5, 2)) + [0.3, -0.7] + 0.1 * GENERATOR.standard_normal((13, 2))

ALL = [
    *(optimisers.from_data(name) for name in optimisers.OPTIMISERS.types),
    Sgd(0.05, momentum=0.9, nesterov=True),
    Adam(s.WarmUp(s.Cosine(0.1, 80), 7)),
    optimisers.RmsProp(0.01, momentum=0.5, centred=True),
    optimisers.AdamW(0.05, weight_decay=0.1),
    optimisers.Lion(0.01, weight_decay=0.1),
]


def network() -> cortex.Network:
    """One linear layer, 5 to 2, in float64, far from the minimum.

    Near it RMSProp divides small gradients by small roots: rounding, which differs with the order of the
    shuffled examples, grew to 1.1e-12 there.
    """
    nodes = [("x", layers.Input(5)), ("out", layers.Linear(2))]
    made = cortex.Network(nodes, seed=3, dtype="float64")
    far = made.parameters["out.weights"] + np.where(np.arange(5) % 2, 4.0, -4.0)
    return made.with_parameters({"out.weights": far, "out.bias": np.array([5.0, -5.0])})


def flat(parameters: Any) -> np.ndarray:
    return np.concatenate([parameters["out.weights"].ravel(), parameters["out.bias"]])


def mean_squared_error(params: Any) -> Any:
    """The function that the network and its loss are, of the flat parameters [12]."""
    residuals = X @ params[:10].reshape(2, 5).T + params[10:] - Y
    return np.mean(residuals**2)


@pytest.mark.parametrize("optimiser", ALL, ids=repr)
def test_a_linear_network_follows_the_study_of_its_function(optimiser: Any) -> None:
    start = network()
    training = cortex.train(
        start, {"x": X, "target": Y}, loss=MeanSquaredError(), optimiser=optimiser, batch_size=13,
        every=1, epochs=STEPS, backend="cpu",
    )  # fmt: skip
    study = d.steps(
        functions.derived(mean_squared_error, backend="numpy"), optimiser, flat(start.parameters)
    )
    first = next(study)
    count = 0
    for trained, studied in zip(training, study, strict=False):
        np.testing.assert_allclose(
            flat(trained["network"].parameters),
            studied["params"],
            rtol=0,
            atol=1e-12,
            err_msg=f"step {count}",
        )
        count += 1
        assert trained["step"] == studied["step"] == count
    assert count == STEPS
    assert not np.allclose(studied["params"], first["params"])


def test_logistic_regression_three_ways() -> None:
    """Breast cancer, 30 standardised measurements, ridge: study, train and scikit-learn have one loss."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    table = datasets.breast_cancer()
    x, y = np.asarray(table["features"], np.float64), np.asarray(table["label"], np.float64)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    n, ridge = len(x), 1e-2

    def loss(params: Any) -> Any:
        logits = x @ params[:30] + params[30]
        # log(1 + exp(z)) - y z, without an overflow
        terms = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits))) - y * logits
        return np.mean(terms) + ridge / 2 * np.sum(params[:30] ** 2)

    result = d.study(functions.derived(loss), LBfgs(), np.zeros(31), d.limit_gradient(1e-8))
    studied = result.value

    nodes = [("x", layers.Input(30)), cortex.node(layers.Linear(1), "out", l2=ridge)]
    trained = cortex.fit(
        cortex.Network(nodes, seed=1, dtype="float64"), {"x": x, "target": y[:, None]},
        loss=BinaryCrossEntropyWithLogits(), optimiser=Adam(s.Cosine(0.1, 1500)), batch_size=n,
        stop=steps(1500), every=500, progress=False, backend="cpu",
    ).network.parameters  # fmt: skip
    by_training = loss(np.concatenate([trained["out.weights"].ravel(), trained["out.bias"]]))

    model = linear_model.LogisticRegression(C=1 / (ridge * n), tol=1e-10, max_iter=10_000).fit(x, y)
    by_sklearn = loss(np.concatenate([model.coef_.ravel(), model.intercept_]))

    assert studied == pytest.approx(by_sklearn, abs=1e-6)
    assert by_training == pytest.approx(by_sklearn, abs=1e-6)
    assert studied <= min(by_training, by_sklearn) + 1e-12
    assert 0.05 < studied < 0.2
