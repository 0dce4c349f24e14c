"""The golden files against formulas, so that a slip of the pen is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cortex.compute.verify.golden import array, load, same_part


@pytest.mark.parametrize("name", ["operations", "layers", "losses", "optimisers"])
def test_golden_files_have_names_and_sources(name: str) -> None:
    entries = load(name)
    assert entries and len({e["name"] for e in entries}) == len(entries)
    assert all(e["source"] for e in entries)


def test_golden_arrays() -> None:
    np.testing.assert_array_equal(array({"shape": [2, 2], "ramp": 3}), [[3, 4], [5, 6]])
    np.testing.assert_array_equal(
        array({"shape": [2, 3], "values": [1, 2]}), [[1, 2, 1], [2, 1, 2]]
    )
    assert array({"shape": [], "values": [7]}).shape == ()
    assert np.isnan(array({"shape": [2], "values": [1, None]})[1])
    first = {"shape": [2, 2], "first": [9, 8]}
    np.testing.assert_array_equal(array(first), [9, 8])
    np.testing.assert_array_equal(same_part(first, np.array([[9, 8], [7, 6]])), [9, 8])


def _golden(file: str, name: str) -> dict[str, Any]:
    (entry,) = [e for e in load(file) if e["name"] == name]
    return entry


def test_golden_adam() -> None:
    e = _golden("optimisers", "adam, De Jong")
    x = np.array(e["start"], np.float64)
    m, v = 0 * x, 0 * x
    for t, wanted in enumerate(e["steps"], 1):
        m, v = 0.9 * m + 0.1 * 2 * x, 0.999 * v + 0.001 * (2 * x) ** 2
        x = x - 1e-3 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(x, wanted, rtol=0, atol=1e-12)


def test_golden_single_steps() -> None:
    e = _golden("optimisers", "adadelta, one step")
    x, g = np.array(e["parameters"], float), np.array(e["gradient"], float)
    a = 0.5 * np.array(e["state"]["acc_gradient"]) + 0.5 * g * g
    step = -np.sqrt((np.array(e["state"]["acc_step"]) + 1) / (a + 1)) * g
    np.testing.assert_allclose(x + step, e["result"], atol=1e-8)
    s = 0.5 * np.array(e["state"]["acc_step"]) + 0.5 * step**2
    np.testing.assert_allclose(
        [a, s], [e["new_state"]["acc_gradient"], e["new_state"]["acc_step"]], atol=1e-8
    )
    e = _golden("optimisers", "adam, one step")
    x, g = np.array(e["parameters"], float), np.array(e["gradient"], float)
    m = 0.75 * np.array(e["state"]["first_moment"]) + 0.25 * g
    v = 0.3 * np.array(e["state"]["second_moment"]) + 0.7 * g * g
    np.testing.assert_allclose(
        [m, v], [e["new_state"]["first_moment"], e["new_state"]["second_moment"]]
    )
    x = x - 5 * (m / (1 - 0.75**3)) / (np.sqrt(v / (1 - 0.3**3)) + 0.2)
    np.testing.assert_allclose(x, e["result"], atol=1e-8)
    e = _golden("optimisers", "sgd, one step")
    np.testing.assert_array_equal(
        np.array(e["parameters"]) - 5 * np.array(e["gradient"]), e["result"]
    )


def test_golden_adadelta_network() -> None:
    e = _golden("optimisers", "adadelta, one step of a network")
    w, b, x = (
        np.array(e["weights"], float),
        np.array(e["bias"], float),
        np.array(e["inputs"], float),
    )
    y = x @ w.T + b
    np.testing.assert_array_equal(y[0], e["outputs"])
    dy = y - np.array(e["target"])  # 2 / n (y - t) with n = 2
    np.testing.assert_array_equal((dy.T @ x).ravel(), e["weight_gradient_sum"])
    np.testing.assert_array_equal(dy.sum(0), e["bias_gradient_sum"])
    np.testing.assert_array_equal(dy[0] @ w, e["input_gradient"])
    for p, g, wanted in ((w, dy.T @ x / 10, e["new_weights"]), (b, dy.sum(0) / 10, e["new_bias"])):
        step = np.sqrt(1e-6) / np.sqrt(0.05 * g * g + 1e-6) * g
        np.testing.assert_allclose((p - step).ravel(), wanted, atol=1e-9)


def test_golden_convnetjs() -> None:
    e = _golden("optimisers", "ConvNetJS 2-2-2")
    w1, b1, w2, b2 = (np.array(e[k], float) for k in ("weights1", "bias1", "weights2", "bias2"))
    x, target = np.array(e["inputs"]), np.array(e["target"])
    h = x @ w1.T + b1
    r = np.maximum(h, 0)
    y = np.exp(r @ w2.T + b2)
    y /= y.sum(1, keepdims=True)
    np.testing.assert_allclose(y[0], e["first_output"], atol=e["first_output_tolerance"])
    dz = y - target  # what MSE on a softmax of two outputs comes to
    dh = dz @ w2 * (h > 0)
    gradients = {
        "weights1": [np.outer(a, b).ravel() for a, b in zip(dh, x, strict=True)],
        "bias1": list(dh),
    }
    for key, each in gradients.items():
        np.testing.assert_allclose(each[0], e["first_gradients"][key], atol=e["tolerance"])
        np.testing.assert_allclose(sum(each), e["sum_of_gradients"][key], atol=e["tolerance"])
    dw2 = dz.T @ r
    np.testing.assert_allclose(
        np.abs(dw2[0]), e["sum_of_gradients"]["weights2_up_to_sign"], atol=1e-3
    )
    after = w1.ravel() - 0.01 * sum(gradients["weights1"]) / 10
    np.testing.assert_allclose(after, e["after_one_step"]["weights1"], atol=1e-9)


def test_golden_losses_and_activations() -> None:
    for name, f in (("mse", np.square), ("mae", np.abs)):
        e = _golden("losses", name)
        assert f(array(e["output"]) - array(e["target"])).mean() == e["value"]
    e = _golden("losses", "missing targets")
    target = array(e["target"])
    np.testing.assert_array_equal(
        np.where(np.isnan(target), array(e["output"]), target), array(e["filled"])
    )
    formulas: dict[str, Callable[[Any], Any]] = {
        "logistic": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh,
        "swish": lambda x: x / (1 + np.exp(-x)),
        "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    }
    for e in load("layers"):
        f = formulas.get(e["layer"])  # type: ignore[assignment]
        if f is None:
            continue
        x = array(e["inputs"][0])
        np.testing.assert_allclose(array(e["outputs"][0]), f(x), atol=1e-9)
        if "gradients" in e:
            slope = (f(x + 1e-6) - f(x - 1e-6)) / 2e-6 * array(e["cotangents"][0])
            np.testing.assert_allclose(array(e["gradients"]["inputs"][0]), slope, atol=1e-7)
