"""Activations: eager and symbolic values, derivatives everywhere, no overflow, kinks from the left."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cortex import activations as a
from cortex.compute import Program, gradients
from cortex.compute.numpy_backend import NumpyBackend

POINTS = np.array([-4.7, -2.9, -1.1, -0.3, 0.2, 0.9, 2.3, 5.1])
every_one = pytest.mark.parametrize("name", a.ACTIVATIONS)

# Independent formulas, in plain Python numbers.
FORMULAS: dict[str, Any] = {
    "relu": lambda x: x if x > 0 else 0,
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1)),
    "gelu": lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2)),
    "gelu_tanh": lambda x: x / (1 + math.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "swish": lambda x: x / (1 + math.exp(-x)),
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "logistic": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": lambda x: (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1),
    "softsign": lambda x: x / (1 + abs(x)),
    "mish": lambda x: x * math.tanh(math.log(1 + math.exp(x))),
    "hard_tanh": lambda x: max(-1, min(1, x)),
    "hard_logistic": lambda x: max(0, min(1, x / 6 + 0.5)),
    "hard_swish": lambda x: x * max(0, min(6, x + 3)) / 6,
}


def compiled(function: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value and derivative through a program."""
    program = Program()
    value = program.input("x", x.shape, x.dtype.name)
    y = program.map(function, value)
    program.output("y", y)
    program.output("slope", gradients(program, y, [value])[0])
    run = NumpyBackend().compile(program)
    run.write("x", x)
    run.run()
    return run.read("y"), run.read("slope")


@every_one
def test_the_formula(name: str) -> None:
    function = a.ACTIVATIONS[name].function
    expected = [FORMULAS[name](x) for x in POINTS.tolist()]
    np.testing.assert_allclose(function(POINTS), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(compiled(function, POINTS)[0], expected, rtol=1e-12, atol=1e-15)


@every_one
def test_the_derivative(name: str) -> None:
    function, h = a.ACTIVATIONS[name].function, 1e-6
    expected = (function(POINTS + h) - function(POINTS - h)) / (2 * h)
    np.testing.assert_allclose(compiled(function, POINTS)[1], expected, rtol=1e-7, atol=1e-9)


@every_one
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_overflows(name: str, dtype: Any) -> None:
    """exp(89) overflows float32, exp(710) float64: neither value nor derivative may become NaN."""
    x = np.array([-1e4, -800, -100, -89, 0, 89, 100, 800, 1e4], dtype)
    for numbers in compiled(a.ACTIVATIONS[name].function, x):
        assert numbers.dtype == dtype
        assert np.isfinite(numbers).all()


def test_derivatives_at_zero() -> None:
    expected = {
        "relu": 0, "leaky_relu": 0.01, "elu": 1, "selu": 1.7580993408473766, "gelu": 0.5, "gelu_tanh": 0.5,
        "swish": 0.5, "softplus": 0.5, "logistic": 0.25, "tanh": 1, "softsign": 1, "mish": math.tanh(math.log(2)),
        "hard_tanh": 1, "hard_logistic": 1 / 6, "hard_swish": 0.5,
    }  # fmt: skip
    found = {n: compiled(r.function, np.zeros(1))[1].item() for n, r in a.ACTIVATIONS.items()}
    assert found == pytest.approx(expected, rel=1e-12)


def test_options() -> None:
    np.testing.assert_allclose(a.leaky_relu(POINTS, 0.2), np.where(POINTS > 0, POINTS, POINTS / 5))
    np.testing.assert_allclose(a.swish(POINTS, 3.0), POINTS / (1 + np.exp(-3 * POINTS)))
    np.testing.assert_allclose(a.softplus(POINTS, 3.0), np.log1p(np.exp(3 * POINTS)) / 3)
    np.testing.assert_allclose(a.elu(-1.0, 2.0), 2 * math.expm1(-1))


def test_the_table_is_complete_and_documented() -> None:
    functions = {
        n: f
        for n, f in vars(a).items()
        if callable(f) and getattr(f, "__module__", "") == a.__name__
    }
    assert {n for n in functions if n != "Row"} == set(a.ACTIVATIONS)
    for name, row in a.ACTIVATIONS.items():
        assert row.function.__name__ == name
        assert row.function.__doc__
