"""`cortex.compute.math` on arrays and numbers is NumPy; on symbols and values it records."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cortex.compute import Program, Value
from cortex.compute import math as m
from cortex.compute.expression import Expression, symbol

A = np.array([-2.0, -0.5, 0.0, 0.25, 3.0])
B = np.array([1.0, -0.5, 2.0, 0.0, 3.0])
P = np.abs(A) + 0.1

ON_ARRAYS = [
    (m.exp, np.exp, (A,)), (m.expm1, np.expm1, (A,)), (m.log, np.log, (P,)), (m.log1p, np.log1p, (P,)),
    (m.sqrt, np.sqrt, (P,)), (m.tanh, np.tanh, (A,)), (m.sin, np.sin, (A,)), (m.cos, np.cos, (A,)),
    (m.floor, np.floor, (A,)), (m.absolute, np.abs, (A,)), (m.sign, np.sign, (A,)), (m.square, np.square, (A,)),
    (m.power, np.power, (P, B)), (m.maximum, np.maximum, (A, B)), (m.minimum, np.minimum, (A, B)),
    (m.equal, np.equal, (A, B)), (m.not_equal, np.not_equal, (A, B)), (m.isnan, np.isnan, (A,)),
    (m.logical_and, np.logical_and, (A > 0, B > 0)), (m.logical_or, np.logical_or, (A > 0, B > 0)),
    (m.logical_not, np.logical_not, (A > 0,)), (m.where, np.where, (A > 0, A, B)),
    (m.logistic, lambda x: 1 / (1 + np.exp(-x)), (A,)), (m.softplus, lambda x: np.logaddexp(x, 0), (A,)),
    (m.erf, lambda x: np.array([math.erf(v) for v in x]), (A,)),
    (lambda x: m.clip(x, -1, 1), lambda x: np.clip(x, -1, 1), (A,)),
]  # fmt: skip


@pytest.mark.parametrize("row", ON_ARRAYS, ids=lambda r: getattr(r[0], "__name__", "?"))
def test_functions_of_arrays_and_numbers(row) -> None:  # type: ignore[no-untyped-def]
    ours, theirs, arrays = row
    np.testing.assert_allclose(ours(*arrays), theirs(*arrays), rtol=1e-15, atol=1e-300)
    numbers = [a[1] for a in arrays]
    np.testing.assert_allclose(ours(*numbers), theirs(*(a[1:2] for a in arrays))[0], rtol=1e-15)
    narrow = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in arrays]
    assert np.asarray(ours(*narrow)).dtype == (
        np.float32 if ours(*arrays).dtype.kind == "f" else bool
    )


def test_every_function_is_tested() -> None:
    tested = {getattr(row[0], "__name__", "") for row in ON_ARRAYS}
    names = {getattr(m, n).__name__ for n in m.__all__} - {"clip"}
    assert names <= tested


@pytest.mark.parametrize("name", m.__all__)
def test_every_function_is_documented(name: str) -> None:
    assert getattr(m, name).__doc__


def test_extremes_do_not_overflow() -> None:
    big = np.array([-1e4, -745, 0, 745, 1e4])
    np.testing.assert_array_equal(m.softplus(big), [0, m.softplus(-745.0), math.log(2), 745, 1e4])
    np.testing.assert_array_equal(m.logistic(big)[[0, 2, 4]], [0, 0.5, 1])
    assert m.log1p(1e-20) == 1e-20 and m.expm1(1e-20) == 1e-20


def test_symbols_give_expressions_and_values_give_values() -> None:
    x = symbol(0)
    assert isinstance(m.exp(x), Expression)
    assert isinstance(m.where(x > 0, 1.0, x), Expression)
    assert isinstance(m.maximum(0, x), Expression)  # the symbol may be any argument
    p = Program()
    v = p.input("v", (2, 3))
    assert isinstance(m.tanh(v), Value)
    assert isinstance(m.maximum(0, v), Value)
    assert m.clip(v, 0, 1).shape == (2, 3)


def test_optimiser_like_mathematics_is_the_same_on_arrays_and_symbols() -> None:
    """One function, called with arrays and with symbols: the point of the module."""
    from cortex.compute.expression import evaluate

    def step(w, v, g):  # type: ignore[no-untyped-def]
        v = 0.9 * v + 0.1 * m.square(g)
        return w - 0.01 * g / (m.sqrt(v) + 1e-8), v

    arrays = [np.linspace(-1, 1, 7), np.linspace(1, 2, 7), np.linspace(3, -2, 7)]
    compiled = evaluate(step(*(symbol(i) for i in range(3))), arrays, "float64")
    for a, b in zip(step(*arrays), compiled, strict=True):
        np.testing.assert_array_equal(a, b)
