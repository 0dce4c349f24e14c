"""Elementwise maps: every way to run them against the definition, in every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from elementwise import RELATIVE, Run, X, Y, Z, needs_native
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.compute import Program, get_backend
from cortex.compute import math as m
from cortex.compute.cpu.native import native
from cortex.compute.expression import Expression, node, symbol
from cortex.compute.ops import Slice, Transpose
from cortex.compute.scalars import scalars


def special(dtype, count, seed=0):
    """Numbers of every size, and those that have rules of their own."""
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    hard = [0.0, -0.0, 1, -1, 0.5, -0.5, 2, -2, np.inf, -np.inf, np.nan]
    hard += [info.max, -info.max, info.tiny, -info.tiny]
    usual = rng.standard_normal(count) * np.exp(rng.uniform(-6, 3, count))
    array = np.concatenate([hard, usual]).astype(dtype)
    rng.shuffle(array)
    return array[:count]


def every_operation():
    """One expression for each row of the table of scalar operations."""
    for name, row in scalars().items():
        arguments = [X, Y, Z][: len(row.partials)]
        if name in ("and", "or"):
            arguments = [X > 0, Y > 0]
        elif name in ("not", "where"):
            arguments[0] = X > 0
        yield node(name, *arguments)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 7, 1500])
@needs_native
def test_every_operation_on_a_tape(isa, dtype, count, monkeypatch):
    arrays = [special(dtype, count, k) for k in range(3)]
    for e in every_operation():
        out = "bool" if e.is_bool else dtype
        run = Run([e], [out], arrays[: max(e.symbols) + 1], "tape", monkeypatch).check(
            RELATIVE[dtype]
        )
        assert run.instruction.provider == "native tape"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_operation_with_numba(dtype, monkeypatch):
    every = list(every_operation())
    outs = ["bool" if e.is_bool else dtype for e in every]
    arrays = [special(dtype, 700, k) for k in range(3)]
    run = Run(every, outs, arrays, "numba", monkeypatch).check(RELATIVE[dtype])
    assert run.instruction.provider == "numba"


REFERENCES = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "tanh": np.tanh, "sin": np.sin, "cos": np.cos,
    "logistic": lambda x: 1 / (1 + np.exp(-x)), "sqrt": np.sqrt,
}  # fmt: skip
# As the head of csrc/vector_math.h says.
ULPS = {
    "float32": {"exp": 1.1, "expm1": 1.8, "log": 0.9, "log1p": 1.6, "tanh": 2.6, "logistic": 2.5, "sin": 0.6,
                "cos": 0.6, "sqrt": 0.51},
    "float64": {"exp": 1.1, "expm1": 2.3, "log": 1.0, "log1p": 1.6, "tanh": 2.7, "logistic": 2.3, "sin": 2.2,
                "cos": 2.0, "sqrt": 0.51},
}  # fmt: skip


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no longer type to compare with")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@needs_native
def test_errors_in_units_of_the_last_place(isa, dtype, monkeypatch):
    rng = np.random.default_rng(1)
    n, high = 20_000, 85 if dtype == "float32" else 700
    sizes = np.exp(rng.uniform(-60, 5, n))
    quarters = np.arange(1000) * np.pi / 2
    x = np.concatenate(
        [rng.standard_normal(n), rng.uniform(-high, high, n), sizes, quarters]
    ).astype(dtype)
    for name, reference in REFERENCES.items():
        (found,) = Run([node(name, X)], [dtype], [x], "tape", monkeypatch).check(1e-5).results()
        with np.errstate(all="ignore"):
            exact = reference(x.astype(np.longdouble))
            usual = (np.abs(exact) >= np.finfo(dtype).tiny) & (np.abs(exact) <= np.finfo(dtype).max)
        error = np.abs(found[usual] - exact[usual]) / np.spacing(np.abs(exact[usual]).astype(dtype))
        assert error.max() <= ULPS[dtype][name], name


# -- layouts and dtypes -------------------------------------------------------------------------

LAYOUTS = [
    [(5,), (5,)],
    [(1,), ()],
    [(3000,), ()],
    [(64, 10), (10,)],
    [(64, 10), (64, 1)],
    [(2, 3, 5, 7), (1, 3, 1, 1)],
    [(2, 3, 30, 70), (1, 3, 1, 1)],
    [(3, 1500), (1500,)],
    [(3, 1501), (3, 1)],
    [(4, 1), (1, 5)],
    [(3, 1, 5), (1, 4, 1)],
    [(2, 1, 3, 1, 2, 1), (1, 2, 1, 3, 1, 2)],
    [(2, 1, 700), (1, 5, 1)],
    [(1, 17), (300, 1)],
]


@pytest.mark.parametrize("shapes", LAYOUTS, ids=str)
@needs_native
def test_broadcasting(isa, shapes, monkeypatch):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-9, 9, s).astype("float32") for s in shapes]
    # a scalar part, a part that is one number a row, and both orders
    mixed = [(X - Y) * (Y * Y + 2) + 1, m.maximum(X, Y * 0.5)]
    run = Run(mixed, ["float32"] * 2, arrays, "tape", monkeypatch).check()
    run.check_splits()
    for e in (X + Y, X - Y, m.tanh(X + Y)):
        run = Run([e], ["float32"], arrays, "precompiled", monkeypatch).check(1e-5)
        if run.instruction.provider == "native":
            run.check_splits()


@pytest.mark.parametrize(
    "shapes", [[(3000,), ()], [(2, 3, 5, 7), (1, 3, 1, 1)], [(4, 1), (1, 5)]], ids=str
)
def test_broadcasting_with_numba(shapes, monkeypatch):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-9, 9, s).astype("float32") for s in shapes]
    Run([(X - Y) * (Y * Y + 2) + 1], ["float32"], arrays, "numba", monkeypatch).check()


@needs_native
def test_precompiled_loops_cover_rows_and_scalars(monkeypatch):
    x = np.ones((4, 65), "float32")
    for other in (np.ones((1, 65)), np.ones((4, 1)), np.ones(()), x):
        run = Run(
            [X + Y], ["float32"], [x, other.astype("float32")], "precompiled", monkeypatch
        ).check()
        assert run.instruction.provider == "native"


NUMBERS = ["bool", "uint8", "int32", "int64", "uint64", "float32", "float64"]


@pytest.mark.parametrize("count", [3, 600])
@needs_native
def test_conversions(isa, count, monkeypatch):
    rng = np.random.default_rng(0)
    for given_ in NUMBERS:
        x = rng.integers(0, 2 if given_ == "bool" else 100, count).astype(given_)
        for wanted in NUMBERS:
            Run([X], [wanted], [x], "tape", monkeypatch).check()


@needs_native
def test_truncation_and_large_integers(isa, monkeypatch):
    x = np.array([-2.7, -0.5, 0.0, 0.9, 2.7, 1e6, -1e6] * 9, "float64")
    Run([X, X, X], ["int32", "int64", "bool"], [x], "tape", monkeypatch).check()
    n = np.array([2**62, -(2**62), 2**53 + 1, -5, 0, 7] * 7, "int64")
    expressions = [X - 2**53, -X, abs(X), X > 2**53, m.sign(X)]
    run = Run(expressions, ["int64"] * 3 + ["bool", "int64"], [n], "tape", monkeypatch).check()
    assert run.instruction.target == "tape_i64"


# Operations whose results on small whole numbers are exact: any two ways to compute must agree to the last bit.
ARITHMETIC = ["add", "sub", "mul", "neg", "abs", "sign", "maximum", "minimum", "floor"]
COMPARISONS = ["gt", "ge", "lt", "le", "eq", "ne"]


@st.composite
def exact_expressions(draw, inputs: int):
    numbers: list[Expression] = [symbol(i) for i in range(inputs)]
    truths: list[Expression] = []
    for _ in range(draw(st.integers(1, 14))):
        pick = st.sampled_from(numbers[-6:])
        kind = draw(st.integers(0, 9))
        if kind < 5:
            op = draw(st.sampled_from(ARITHMETIC))
            e = node(op, *(draw(pick) for _ in scalars()[op].partials))
            numbers.append(
                m.maximum(m.minimum(e, 50), -50)
            )  # or products of products grow out of the exact range
        elif kind < 6:
            numbers.append(draw(pick) + draw(st.integers(-3, 3)))
        elif kind < 8 or not truths:
            e = node(draw(st.sampled_from(COMPARISONS)), draw(pick), draw(pick))
            truths.append(e)
        elif kind < 9:
            op = draw(st.sampled_from(["and", "or", "not"]))
            e = node(op, *(draw(st.sampled_from(truths)) for _ in scalars()[op].partials))
            truths.append(e)
        else:
            numbers.append(m.where(draw(st.sampled_from(truths)), draw(pick), draw(pick)))
        truths = [t for t in truths if t.op != "constant"]
    count = draw(st.integers(1, 3))
    return [draw(st.sampled_from([*numbers[-5:], *truths[-2:]])) for _ in range(count)]


@settings(max_examples=250)
@given(st.data())
@needs_native
def test_random_expressions(data):
    shape = data.draw(st.sampled_from([(1,), (5,), (700,), (3, 4), (2, 3, 4), (2, 600)]))
    count = data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    arrays = []
    for _ in range(count):
        dtype = data.draw(st.sampled_from(["uint8", "int32", "int64", "float32", "float64"]))
        cut = tuple(data.draw(st.sampled_from([1, n])) for n in shape)
        arrays.append(rng.integers(0 if dtype == "uint8" else -4, 5, cut).astype(dtype))
    expressions = data.draw(exact_expressions(count))
    real = any(a.dtype.kind == "f" for a in arrays)
    outs = ["bool" if e.is_bool else data.draw(st.sampled_from(["float32", "float64"] if real else ["int64", "int32"]))
            for e in expressions]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        run = Run(expressions, outs, arrays, "tape", patch, shape=shape).check()
        assert run.instruction.provider == "native tape"
        run.check_splits()


# -- results over operands ----------------------------------------------------------------------


@pytest.mark.parametrize("way", ["tape", "numba"])
@pytest.mark.parametrize("count", [13, 2600])
def test_results_over_operands(way, count, monkeypatch):
    a, b = np.random.default_rng(0).integers(-9, 9, (2, count)).astype("float32")
    Run([X * Y + X, X - Y], ["float32"] * 2, [a, b], way, monkeypatch, over=(0, 1)).check()
    if way == "tape" and native() is not None:
        run = Run(
            [Y, X], ["float32"] * 2, [a, b], way, monkeypatch, over=(0, 1)
        ).check()  # they swap
        run.check_splits()
        run = Run([Y * X - Y, X], ["float32"] * 2, [a, b], way, monkeypatch, over=(0, 1)).check()
        run.check_splits()


@needs_native
def test_a_precompiled_result_over_its_operand(isa, monkeypatch):
    a, b = np.random.default_rng(0).standard_normal((2, 1003)).astype("float32")
    run = Run([X - 0.1 * Y], ["float32"], [a, b], "precompiled", monkeypatch, over=(0,)).check(
        1e-6, 1e-6
    )
    assert run.instruction.provider == "native"
    run.check_splits()


def test_a_result_does_not_go_over_memory_that_is_read_in_another_shape(monkeypatch):
    monkeypatch.delenv("CORTEX_MAPS", raising=False)
    p = Program()
    x = p.input("x", (1000, 4))
    turned = p.apply(Transpose((1, 0)), x)
    p.output(
        "sum", turned * 0.5 + p.apply(Slice((0, 0), (1, 1000)), turned)
    )  # the first row, in every row
    executable = get_backend("cpu").compile(p)
    given_ = np.arange(4000.0).reshape(1000, 4)
    executable.write("x", given_)
    executable.run()
    np.testing.assert_array_equal(executable.read("sum"), given_.T * 0.5 + given_.T[:1])
