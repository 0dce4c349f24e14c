"""`Reduce` along every kind of axes."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ...ops import Reduce
from ..case import Case, Input, bools, distinct, exactly, integers, normal, positive

_FOLD: dict[str, Callable[[Any, Any], Any]] = {
    "sum": operator.add,
    "prod": operator.mul,
    "max": np.maximum,
    "min": np.minimum,
}


def _folded(kind: str, axes: tuple[int, ...], keep: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Return a reduction that folds slice after slice, one axis after the other."""

    def expect(x: np.ndarray) -> np.ndarray:
        for axis in reversed(axes):
            slices = [np.take(x, i, axis) for i in range(x.shape[axis])]
            x = functools.reduce(_FOLD[kind], slices)
            x = np.expand_dims(x, axis) if keep else x
        return np.asarray(x)

    return expect


def _argmax(axis: int, x: np.ndarray) -> np.ndarray:
    rows = np.moveaxis(x, axis, -1)
    flat = [max(range(len(r)), key=lambda i: (r[i], -i)) for r in rows.reshape(-1, rows.shape[-1])]
    return np.array(flat).reshape(rows.shape[:-1])


def _case(kind: Any, axes: tuple[int, ...], keep: bool, x: Input, **options: Any) -> Case:
    shape = ",".join(map(str, x.shape))
    name = f"reduce/{kind} [{shape}] axes {','.join(map(str, axes)) or 'none'}{' kept' * keep}"
    return Case(name, Reduce(kind, axes, keep), (x,), _folded(kind, axes, keep), **options)


_AXES = [a for n in range(4) for a in itertools.combinations(range(3), n)]

CASES: tuple[Case, ...] = (
    *(_case("sum", axes, bool(len(axes) % 2), normal(5, 3, 7)) for axes in _AXES),
    *(_case(k, axes, False, distinct(5, 3, 7), quick=len(axes) < 2) for k in ("max", "min") for axes in _AXES[1:]),
    *(_case("prod", axes, True, positive(5, 3, 7), quick=len(axes) == 2) for axes in _AXES[1:]),
    # beyond one block, not multiples of 16; the batch axis is summed by bias gradients
    _case("sum", (0,), False, normal(259, 33)),
    _case("sum", (1,), False, normal(33, 1031)),
    _case("sum", (0, 2, 3), False, normal(6, 5, 13, 11)),
    _case("sum", (1, 2, 3), False, normal(6, 5, 13, 11)),
    _case("max", (1,), True, distinct(67, 129)),
    _case("sum", (0,), False, normal(70001), gradient=False),
    _case("sum", (0, 1), False, normal(1, 1)),
    Case("reduce/sum of nothing", Reduce("sum", (0,)), (normal(0, 3),), lambda x: np.zeros(3), gradient=False),
    Case("reduce/product of nothing", Reduce("prod", (0,)), (normal(0, 3),), lambda x: np.ones(3), gradient=False),
    Case("reduce/sum of no rows", Reduce("sum", (1,)), (normal(0, 3),), lambda x: np.zeros(0), gradient=False),
    Case("reduce/one zero", Reduce("prod", (1,)), (exactly([[2.0, 0, 3], [0, 0, 5], [1, 2, 4]]),), lambda x: [0, 0, 8]),
    Case("reduce/argmax last", Reduce("argmax", (1,)), (distinct(37, 19),), lambda x: _argmax(1, x), gradient=False),
    Case("reduce/argmax first", Reduce("argmax", (0,)), (distinct(37, 19),), lambda x: _argmax(0, x), gradient=False),
    Case(
        "reduce/argmax middle kept", Reduce("argmax", (1,), True), (distinct(3, 11, 4),),
        lambda x: _argmax(1, x)[:, None], gradient=False,
    ),
    Case(
        "reduce/argmax ties go to the first", Reduce("argmax", (1,)),
        (exactly([[1.0, 3, 3, 2], [0, 0, 0, 0], [-1, -2, -1, -1]]),), lambda x: [1, 0, 0], gradient=False,
    ),
    Case(
        "reduce/sum of bytes", Reduce("sum", (0,)), (integers(0, 256, 300, 3, dtype="uint8"),),
        lambda x: sum(map(np.int64, x)), gradient=False,
    ),
    Case("reduce/sum of truths", Reduce("sum", (0,)), (bools(50, 3),), lambda x: sum(map(np.int64, x)), gradient=False),
    Case(
        "reduce/max of integers", Reduce("max", (0,)), (integers(-99, 99, 50, 3),),
        _folded("max", (0,), False), gradient=False,
    ),
    Case(
        "reduce/twice the maximum", lambda p, x: p.apply(Reduce("max", (0,)), x) * 2,
        (exactly([0.0, 3, 5, 2, 1, 9, 5, 7, 7, 2]),), lambda x: 18,
    ),
)  # fmt: skip
