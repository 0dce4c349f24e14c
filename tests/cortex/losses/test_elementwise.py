"""Losses of single elements: values and gradients against formulas, missing targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cortex import losses as L
from cortex.build import Build
from cortex.compute import math as m
from cortex.compute.autodiff import gradients
from cortex.compute.errors import DescriptionError
from cortex.compute.program import Value
from cortex.description import FUNCTIONS, register_function
from cortex.gradient_check import gradient_check

NAN = float("nan")
RNG = np.random.default_rng(0)


def close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_goldens_of_the_original(loss_of: Any) -> None:
    value, gradient = loss_of(L.MeanSquaredError(), [[1, 2, 3, 4]], [[2.0, 2, 2, 2]])
    assert value == 1.5 and gradient.tolist() == [[-0.5, 0, 0.5, 1]]
    value, gradient = loss_of(L.MeanAbsoluteError(), [[1, 2, 3, 4]], [[2.0, 2, 2, 2]])
    assert value == 1.0 and gradient.tolist() == [[-0.25, 0, 0.25, 0.25]]
    # a missing target has no gradient: [10 2 0] against [1 nothing 3]
    _, gradient = loss_of(L.MeanSquaredError(), [[10, 2, 0]], [[1, NAN, 3]])
    assert gradient.tolist() == [[9, 0, -3]]


def bce(o: np.ndarray, t: np.ndarray) -> np.ndarray:
    return -(t * np.log(o) + (1 - t) * np.log(1 - o))


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def huber(o: np.ndarray, t: np.ndarray) -> np.ndarray:
    d = np.abs(o - t)
    return np.where(d <= 0.7, d**2 / 2, 0.7 * (d - 0.35))


# loss, formula of its elements, derivative, range of outputs, range of targets
ELEMENTWISE: list[tuple[Any, Any, Any, tuple[float, float], tuple[float, float]]] = [
    (L.MeanSquaredError(), lambda o, t: (o - t) ** 2, lambda o, t: 2 * (o - t), (-2, 2), (-2, 2)),
    (L.MeanAbsoluteError(), lambda o, t: abs(o - t), lambda o, t: np.sign(o - t), (-2, 2), (-2, 2)),
    (L.Huber(0.7), huber, lambda o, t: np.clip(o - t, -0.7, 0.7), (-2, 2), (-2, 2)),
    (L.BinaryCrossEntropy(), bce, lambda o, t: (o - t) / (o * (1 - o)), (0.01, 0.99), (0, 1)),
    (
        L.BinaryCrossEntropyWithLogits(),
        lambda o, t: bce(logistic(o), t),
        lambda o, t: logistic(o) - t,
        (-5, 5),
        (0, 1),
    ),
    (
        L.BinaryCrossEntropyWithLogits(3.0),
        lambda o, t: -3 * t * np.log(logistic(o)) - (1 - t) * np.log(1 - logistic(o)),
        lambda o, t: 3 * t * (logistic(o) - 1) + (1 - t) * logistic(o),
        (-5, 5),
        (0, 1),
    ),
]
NAMES = [repr(e[0]) for e in ELEMENTWISE]


@pytest.mark.parametrize(("loss", "element", "slope", "outputs", "targets"), ELEMENTWISE, ids=NAMES)
@pytest.mark.parametrize("shape", [(1,), (7,), (1, 1), (3, 5), (2, 3, 4), (2, 1, 3, 2)])
def test_elementwise(
    loss_of: Any,
    loss: Any,
    element: Any,
    slope: Any,
    outputs: Any,
    targets: Any,
    shape: tuple[int, ...],
) -> None:
    o, t = RNG.uniform(*outputs, shape), RNG.uniform(*targets, shape)
    value, gradient = loss_of(loss, o, t)
    close(value, element(o, t).mean())
    close(gradient, slope(o, t) / o.size)
    gradient_check(loss, o, t)


@pytest.mark.parametrize(("loss", "element", "slope", "outputs", "targets"), ELEMENTWISE, ids=NAMES)
def test_missing_elements(
    loss_of: Any, loss: Any, element: Any, slope: Any, outputs: Any, targets: Any
) -> None:
    """The mean of an example runs over its present entries; one without any does not count."""
    o, t = RNG.uniform(*outputs, (4, 3)), RNG.uniform(*targets, (4, 3))
    full = t.copy()
    t[0, 1] = t[2] = t[3, :2] = NAN
    value, gradient = loss_of(loss, o, t)
    e = element(o, full)
    close(value, ((e[0, 0] + e[0, 2]) / 2 + e[1].mean() + e[3, 2]) / 3)
    d = slope(o, full)
    expected = [[d[0, 0] / 2, 0, d[0, 2] / 2], d[1] / 3, [0, 0, 0], [0, 0, d[3, 2]]]
    close(gradient, np.array(expected) / 3)
    gradient_check(loss, o, t)


@pytest.mark.parametrize("loss", [e[0] for e in ELEMENTWISE], ids=NAMES)
def test_nothing_present_is_a_loss_of_0(loss_of: Any, loss: Any) -> None:
    value, gradient = loss_of(loss, np.full((2, 3), 0.5), np.full((2, 3), NAN))
    assert value == 0 and not gradient.any()


@pytest.mark.parametrize("loss", [L.BinaryCrossEntropy(), L.BinaryCrossEntropyWithLogits()])
def test_binary_labels_are_integers_and_below_0_missing(loss_of: Any, loss: Any) -> None:
    o = RNG.uniform(0.1, 0.9, (4, 1))
    labels = np.array([1, 0, -1, 1], np.int64)
    value, gradient = loss_of(loss, o, labels)
    expected, slopes = loss_of(loss, o[[0, 1, 3]], np.array([[1.0], [0.0], [1.0]]))
    close(value, expected)
    close(gradient[[0, 1, 3]], slopes)
    assert gradient[2] == 0


def test_binary_cross_entropy_is_finite_at_the_ends(loss_of: Any) -> None:
    for loss in (L.BinaryCrossEntropy(), L.BinaryCrossEntropyWithLogits()):
        for o in (0.0, 1.0) if isinstance(loss, L.BinaryCrossEntropy) else (-1e3, 1e3):
            for t in (0.0, 1.0):
                value, gradient = loss_of(loss, [[o]], [[t]])
                assert np.isfinite(value) and value >= 0 and np.isfinite(gradient).all()


def test_the_gradient_at_a_logit_of_0_is_half_minus_target(loss_of: Any) -> None:
    _, gradient = loss_of(L.BinaryCrossEntropyWithLogits(), [[0.0, 0.0]], [[0.0, 1.0]])
    assert gradient.tolist() == [[0.25, -0.25]]


def test_binary_cross_entropy_of_a_logistic_uses_the_logit(evaluate: Any) -> None:
    x, t = np.array([[-800.0, 3.0, 800.0]]), np.array([[1.0, 0.0, 0.0]])

    def record(b: Build, x: Value, t: Value) -> dict[str, Value]:
        value = L.loss_value(b, L.BinaryCrossEntropy(), m.logistic(x), t)
        return {"value": value, "gradient": gradients(b.program, value, [x])[0]}

    found, _ = evaluate(record, x=x, t=t)
    close(found["value"], (800 + np.log1p(np.exp(3.0)) + 800) / 3)
    close(found["gradient"], np.array([[-1, logistic(np.array(3.0)), 1]]) / 3)


def test_a_loss_of_your_own(loss_of: Any) -> None:
    def relative(o: Any, t: Any) -> Any:
        return m.square((o - t) / t)

    loss = L.Elementwise(relative)
    o, t = RNG.uniform(1, 2, (3, 2)), RNG.uniform(1, 2, (3, 2))
    t[1, 0] = NAN
    value, gradient = loss_of(loss, o, t)
    e = ((o - t) / t) ** 2
    close(value, (e[0].mean() + e[1, 1] + e[2].mean()) / 3)
    assert np.isfinite(gradient).all() and gradient[1, 0] == 0
    gradient_check(loss, o, t)
    with pytest.raises(DescriptionError, match="the function relative has no name"):
        L.to_data(loss)
    register_function("relative_square", relative)
    try:
        assert L.to_data(loss) == {"type": "Elementwise", "element": "relative_square"}
    finally:
        del FUNCTIONS["relative_square"]
