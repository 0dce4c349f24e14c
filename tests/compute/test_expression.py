"""Expressions: derivatives, simplification, substitution, evaluation, interning."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cortex.compute import math as m
from cortex.compute.expression import (
    Expression,
    constant,
    cost,
    derivative,
    evaluate,
    node,
    substitute,
    symbol,
    wrap,
)
from cortex.compute.scalars import scalars

X, Y, Z = symbol(0), symbol(1), symbol(2)
# where the derivative of an operation exists and its formula is finite
POINTS = {"default": (0.37, -0.81, 1.9), "positive": (0.37, 0.9, 1.9)}
POSITIVE = {"pow", "log", "log1p", "sqrt"}


def value(e: Expression, *numbers: float) -> float:
    return float(evaluate([e], [np.float64(n) for n in numbers], "float64")[0])


@pytest.mark.parametrize("name", sorted(scalars()))
def test_derivatives_of_every_operation(name: str) -> None:
    """Each partial derivative against a central difference."""
    row = scalars()[name]
    count = len(row.partials)
    for point in POINTS["positive" if name in POSITIVE else "default"]:
        at = [point, point * 0.6 + 0.3, 0.8][:count]
        if name == "where":
            at[0] = 1.0
        e = node(name, *(symbol(i) for i in range(count)))
        for i in range(count):
            h = 1e-6
            up, down = list(at), list(at)
            up[i], down[i] = at[i] + h, at[i] - h
            numeric = (value(e, *up) - value(e, *down)) / (2 * h)
            assert value(derivative(e, i), *at) == pytest.approx(numeric, rel=1e-7, abs=1e-9)


def test_the_number_of_partials_is_the_number_of_arguments() -> None:
    for name, row in scalars().items():
        arguments = [symbol(i) for i in range(len(row.partials))]
        assert node(name, *arguments).symbols == frozenset(range(len(arguments)))


# random expressions as nested tuples, so that they can be evaluated without any simplification
LEAVES = st.one_of(
    st.sampled_from([("x", 0), ("x", 1)]),
    st.sampled_from([0, 1, -1, 2, 3, 0.5, -0.5, 1.7]).map(lambda n: ("c", n)),
)
UNARY = ["neg", "exp", "tanh", "logistic", "sin", "cos", "abs", "sqrt", "log"]
BINARY = ["add", "sub", "mul", "div", "maximum", "minimum", "pow"]
TREES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(UNARY), inner),
        st.tuples(st.sampled_from(BINARY), inner, inner),
        st.tuples(st.just("where"), st.tuples(st.just("gt"), inner, inner), inner, inner),
    ),
    max_leaves=8,
)


def build(tree: Any) -> Expression:
    if tree[0] == "x":
        return symbol(tree[1])
    if tree[0] == "c":
        return constant(tree[1])
    return node(tree[0], *map(build, tree[1:]))


def plain(tree: Any, numbers: list[float]) -> Any:
    if tree[0] == "x":
        return np.float64(numbers[tree[1]])
    if tree[0] == "c":
        return np.float64(tree[1])
    with np.errstate(all="ignore"):
        return scalars()[tree[0]].evaluate(*(plain(t, numbers) for t in tree[1:]))


NUMBERS = st.lists(st.floats(-2, 2).filter(lambda n: abs(n) > 1e-2), min_size=2, max_size=2)


def finite_everywhere(tree: Any, numbers: list[float]) -> bool:
    inside = tree[0] in ("x", "c") or all(finite_everywhere(t, numbers) for t in tree[1:])
    return inside and bool(np.all(np.abs(np.float64(plain(tree, numbers))) < 1e6))


def negative_base(tree: Any, numbers: list[float]) -> bool:
    if tree[0] in ("x", "c"):
        return False
    here = tree[0] == "pow" and plain(tree[1], numbers) <= 0
    return bool(here) or any(negative_base(t, numbers) for t in tree[1:])


@given(TREES, NUMBERS)
def test_simplification_keeps_values(tree: Any, numbers: list[float]) -> None:
    assume(finite_everywhere(tree, numbers))
    wanted = float(plain(tree, numbers))
    assert value(build(tree), *numbers) == pytest.approx(wanted, rel=1e-12, abs=1e-12)


@given(TREES, NUMBERS)
def test_derivatives_of_random_expressions(tree: Any, numbers: list[float]) -> None:
    e, h = build(tree), 1e-5
    for i in range(2):
        shifted = []
        for s in (-2, -1, 0, 1, 2):
            at = list(numbers)
            at[i] += s * h
            assume(finite_everywhere(tree, at))
            shifted.append(value(e, *at))
        low, near_low, here, near_high, high = shifted
        wide, narrow = (high - low) / (4 * h), (near_high - near_low) / (2 * h)
        bend = (
            abs((near_high - here) - (here - near_low)) / h
        )  # a kink right here is symmetric: look at its sides
        size = max(map(abs, shifted)) + 1
        assume(
            abs(wide - narrow) < 1e-6 * size and bend < 1e-2 * size
        )  # no kink, jump or pole in between
        assume(abs(narrow) < 1e4 * size)
        assume(not negative_base(tree, numbers))  # d a^b / d b has the logarithm of a
        got = value(derivative(e, i), *numbers)
        assert got == pytest.approx(narrow, rel=1e-4, abs=1e-4 * size)


@given(TREES, TREES, TREES, NUMBERS)
def test_substitution_is_composition(outer: Any, a: Any, b: Any, numbers: list[float]) -> None:
    inner = [plain(a, numbers), plain(b, numbers)]
    assume(all(finite_everywhere(t, numbers) for t in (a, b)))
    assume(finite_everywhere(outer, [float(v) for v in inner]))
    fused = substitute(build(outer), [build(a), build(b)])
    assert value(fused, *numbers) == pytest.approx(float(plain(outer, inner)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("e", "simple"),
    [
        (X + 0, X), (0 + X, X), (X - 0, X), (0 - X, -X), (X - X, constant(0)), (X * 1, X),
        (X * -1, -X), (0 * X, constant(0)), (X / 1, X), (0 / X, constant(0)), (0 - (-X), X),
        (X + (-Y), X - Y), (X - (-Y), X + Y), (X**0, constant(1)), (X**1, X), (X**2, X * X),
        (X**3, X * X * X), (X**0.5, m.sqrt(X)), (X**-1, 1 / X), (X**-0.5, 1 / m.sqrt(X)),
        (m.where(X > 0, Y, Y), Y), (constant(2) * 3 + 1, constant(7)), (m.exp(constant(0)), constant(1.0)),
        (m.where(constant(1) > 0, X, Y), X),
    ],
)  # fmt: skip
def test_simplified_forms(e: Expression, simple: Expression) -> None:
    assert e is simple


def test_equal_expressions_are_one_object() -> None:
    assert m.exp(X + Y) is m.exp(X + Y)
    assert X + Y is not Y + X
    assert symbol(3) is symbol(3)
    assert constant(1) is not constant(1.0)
    assert constant(0.0) is not constant(-0.0)
    assert constant(float("nan")) is constant(float("nan"))


def test_interning_forgets_what_nobody_holds() -> None:
    from cortex.compute import expression

    e = m.sin(X * 123.456789)
    before = len(expression._interned)
    del e
    gc.collect()
    assert len(expression._interned) < before


def test_reusing_a_freed_address_does_not_confuse_interning() -> None:
    """Keys hold addresses of arguments; a dead argument's address must not find a stale node."""
    for k in range(2000):
        e = m.tanh(X * (k + 0.5))
        assert value(e, 0.001) == pytest.approx(np.tanh(0.001 * (k + 0.5)), rel=1e-12)


