"""Cross-entropies: values and gradients, smoothing, weights, missing labels, positions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex import losses as L
from cortex.build import Build
from cortex.compute import math as m
from cortex.compute.autodiff import gradients
from cortex.compute.ops import Linear, Softmax
from cortex.compute.ops import SoftmaxCrossEntropy as FusedCrossEntropy
from cortex.compute.program import Value
from cortex.gradient_check import gradient_check

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "convnetjs_network.json").read_text())
NAN = float("nan")
RNG = np.random.default_rng(0)


def close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def one_hot(labels: Any, classes: int) -> np.ndarray:
    return np.moveaxis(np.eye(classes)[np.asarray(labels)], -1, 1)


LABELS = np.array([0, 3, 1, 3, 2], np.int32)
LOGITS = RNG.standard_normal((5, 4)) * 3
DISTRIBUTION = RNG.dirichlet(np.ones(4), 5)
CATEGORICAL = [L.SoftmaxCrossEntropy, L.NegativeLogLikelihood, L.CategoricalCrossEntropy]


def outputs_of(loss: type, x: np.ndarray) -> np.ndarray:
    """Logits as what the loss takes: logits, log-probabilities or probabilities."""
    p = softmax(x)
    return {"N": np.log(p), "C": p}.get(loss.__name__[0], x)


def cross_entropy(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    return -(q * np.log(softmax(x))).sum(1)


@pytest.mark.parametrize("loss", CATEGORICAL)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["int32", "int64", "uint8", "float64", "column", "one-hot", "any"])
def test_labels_and_distributions(loss_of: Any, loss: type, smoothing: float, kind: str) -> None:
    q = one_hot(LABELS, 4)
    target: Any = {"column": LABELS[:, None], "one-hot": q.astype(np.uint8)}.get(kind)
    if kind == "any":
        target = q = DISTRIBUTION
    elif target is None:
        target = LABELS.astype(kind)
    smoothed = (1 - smoothing) * q + smoothing / 4
    value, _ = loss_of(loss(label_smoothing=smoothing), outputs_of(loss, LOGITS), target)
    close(value, cross_entropy(LOGITS, smoothed).mean())
    gradient_check(loss(label_smoothing=smoothing), outputs_of(loss, LOGITS), target)


def test_the_gradient_of_the_logits_is_softmax_minus_target(loss_of: Any) -> None:
    _, gradient = loss_of(L.SoftmaxCrossEntropy(), LOGITS, LABELS)
    close(gradient, (softmax(LOGITS) - one_hot(LABELS, 4)) / 5)


@pytest.mark.parametrize("loss", CATEGORICAL)
def test_class_weights_are_sample_weights_of_the_labels(loss_of: Any, loss: type) -> None:
    """As scikit-learn's class_weight, and as the weighted mean of torch."""
    w = np.array([1.0, 2.0, 0.5, 3.0])
    each = cross_entropy(LOGITS, one_hot(LABELS, 4))
    weighted = loss(class_weights=tuple(w))
    value, _ = loss_of(weighted, outputs_of(loss, LOGITS), LABELS)
    close(value, (w[LABELS] * each).sum() / w[LABELS].sum())
    same, _ = loss_of(weighted, outputs_of(loss, LOGITS), one_hot(LABELS, 4))
    close(same, value)
    sampled, _ = loss_of(loss(), outputs_of(loss, LOGITS), LABELS, w[LABELS])
    close(sampled, value)
    gradient_check(weighted, outputs_of(loss, LOGITS), LABELS)


@pytest.mark.parametrize("loss", CATEGORICAL)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 0.5, 3.0)])
@pytest.mark.parametrize("kind", ["negative", "nan", "row"])
def test_missing_labels(
    loss_of: Any, loss: type, smoothing: float, weights: Any, kind: str
) -> None:
    """Leaving out is the same as marking as missing; there is no gradient, and never a NaN."""
    target: Any = LABELS.astype(np.float64) if kind == "nan" else LABELS.copy()
    if kind == "row":
        target = one_hot(LABELS, 4)
        target[[1, 4], [0, 2]] = NAN
    else:
        target[[1, 4]] = NAN if kind == "nan" else -1
    a = loss(label_smoothing=smoothing, class_weights=weights)
    x = outputs_of(loss, LOGITS)
    value, gradient = loss_of(a, x, target)
    expected, slopes = loss_of(a, x[[0, 2, 3]], target[[0, 2, 3]])
    close(value, expected)
    close(gradient[[0, 2, 3]], slopes)
    assert not gradient[[1, 4]].any()
    gradient_check(a, x, target)


@pytest.mark.parametrize("loss", CATEGORICAL)
def test_no_label_at_all_is_a_loss_of_0(loss_of: Any, loss: type) -> None:
    value, gradient = loss_of(loss(), outputs_of(loss, LOGITS), np.full(5, -1))
    assert value == 0 and not gradient.any()


@pytest.mark.parametrize("loss", CATEGORICAL)
def test_a_label_that_is_no_class_is_seen(loss_of: Any, loss: type) -> None:
    value, _ = loss_of(loss(), outputs_of(loss, LOGITS), np.array([0, 1, 4, 0, 0]))
    assert np.isnan(value)


