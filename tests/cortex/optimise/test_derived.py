"""Derived gradients: whatever NumPy function is used, the gradient is that of differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.compute import math as m
from cortex.compute.errors import NotDifferentiable, ShapeError
from cortex.gradient_check import check_gradient
from cortex.optimise.functions import OBJECTIVES, derived

A = np.random.default_rng(3).standard_normal((4, 5))
W = np.arange(1.0, 6.0)


def chained(x: Any) -> Any:
    a, b, *rest = x
    return a * b + sum(r**2 for r in rest)


# name -> a function of a vector of 5 numbers
EXPRESSIONS: dict[str, Callable[[Any], Any]] = {
    "sum of squares": lambda x: (x**2).sum(),
    "numpy.sum": lambda x: np.sum(W * x * x),
    "math": lambda x: (m.exp(-x) * m.logistic(x) + m.softplus(x)).sum(),
    "one element of math": lambda x: m.where(x[0] > 0, x[0] ** 3, -x[1]) + m.maximum(x[2], x[3]) * x[4],
    "elementwise": lambda x: np.sum(np.sin(x) * np.exp(-np.abs(x)) + np.log1p(x * x) - np.tanh(x / 2)),
    "matrix times vector": lambda x: np.sum((A @ x) ** 2),
    "vector times matrix": lambda x: ((x @ A.T) ** 3).sum(),
    "dot": lambda x: np.dot(x, W) * x.dot(x) + np.vdot(x, W),
    "matrices": lambda x: np.sum((np.outer(x, x) @ np.outer(x, W)) ** 2),
    "inner": lambda x: np.sum(np.inner(A, x) ** 2),
    "indexing": lambda x: x[0] * x[-1] + np.sum(x[1::2] ** 2) * x[[3, 3, 0]].sum(),
    "mask": lambda x: np.prod(x[np.array([True, False, True, True, False])]),
    "backwards": lambda x: np.sum(x[::-1] * np.cumsum(x) * W),
    "unpacked": chained,
    "roll": lambda x: np.sum((x + np.roll(x, -1)) ** 2),
    "reshape and transpose": lambda x: np.sum(
        (x[:4].reshape(2, 2).T @ np.reshape(x[1:], (2, 2))) ** 2
    ),
    "diff": lambda x: np.sum(np.diff(x) ** 2 * W[1:]),
    "concatenate": lambda x: np.sum(np.concatenate([x, np.ones(2), x[:1]]) ** 2 * np.arange(8)),
    "stack": lambda x: np.sum(np.stack([x, W, x * x]).prod(axis=0)),
    "means": lambda x: np.mean(x**2) + x.mean() ** 2 + np.mean(np.outer(x, W), axis=1).prod(),
    "extrema": lambda x: np.max(x) * np.min(x) + x.max() + np.amin(x * W),
    "keepdims": lambda x: np.sum(x * x.sum(keepdims=True)) + np.outer(x, x).max(axis=0).sum(),
    "norm": lambda x: np.linalg.norm(x - W),
    "clip": lambda x: np.sum(np.clip(x, -0.5, 0.5) * W) + np.where(x > 0, x, 0.1 * x).sum(),
    "power of a variable": lambda x: np.sum(np.abs(x) ** (1 + x * x)),
    "logical": lambda x: np.sum(np.where((x > 0) & ~(x > 1), x * x, 2 * x)),
    "swapped operands": lambda x: (1 / (2 + x * x) + 2.0**x - (3 - x)).sum(),
    "where with a fixed condition": lambda x: np.where(W > 2, x * x, 3 * x).sum() + np.where(x > W, x, W).sum(),
    "scalars": lambda x: np.float64(2.0) * x[1] + x[0] ** np.float64(3) / np.int64(2) + (x[2] - 1) ** -1,
    "tile": lambda x: np.sum(np.tile(x, 2) * np.arange(10)) * np.repeat(x, 2)[3],
    "python's sum": lambda x: sum(x) ** 2,
    "square": lambda x: np.square(x).sum() * len(x) / x.size,
}  # fmt: skip


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_the_derived_gradient_is_that_of_differences(name: str) -> None:
    made = derived(EXPRESSIONS[name])
    point = np.random.default_rng(1).standard_normal(5)
    check_gradient(made.value, made.gradient, point, name=name)


def test_the_program_computes_the_value_too() -> None:
    from cortex.compute.registry import get_backend

    point = np.random.default_rng(2).standard_normal(5)
    for name, expression in EXPRESSIONS.items():
        executable = get_backend("numpy").compile(derived(expression).program(5))
        executable.write("params", point)
        executable.run()
        assert float(executable.read("value")) == pytest.approx(
            float(expression(point)), rel=1e-12
        ), name


def test_another_backend_gives_the_same_gradient() -> None:
    point = np.random.default_rng(4).standard_normal(5)
    for expression in EXPRESSIONS.values():
        one, two = derived(expression, backend="numpy"), derived(expression, backend="cpu")
        np.testing.assert_allclose(one.gradient(point), two.gradient(point), rtol=1e-12, atol=1e-12)


@given(st.integers(1, 9), st.integers(0, 2**31))
def test_sizes(n: int, seed: int) -> None:
    point = np.random.default_rng(seed).standard_normal(n)
    for name, expression in (
        ("de_jong", lambda x: (x * x).sum()),
        ("cross_paraboloid", lambda x: np.sum((x + np.roll(x, -1)) ** 2)),
        ("rosenbrock", lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)),
    ):
        expected = OBJECTIVES[name]
        made = derived(expression)
        assert made.value(point) == pytest.approx(expected.value(point), rel=1e-12, abs=1e-12)
        np.testing.assert_allclose(
            made.gradient(point), expected.gradient(point), rtol=1e-10, atol=1e-10
        )


def test_one_function_serves_every_size_and_is_traced_once_for_each() -> None:
    calls = []

    def expression(x: Any) -> Any:
        calls.append(type(x).__name__)
        return (x * x).sum()

    made = derived(expression)
    for _ in range(3):
        made.gradient(np.ones(2))
        made.gradient(np.ones(3))
    assert calls == ["Traced", "Traced"]


def test_constant_and_linear_functions() -> None:
    assert derived(lambda x: 3.0).gradient(np.ones(2)).tolist() == [0, 0]
    assert derived(lambda x: x[1]).gradient(np.ones(3)).tolist() == [0, 1, 0]
    assert derived(lambda x: x.sum()).gradient(np.ones(1)).tolist() == [1]


def test_messages() -> None:
    x = np.ones(3)
    with pytest.raises(ShapeError, match=r"gives one number, this one gives shape \(3,\); sum it"):
        derived(lambda x: x * x).gradient(x)
    with pytest.raises(ShapeError, match=r"gives one number, this one gives shape \(3,\)"):
        derived(lambda x: x * x).value(x)
    with pytest.raises(NotDifferentiable, match="through numpy.sinh; did you mean 'sin'"):
        derived(lambda x: np.sinh(x).sum()).gradient(x)
    with pytest.raises(
        NotDifferentiable, match="through numpy.cumprod; did you mean '.*'.*give the gradient"
    ):
        derived(lambda x: np.cumprod(x).sum()).gradient(x)
    with pytest.raises(NotDifferentiable, match="cumsum along an axis"):
        derived(lambda x: np.cumsum(x.reshape(1, 3), axis=1).sum()).gradient(x)
    with pytest.raises(TypeError, match="cannot branch on its argument: write"):
        derived(lambda x: x[0] if x[0] > 0 else -x[0]).gradient(x)
    with pytest.raises(TypeError, match="cannot choose elements by its argument: write"):
        derived(lambda x: x[x > 0].sum()).gradient(x)
    with pytest.raises(TypeError, match="len"):
        derived(lambda x: len(x[0])).gradient(x)
