"""`MatMul` and `Linear`: every orientation, odd extents, batches, extents above one tile."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ... import math as m
from ...expression import symbol
from ...ops import Linear, MatMul
from ..case import Case, normal

Array = Any  # an array or what arithmetic on arrays gives


def _product(a: Array, b: Array) -> Array:
    """Return the product as a plain sum over the inner axis (no BLAS)."""
    return np.einsum("...mk,...kn->...mn", a, b, optimize=False)


def _case(
    left: tuple[int, ...], right: tuple[int, ...], ta: bool, tb: bool, **options: Any
) -> Case:
    """`left` [..., m, k] and `right` [..., k, n] as the product sees them; held transposed if asked."""

    def held(shape: tuple[int, ...], transposed: bool) -> tuple[int, ...]:
        return (*shape[:-2], shape[-1], shape[-2]) if transposed else shape

    def expect(a: Array, b: Array) -> Array:
        return _product(a.swapaxes(-1, -2) if ta else a, b.swapaxes(-1, -2) if tb else b)

    shapes = "x".join(map(str, left)) + " " + "x".join(map(str, right))
    name = f"matmul/{shapes}{' a^T' * ta}{' b^T' * tb}"
    return Case(
        name, MatMul(ta, tb), (normal(*held(left, ta)), normal(*held(right, tb))), expect, **options
    )


def _linear(x: Array, w: Array, b: Array) -> Array:
    return np.einsum("...i,oi->...o", x, w) + b


_ORIENTATIONS = list(itertools.product((False, True), repeat=2))
_S = symbol(0)

CASES: tuple[Case, ...] = (
    *(_case((17, 33), (33, 65), a, b) for a, b in _ORIENTATIONS),
    *(_case((3, 5), (5, 7), a, b, quick=False) for a, b in _ORIENTATIONS),
    *(_case((129, 257), (257, 67), a, b, quick=not (a or b), gradient=False) for a, b in _ORIENTATIONS),
    *(_case((2, 3, 5, 7), (2, 3, 7, 4), a, b) for a, b in _ORIENTATIONS),
    _case((1, 1), (1, 1), False, False),
    _case((1, 300), (300, 1), False, True),
    _case((300, 1), (1, 300), True, False),
    _case((1, 800), (800, 500), False, True, gradient=False),  # batch 1 of LeNet's linear layer
    _case((50, 64), (64, 10), False, True),
    _case((4, 5, 7), (7, 3), False, False),  # the right operand is shared by the batch
    _case((5, 7), (4, 7, 3), False, False),
    _case((2, 1, 5, 7), (3, 7, 4), False, True),
    _case((0, 5), (5, 3), False, False, gradient=False),  # an empty batch
    Case(
        "matmul/nothing to sum", MatMul(), (normal(3, 0), normal(0, 4)), lambda a, b: np.zeros((3, 4)),
        gradient=False,
    ),
    Case("linear/plain", Linear(), (normal(5, 17), normal(10, 17), normal(10)), _linear),
    Case("linear/batch 1", Linear(), (normal(1, 13), normal(3, 13), normal(3)), _linear),
    Case("linear/vector", Linear(), (normal(13), normal(3, 13), normal(3)), _linear),
    Case("linear/sequence", Linear(), (normal(2, 3, 7), normal(5, 7), normal(5)), _linear),
    Case(
        "linear/relu", Linear(m.maximum(_S, 0)), (normal(33, 21), normal(19, 21), normal(19)),
        lambda x, w, b: np.maximum(_linear(x, w, b), 0),
    ),
    Case(
        "linear/tanh", Linear(m.tanh(_S)), (normal(4, 3), normal(2, 3), normal(2)),
        lambda x, w, b: np.tanh(_linear(x, w, b)),
    ),
)  # fmt: skip
