"""The scalar operations that expressions are made of: one row each.

A row says how to evaluate the operation on NumPy arrays, its partial derivatives as expressions of its arguments,
and its source in Python (compiled by Numba) and in C++ (native kernels and, with the same spelling, CUDA).
To add a scalar operation, add a row here and a function in `math.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Partial = Callable[..., Any]


@dataclass(frozen=True)
class Scalar:
    """How one scalar operation is evaluated, differentiated and written down."""

    evaluate: Callable[..., Any]
    # One per argument. Written with the result itself where possible (tanh, exp, maximum): a `Map` then takes its
    # gradient from its output, and its input need not be kept.
    partials: tuple[Partial, ...]
    python: str
    c: str
    cost: int = 1  # rough cycles per element; above 4, fusion never computes it twice
    is_bool: bool = False


def _logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _zero(*_: Any) -> int:
    return 0


def _table() -> dict[str, Scalar]:
    from . import math as m

    def compare(evaluate: Callable[..., Any], sign: str) -> Scalar:
        return Scalar(
            evaluate, (_zero, _zero), f"({{}} {sign} {{}})", f"({{}} {sign} {{}})", 1, True
        )

    return {
        "add": Scalar(np.add, (lambda a, b: 1, lambda a, b: 1), "({} + {})", "({} + {})"),
        "sub": Scalar(np.subtract, (lambda a, b: 1, lambda a, b: -1), "({} - {})", "({} - {})"),
        "mul": Scalar(np.multiply, (lambda a, b: b, lambda a, b: a), "({} * {})", "({} * {})"),
        "div": Scalar(
            np.divide, (lambda a, b: 1 / b, lambda a, b: -a / (b * b)), "({} / {})", "({} / {})", 4
        ),
        "neg": Scalar(np.negative, (lambda a: -1,), "(-{})", "(-{})"),
        "pow": Scalar(
            np.power,
            (lambda a, b: b * a ** (b - 1), lambda a, b: m.log(a) * a**b),
            "({} ** {})",
            "power({}, {})",
            40,
        ),
        "exp": Scalar(np.exp, (lambda a: m.exp(a),), "math.exp({})", "exp({})", 12),
        "expm1": Scalar(np.expm1, (lambda a: m.exp(a),), "math.expm1({})", "expm1({})", 20),
        "log": Scalar(np.log, (lambda a: 1 / a,), "math.log({})", "log({})", 15),
        "log1p": Scalar(np.log1p, (lambda a: 1 / (1 + a),), "math.log1p({})", "log1p({})", 20),
        "sqrt": Scalar(np.sqrt, (lambda a: 0.5 / m.sqrt(a),), "math.sqrt({})", "sqrt({})", 6),
        "tanh": Scalar(
            np.tanh, (lambda a: 1 - m.tanh(a) * m.tanh(a),), "math.tanh({})", "tanh({})", 20
        ),
        "logistic": Scalar(
            _logistic,
            (lambda a: m.logistic(a) * (1 - m.logistic(a)),),
            "(one / (one + math.exp(-{})))",
            "logistic({})",
            16,
        ),
        "sin": Scalar(np.sin, (lambda a: m.cos(a),), "math.sin({})", "sin({})", 20),
        "cos": Scalar(np.cos, (lambda a: -m.sin(a),), "math.cos({})", "cos({})", 20),
        "erf": Scalar(
            _erf,
            (lambda a: 1.1283791670955126 * m.exp(-a * a),),
            "math.erf({})",
            "erf({})",
            20,
        ),
        "abs": Scalar(np.abs, (lambda a: m.sign(a),), "abs({})", "abs({})"),
        "sign": Scalar(
            np.sign, (_zero,), "(one if {0} > 0 else -one if {0} < 0 else {0} - {0})", "sign({})", 2
        ),
        "floor": Scalar(np.floor, (_zero,), "np.floor({})", "floor({})", 2),
        "maximum": Scalar(
            np.maximum,
            (
                lambda a, b: m.where(m.maximum(a, b) > b, 1, 0),
                lambda a, b: m.where(m.maximum(a, b) > b, 0, 1),
            ),
            "({0} if ({0} > {1}) | ({0} != {0}) else {1})",
            "maximum({}, {})",
        ),
        "minimum": Scalar(
            np.minimum,
            (
                lambda a, b: m.where(m.minimum(a, b) < b, 1, 0),
                lambda a, b: m.where(m.minimum(a, b) < b, 0, 1),
            ),
            "({0} if ({0} < {1}) | ({0} != {0}) else {1})",
            "minimum({}, {})",
        ),
        "where": Scalar(
            np.where,
            (_zero, lambda c, a, b: m.where(c, 1, 0), lambda c, a, b: m.where(c, 0, 1)),
            "({1} if {0} else {2})",
            "select({}, {}, {})",
        ),
        "gt": compare(np.greater, ">"),
        "ge": compare(np.greater_equal, ">="),
        "lt": compare(np.less, "<"),
        "le": compare(np.less_equal, "<="),
        "eq": compare(np.equal, "=="),
        "ne": compare(np.not_equal, "!="),
        "and": Scalar(np.logical_and, (_zero, _zero), "({} & {})", "({} & {})", 1, True),
        "or": Scalar(np.logical_or, (_zero, _zero), "({} | {})", "({} | {})", 1, True),
        "not": Scalar(np.logical_not, (_zero,), "(not {})", "(!{})", 1, True),
        "isnan": Scalar(np.isnan, (_zero,), "({0} != {0})", "({0} != {0})", 1, True),
    }


_scalars: dict[str, Scalar] = {}


def scalars() -> dict[str, Scalar]:
    """Return the table of scalar operations by name."""
    if not _scalars:
        _scalars.update(_table())
    return _scalars
