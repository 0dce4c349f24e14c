"""Centre loss: its gradient, and how the centres move."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cortex import losses as L
from cortex.build import Build
from cortex.compute.autodiff import gradients
from cortex.compute.program import Value
from cortex.gradient_check import gradient_check

NAN = float("nan")


def close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def centres_after(
    evaluate: Any, loss: L.CentreLoss, x: Any, target: Any, centres: Any, training: bool = True
) -> tuple[dict[str, np.ndarray], Build]:
    def record(b: Build, x: Value, t: Value, centres: Value) -> dict[str, Value]:
        value = L.loss_value(b, loss, x, t, centres=centres)
        found = {"value": value, "gradient": gradients(b.program, value, [x])[0]}
        return found | {"centres": b.statistics[centres]} if training else found

    x, centres = np.asarray(x, np.float64), np.asarray(centres, np.float64)
    return evaluate(record, training=training, x=x, t=np.asarray(target), centres=centres)


def test_centre_loss_of_the_original(evaluate: Any) -> None:
    labels = np.array([0, 2, 0, 3, 3, 0])
    x = 20 * np.eye(5)[labels]
    found, _ = centres_after(
        evaluate, L.CentreLoss(5, 0.5, radius=10.0), x, labels, np.ones((5, 5))
    )
    close(6 * found["gradient"], x - 1)  # 19 and -1
    expected = np.ones((5, 5))
    for k in (0, 2, 3):
        expected[k] = 0.5
        expected[k, k] = 10.5
    expected *= 10 / np.linalg.norm(expected, axis=1, keepdims=True)
    close(found["centres"], expected)
    close(found["value"], ((x - 1) ** 2).sum(1).mean() / 2)


@pytest.mark.parametrize("target", ["labels", "one-hot"])
def test_centres_move_to_the_mean_of_their_class(evaluate: Any, target: str) -> None:
    rng = np.random.default_rng(1)
    x, centres = rng.standard_normal((6, 2, 3)), rng.standard_normal((4, 2, 3))
    labels = np.array([1, 0, 1, -1, 3, 1])
    t: Any = labels
    if target == "one-hot":
        t = np.eye(4)[labels]
        t[3, 2] = NAN
    loss = L.CentreLoss(4, alpha=0.25)
    found, _ = centres_after(evaluate, loss, x, t, centres)
    expected = centres.copy()
    for k in (0, 1, 3):
        expected[k] += 0.25 * (x[labels == k] - centres[k]).mean(0)
    close(found["centres"], expected)
    there = labels >= 0
    d = (x - centres[labels])[there].reshape(5, -1)
    close(found["value"], (d**2).sum(1).mean() / 2)
    assert not found["gradient"][3].any()
    gradient_check(loss, x, t, parameters={"centres": centres})


def test_centres_stay_in_inference_and_at_zero(evaluate: Any) -> None:
    x, labels = np.ones((2, 3)), np.array([0, 1])
    _, build = centres_after(evaluate, L.CentreLoss(2), x, labels, np.zeros((2, 3)), training=False)
    assert not build.statistics
    found, _ = centres_after(evaluate, L.CentreLoss(2, radius=1.0), 0 * x, labels, np.zeros((2, 3)))
    assert not found["centres"].any()


def test_the_centres_are_a_statistic() -> None:
    from cortex.compute.spec import Spec

    (name, p), *rest = L.CentreLoss(5).parameters(Spec((7, 3)), Spec((7,), "int64")).items()
    assert (name, p.shape, p.trainable, rest) == ("centres", (5, 3), False, [])