@pytest.mark.parametrize("loss", CATEGORICAL)
def test_positions(loss_of: Any, loss: type) -> None:
    """[N, K, H, W]: the mean over the present positions of an example, then over examples."""
    x = RNG.standard_normal((3, 4, 2, 5))
    labels = RNG.integers(0, 4, (3, 2, 5))
    each = cross_entropy(x, one_hot(labels, 4))
    value, _ = loss_of(loss(), outputs_of(loss, x), labels)
    close(value, each.mean())
    full = labels.copy()
    labels[0, 0, 1:3] = labels[2] = -1
    there = labels >= 0
    value, gradient = loss_of(loss(), outputs_of(loss, x), labels)
    close(value, (each[0][there[0]].mean() + each[1].mean()) / 2)
    assert not np.moveaxis(gradient, 1, -1)[~there].any()
    w = np.array([1.0, 2.0, 0.5, 3.0])
    weighted = loss(class_weights=tuple(w))
    value, _ = loss_of(weighted, outputs_of(loss, x), full)
    close(value, (w[full] * each).sum() / w[full].sum())  # as over all positions together
    gradient_check(weighted, outputs_of(loss, x), labels)


def test_the_cross_entropy_of_a_softmax_is_fused(evaluate: Any) -> None:
    x = np.array([[1000.0, 0.0, -1000.0]])

    def record(b: Build, x: Value, t: Value, loss: Any, axis: int = 1) -> dict[str, Value]:
        value = L.loss_value(b, loss, b.apply(Softmax(axis), x), t)
        return {"value": value, "gradient": gradients(b.program, value, [x])[0]}

    for axis in (1, -1):
        loss = L.CategoricalCrossEntropy(class_weights=(1, 2, 3))
        found, build = evaluate(
            lambda b, x, t, a=axis, c=loss: record(b, x, t, c, a), x=x, t=np.array([2])
        )
        assert any(isinstance(s.op, FusedCrossEntropy) for s in build.program.steps)
        assert float(found["value"]) == 2000 and found["gradient"].tolist() == [[1, 0, -1]]


def test_a_softmax_over_another_axis_is_not_fused(evaluate: Any) -> None:
    def record(b: Build, x: Value, t: Value) -> dict[str, Value]:
        p = b.apply(Softmax(2), x)
        return {"value": L.loss_value(b, L.CategoricalCrossEntropy(), p, t)}

    x = RNG.standard_normal((2, 3, 4))
    p = np.exp(x) / np.exp(x).sum(2, keepdims=True)
    labels = RNG.integers(0, 3, (2, 4))
    found, build = evaluate(record, x=x, t=labels)
    assert not any(isinstance(s.op, FusedCrossEntropy) for s in build.program.steps)
    close(found["value"], -(one_hot(labels, 3) * np.log(p)).sum(1).mean())


def test_probabilities_of_0_are_finite(loss_of: Any) -> None:
    p = np.array([[0.0, 1.0], [1.0, 0.0]])
    value, gradient = loss_of(L.CategoricalCrossEntropy(), p, np.array([0, 0]))
    assert np.isfinite(value) and value > 1 and np.isfinite(gradient).all()
    q = np.array([[0.0, 1.0], [1.0, 0.0]])
    value, gradient = loss_of(L.NegativeLogLikelihood(), np.log(p + 1e-300) * 1e300, q)
    assert value == 0 and np.isfinite(gradient).all()


def test_convnetjs_network(evaluate: Any) -> None:
    """linear, relu, linear, softmax: gradients of one point and of ten, one step of SGD."""
    g = GOLDEN
    weights = {n: np.array(g[n], np.float64) for n in ("W1", "b1", "W2", "b2")}

    def record(b: Build, x: Value, t: Value, **w: Value) -> dict[str, Value]:
        hidden = m.maximum(b.apply(Linear(), x, w["W1"], w["b1"]), 0)
        output = b.apply(Softmax(1), b.apply(Linear(), hidden, w["W2"], w["b2"]))
        value = L.loss_value(b, L.CategoricalCrossEntropy(), output, t)
        found = gradients(b.program, value, list(w.values()))
        return {"output": output, **dict(zip(w, found, strict=True))}

    points = np.array(g["points"])
    for rows, golden in ((1, g["gradient_of_first"]), (10, g["gradient_of_sum"])):
        x, t = points[:rows], np.full(rows, 1)
        found, _ = evaluate(record, x=x, t=t, **weights)
        np.testing.assert_allclose(found["output"][0], g["output"], atol=1e-4)
        for name in ("W1", "b1"):
            np.testing.assert_allclose(rows * found[name].reshape(-1), golden[name], atol=1e-3)
        for name, size in (("W2", golden["W2_size"]), ("b2", [golden["b2_size"]])):
            two = rows * found[name].reshape(2, -1)
            np.testing.assert_allclose(two[0] if name == "W2" else two[0], size, atol=1e-3)
            np.testing.assert_allclose(two[1], -two[0], atol=1e-12)
    stepped = weights["W1"] - 0.01 * found["W1"]
    np.testing.assert_allclose(stepped.reshape(-1), g["plain_sgd_step"]["W1"], atol=1e-9)