def test_constants_keep_their_kind() -> None:
    assert isinstance(constant(np.int32(3)).args[0], int)
    assert isinstance(constant(np.float32(3)).args[0], float)
    assert constant(True).args[0] == 1
    assert wrap(np.array(2.5)) is constant(2.5)
    assert (constant(7) / 2).args[0] == 3.5
    assert (constant(2) ** -1).args[0] == 0.5


def test_symbols_and_kind() -> None:
    assert (X * Z).symbols == {0, 2}
    assert (X > Y).is_bool and not (X + Y).is_bool
    assert repr(m.where(X > 1, X, 2.5)) == "where(gt(x0, 1), x0, 2.5)"


def test_evaluation_keeps_the_dtype_and_shares_work() -> None:
    shared = m.exp(X)
    a, b, c = evaluate([shared * 2, shared > 1, X], [np.array([0, 1], np.float32)], "float32")
    assert a.dtype == np.float32 and b.dtype == bool and c.dtype == np.float32
    np.testing.assert_allclose(a, 2 * np.exp([0, 1]), rtol=1e-6)


def test_cost_counts_shared_parts_once() -> None:
    e = m.exp(X)
    assert cost(e + e * e) == cost(e) + 2


def test_a_symbol_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match=r"where\(condition, a, b\) instead of `if`"):
        _ = 1 if X > 0 else 2
    with pytest.raises(TypeError, match=r"maximum\(a, b\) instead of max"):
        max(X, Y)


def test_arrays_are_not_constants() -> None:
    with pytest.raises(TypeError, match="arrays enter an expression as inputs"):
        wrap(np.zeros(3))
    with pytest.raises(TypeError):
        _ = X + "a"
