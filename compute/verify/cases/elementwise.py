"""`Map`: every scalar operation, broadcasting, dtypes and shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import math as m
from ...expression import symbol
from ...ops import Map
from ...program import Program, Value
from ..case import Case, Input, bools, distinct, exactly, integers, normal, positive
from ..oracles import erf

X, Y = symbol(0), symbol(1)


def _logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


# name, inputs, function of `math`, the same in NumPy; one operation each, so that a failure names it
_ONE: list[tuple[str, tuple[Input, ...], Any, Any]] = [
    ("add", (normal(7, 5), normal(7, 5)), lambda p, x, y: x + y, lambda x, y: x + y),
    ("subtract", (normal(7, 5), normal(7, 5)), lambda p, x, y: x - y, lambda x, y: x - y),
    ("multiply", (normal(7, 5), normal(7, 5)), lambda p, x, y: x * y, lambda x, y: x * y),
    ("divide", (normal(7, 5), positive(7, 5)), lambda p, x, y: x / y, lambda x, y: x / y),
    ("negative", (normal(7, 5),), lambda p, x: -x, lambda x: 0 - x),
    ("power", (positive(7, 5), normal(7, 5)), lambda p, x, y: x**y, lambda x, y: np.exp(y * np.log(x))),
    ("power_number", (positive(7, 5),), lambda p, x: x**2.5, lambda x: x * x * np.sqrt(x)),
    ("cube", (normal(7, 5),), lambda p, x: x**3, lambda x: x * x * x),
    ("exp", (normal(7, 5),), lambda p, x: m.exp(x), np.exp),
    ("expm1", (normal(7, 5),), lambda p, x: m.expm1(x), np.expm1),
    ("log", (positive(7, 5),), lambda p, x: m.log(x), np.log),
    ("log1p", (positive(7, 5),), lambda p, x: m.log1p(x), np.log1p),
    ("sqrt", (positive(7, 5),), lambda p, x: m.sqrt(x), np.sqrt),
    ("square", (normal(7, 5),), lambda p, x: m.square(x), np.square),
    ("tanh", (normal(7, 5),), lambda p, x: m.tanh(x), np.tanh),
    ("logistic", (normal(7, 5),), lambda p, x: m.logistic(x), _logistic),
    ("softplus", (normal(7, 5),), lambda p, x: m.softplus(x), lambda x: np.logaddexp(x, 0)),
    ("sin", (normal(7, 5),), lambda p, x: m.sin(x), np.sin),
    ("cos", (normal(7, 5),), lambda p, x: m.cos(x), np.cos),
    ("erf", (normal(7, 5),), lambda p, x: m.erf(x), erf),
    ("absolute", (distinct(7, 6),), lambda p, x: abs(x), np.abs),
    ("maximum", (distinct(7, 5), normal(7, 5)), lambda p, x, y: m.maximum(x, y), np.maximum),
    ("minimum", (distinct(7, 5), normal(7, 5)), lambda p, x, y: m.minimum(x, y), np.minimum),
    ("clip", (distinct(7, 6),), lambda p, x: m.clip(x, -0.5, 0.7), lambda x: np.clip(x, -0.5, 0.7)),
    (
        "where",
        (bools(7, 5), normal(7, 5), normal(7, 5)),
        lambda p, c, x, y: m.where(c, x, y),
        np.where,
    ),
]  # fmt: skip


def _everything(p: Program, x: Value, y: Value) -> Any:
    """Arithmetic and transcendental operations in one map with many outputs."""
    return p.map(
        lambda x, y: (
            *(x + y, x - y, x * y, x / y, -x, y**x, y**2.5, x**3),
            *(m.exp(x), m.expm1(x), m.log(y), m.log1p(y), m.sqrt(y), m.tanh(x), m.logistic(x)),
            *(m.softplus(x), m.sin(x), m.cos(x), m.erf(x), abs(x), m.maximum(x, y)),
            *(m.minimum(x, y), m.clip(x, -0.5, 0.7), m.where(x > y, x * y, y)),
        ),
        *(x, y),
    )


def _everything_expected(x: Any, y: Any) -> tuple[Any, ...]:
    return (
        *(x + y, x - y, x * y, x / y, 0 - x, np.exp(x * np.log(y)), y * y * np.sqrt(y), x * x * x),
        *(np.exp(x), np.expm1(x), np.log(y), np.log1p(y), np.sqrt(y), np.tanh(x), _logistic(x)),
        *(np.logaddexp(x, 0), np.sin(x), np.cos(x), erf(x), np.abs(x), np.maximum(x, y)),
        *(np.minimum(x, y), np.clip(x, -0.5, 0.7), np.where(x > y, x * y, y)),
    )


def _truths(p: Program, x: Value, y: Value) -> Any:
    return p.map(
        lambda x, y: (
            *(x > y, x >= y, x < y, x <= y, m.equal(x, y), m.not_equal(x, y)),
            *(m.logical_and(x > 0, y > 0), (x > 0) | (y > 0), ~(x > y), m.isnan(x / y)),
            *(m.sign(x), m.floor(x * 3)),
        ),
        *(x, y),
    )


def _truths_expected(x: Any, y: Any) -> tuple[Any, ...]:
    with np.errstate(all="ignore"):
        nan = np.isnan(x / y)
    return (
        *(x > y, x >= y, x < y, x <= y, x == y, x != y),
        *((x > 0) & (y > 0), (x > 0) | (y > 0), ~(x > y), nan, np.sign(x), np.floor(x * 3)),
    )


_LATTICE = (exactly([-2.0, -1, -1, 0, 0, 0.5, 1, 3]), exactly([1.0, -1, -2, 0, 1, 0.5, 2, 3]))
# (0 / 0 is the NaN among them; the others test ties and both signs)

# Edges where formulas overflow or cancel: (x, y) chosen so that the naive form gives inf, NaN or 0.
_EDGES = exactly([-1e4, -100, -20, -1e-5, 0, 1e-5, 20, 100, 1e4])


def _edges(p: Program, x: Value) -> tuple[Any, ...]:
    return m.logistic(x), m.tanh(x), m.softplus(x), m.exp(-abs(x)), m.expm1(x * 1e-3)


def _edges_expected(x: Any) -> tuple[Any, ...]:
    return (
        *(np.where(x < -700, 0, 1 / (1 + np.exp(np.minimum(-x, 700)))), np.tanh(x)),
        *(np.logaddexp(x, 0), np.exp(-np.abs(x)), np.expm1(x * 1e-3)),
    )


_SHAPES: list[tuple[tuple[int, ...], ...]] = [
    ((), ()),
    ((1,), (1,)),
    ((13,), (13,)),
    ((257,), ()),
    ((1031,), (1,)),
    ((3, 1025), (1025,)),
    ((31, 17), (31, 1)),
    ((5, 1, 7), (3, 1)),
    ((2, 3, 5, 7), (3, 1, 1)),
    ((1, 4), (6, 1)),
    ((2, 1, 3, 1), (1, 4, 1, 5)),
    ((70001,), (70001,)),
    ((0, 4), (4,)),
]


def _shape_case(left: tuple[int, ...], right: tuple[int, ...]) -> Case:
    return Case(
        f"map/shapes {list(left)} {list(right)}".replace(", ", ","),
        lambda p, x, y: x * y + 0.5 * x,
        (normal(*left), normal(*right)),
        lambda x, y: x * y + x / 2,
        gradient=0 not in left and left != (70001,),
    )


CASES: tuple[Case, ...] = (
    *(
        Case(f"map/{name}", op, inputs, expect, quick=False)
        for name, inputs, op, expect in _ONE
    ),
    Case("map/many outputs", _everything, (distinct(6, 7), positive(6, 7)), _everything_expected),
    Case("map/truth values", _truths, _LATTICE, _truths_expected, gradient=False),
    Case("map/edges", _edges, (_EDGES,), _edges_expected, gradient=False),
    *(_shape_case(*s) for s in _SHAPES),
    Case(
        "map/one input twice", lambda p, x: x * x + x, (normal(5, 3),), lambda x: x**2 + x
    ),
    Case(
        "map/column of a matrix times a row",
        Map((X * Y,), ("float32",), (4, 5, 6)),
        (normal(5, 1), normal(6)),
        lambda x, y: np.ones((4, 1, 1)) * x * y,
        gradient=False,
    ),
    Case(
        "map/number", lambda p, x: p.apply(Map((X * 0 + 3.5,), (x.dtype,), (2, 3))),
        (normal(1),), lambda x: np.full((2, 3), 3.5), gradient=False,
    ),
    Case(
        "map/not finite numbers",
        lambda p, x: (m.where(x > 0, x, float("-inf")), m.where(x > 0, float("nan"), x)),
        (distinct(3, 4),),
        lambda x: (np.where(x > 0, x, -np.inf), np.where(x > 0, np.nan, x)),
        gradient=False,
    ),
    Case(
        "map/NaN is carried",
        lambda p, x: (x + 1, m.exp(x), m.isnan(x), x > 0),
        (exactly([np.nan, 1, np.inf, -np.inf]),),
        lambda x: (x + 1, np.exp(x), np.isnan(x), x > 0),
        gradient=False,
    ),
    # integers and bytes
    Case(
        "map/bytes to numbers",
        lambda p, x: p.map(lambda x: x / 255, x),
        (integers(0, 256, 5, 7, 3, dtype="uint8"),),
        lambda x: x / 255,
        gradient=False,
    ),
    Case(
        "map/integers stay integers",
        lambda p, a, b: (a * b + 7, a - b, p.map(lambda a: a + 1, b, dtype="int32")),
        (integers(-99, 99, 3, 5, dtype="int64"), integers(-99, 99, 3, 5, dtype="int32")),
        lambda a, b: (a * b + 7, a - b, b + 1),
        gradient=False,
    ),
    Case(
        "map/large integers",
        lambda p, a: (a + 1, a * 3),
        (exactly([2**53 + 1, -(2**60) - 1, 0], "int64"),),
        lambda a: (a + 1, a * 3),
        gradient=False,
    ),
    Case(
        "map/convert",
        lambda p, x: tuple(
            p.apply(Map((X,), (d,)), x) for d in ("float32", "float64", "int32", "int64", "uint8")
        ),
        (Input((4, 5), lambda g, s: g.integers(0, 200, size=s) + 0.25),),
        lambda x: (x, x, np.trunc(x), np.trunc(x), np.trunc(x)),
        gradient=False,
    ),
    Case(
        "map/truth as number",
        lambda p, c, x: (p.apply(Map((X,), ("float32",)), c), m.where(c, x, 0) + m.where(~c, 2, 0)),
        (bools(3, 5), normal(3, 5)),
        lambda c, x: (c, np.where(c, x, 2)),
        gradient=False,
    ),
)  # fmt: skip
