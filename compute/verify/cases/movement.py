"""`Reshape`, `Transpose`, `Slice`, `Pad`, `Concatenate`, `Gather`, `ScatterAdd`, `Embedding`: exact copies."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ...ops import Concatenate, Embedding, Gather, Pad, Reshape, ScatterAdd, Slice, Transpose
from ..case import Case, exactly, integers, normal

Array = Any  # an array or what arithmetic on arrays gives


def _reshape(shape: tuple[int, ...], x: Array) -> Array:
    y = np.empty(shape, x.dtype)
    for to, at in zip(np.ndindex(shape), np.ndindex(x.shape), strict=True):
        y[to] = x[at]
    return y


def _transpose(axes: tuple[int, ...], x: Array) -> Array:
    y = np.empty([x.shape[a] for a in axes], x.dtype)
    for at in np.ndindex(x.shape):
        y[tuple(at[a] for a in axes)] = x[at]
    return y


def _slice(op: Slice, x: Array) -> Array:
    ranges = [range(a, b, s) for a, b, s in zip(op.start, op.stop, op.steps, strict=True)]
    shape = [len(r) for r in ranges]
    return np.array([x[at] for at in itertools.product(*ranges)], x.dtype).reshape(shape)


def _pad(op: Pad, x: Array) -> Array:
    shape = [
        a + n + max(n - 1, 0) * i + b
        for a, n, i, b in zip(op.low, x.shape, op.between, op.high, strict=True)
    ]
    y = np.full(shape, op.value, x.dtype)
    for at in np.ndindex(x.shape):
        y[tuple(a + p * (i + 1) for a, p, i in zip(op.low, at, op.between, strict=True))] = x[at]
    return y


def _concatenate(axis: int, *xs: Array) -> Array:
    moved = [np.moveaxis(x, axis, 0) for x in xs]
    return np.moveaxis(np.array([row for x in moved for row in x]), 0, axis)


def _gather(x: Array, index: Array) -> Array:
    return np.array([x[int(i)] for i in index.ravel()]).reshape(*index.shape, *x.shape[1:])


def _scatter(rows: int, index: Array, updates: Array) -> Array:
    y = np.zeros((rows, *updates.shape[index.ndim :]))
    for at in np.ndindex(index.shape):
        y[int(index[at])] += updates[at]
    return y


def _embedding(padding: int | None, table: Array, index: Array) -> Array:
    y = _gather(table, index)
    y[index == padding] = 0
    return y


def _reshaped(before: tuple[int, ...], after: tuple[int, ...]) -> Case:
    name = f"reshape/{list(before)} to {list(after)}".replace(", ", ",")
    return Case(name, Reshape(after), (normal(*before),), lambda x: _reshape(after, x))


def _transposed(shape: tuple[int, ...], axes: tuple[int, ...], **options: Any) -> Case:
    name = f"transpose/{list(shape)} by {list(axes)}".replace(", ", ",")
    return Case(name, Transpose(axes), (normal(*shape),), lambda x: _transpose(axes, x), **options)


def _sliced(shape: tuple[int, ...], op: Slice, **options: Any) -> Case:
    cut = ",".join(f"{a}:{b}:{s}" for a, b, s in zip(op.start, op.stop, op.steps, strict=True))
    return Case(
        f"slice/{cut or 'of a number'}", op, (normal(*shape),), lambda x: _slice(op, x), **options
    )


def _padded(name: str, shape: tuple[int, ...], op: Pad) -> Case:
    return Case(f"pad/{name}", op, (normal(*shape),), lambda x: _pad(op, x))


def _joined(axis: int, *shapes: tuple[int, ...]) -> Case:
    name = f"concatenate/{len(shapes)} of rank {len(shapes[0])} along {axis}"
    return Case(
        name, Concatenate(axis), tuple(normal(*s) for s in shapes), lambda *x: _concatenate(axis, *x)
    )  # fmt: skip


CASES: tuple[Case, ...] = (
    _reshaped((3, 4, 5), (12, 5)),
    _reshaped((7,), (7, 1, 1)),
    _reshaped((1, 1), ()),
    _reshaped((2, 3, 5), (5, 3, 2)),
    _transposed((100, 67), (1, 0)),
    _transposed((3, 4, 5), (0, 2, 1)),
    _transposed((3, 4, 5), (2, 0, 1)),
    _transposed((2, 17, 5, 6), (0, 2, 3, 1)),  # channels last
    _transposed((2, 5, 6, 17), (0, 3, 1, 2)),  # and back
    _transposed((2, 3, 4, 5), (3, 2, 1, 0)),
    _transposed((1, 33), (1, 0)),
    _transposed((), ()),
    _sliced((11,), Slice((3,), (9,))),
    _sliced((11, 7), Slice((1, 2), (10, 7), (3, 2))),
    _sliced((4, 5, 6), Slice((0, 2, 0), (4, 5, 6))),
    _sliced((4, 5), Slice((2, 1), (2, 5)), gradient=False),  # empty
    _sliced((), Slice((), ())),
    _padded("low and high", (3, 4), Pad((1, 0), (2, 3))),
    _padded("interior", (3, 4), Pad((0, 1), (0, 0), (1, 2))),
    _padded("value", (2, 3, 5), Pad((0, 1, 1), (0, 1, 2), (), -2.5)),
    _padded("one element", (1,), Pad((2,), (1,), (3,))),
    _padded("of a number", (), Pad((), ())),
    Case(
        "pad/minus infinity", Pad((1,), (1,), (), -np.inf), (normal(4),),
        lambda x: [-np.inf, *x, -np.inf], gradient=False,
    ),
    _joined(0, (3, 4), (1, 4), (5, 4)),
    _joined(1, (3, 4), (3, 1), (3, 33)),
    _joined(1, (2, 3, 4, 5), (2, 2, 4, 5)),
    _joined(2, (2, 3, 1), (2, 3, 7), (2, 3, 2), (2, 3, 5)),
    _joined(0, (3,)),
    Case(
        "concatenate/one value twice", lambda p, x: p.apply(Concatenate(0), x, x), (normal(3, 2),),
        lambda x: _concatenate(0, x, x),
    ),
    # dtypes other than floats
    Case(
        "movement/bytes", lambda p, x: p.apply(Reshape((30,)), p.apply(Transpose((2, 0, 1)), x)),
        (integers(0, 256, 3, 5, 2, dtype="uint8"),), lambda x: _transpose((2, 0, 1), x).ravel(), gradient=False,
    ),
    Case(
        "movement/integers", lambda p, x: p.apply(Concatenate(1), x, p.apply(Pad((0, 1), (0, 0)), x)),
        (integers(-(2**40), 2**40, 4, 3, dtype="int64"),),
        lambda x: np.concatenate([x, np.zeros((4, 1), np.int64), x], 1), gradient=False,
    ),
    # rows by index
    *(
        Case(
            f"gather/{dtype}", Gather(), (normal(7, 5), integers(0, 7, 4, 3, dtype=dtype)), _gather
        )
        for dtype in ("uint8", "int32", "int64")
    ),
    Case("gather/numbers", Gather(), (normal(9), integers(0, 9, 20)), _gather),
    Case("gather/one index", Gather(), (normal(9, 2, 3), exactly(4, "int32")), lambda x, i: x[4]),
    Case("gather/nothing", Gather(), (normal(9, 2), integers(0, 9, 0)), lambda x, i: np.zeros((0, 2)), gradient=False),
    Case("gather/wide", Gather(), (normal(50, 129), integers(0, 50, 37)), _gather, quick=False),
    Case("gather/bytes", Gather(), (integers(0, 256, 9, 4, dtype="uint8"), integers(0, 9, 6)), _gather, gradient=False),
    Case(
        "scatter/repeated rows", ScatterAdd(6), (integers(0, 6, 40), normal(40, 3)),
        lambda i, u: _scatter(6, i, u),
    ),
    Case(
        "scatter/index of rank 2", ScatterAdd(5), (integers(0, 5, 4, 3, dtype="int64"), normal(4, 3, 2)),
        lambda i, u: _scatter(5, i, u),
    ),
    Case(
        "scatter/numbers", ScatterAdd(4), (integers(0, 3, 9, dtype="uint8"), normal(9)),
        lambda i, u: _scatter(4, i, u),
    ),
    Case(
        "scatter/many", ScatterAdd(11), (integers(0, 11, 5000), normal(5000)),
        lambda i, u: _scatter(11, i, u), gradient=False,
    ),
    Case(
        "scatter/nothing", ScatterAdd(3), (integers(0, 3, 0), normal(0, 2)),
        lambda i, u: np.zeros((3, 2)), gradient=False,
    ),
    Case("embedding/plain", Embedding(), (normal(7, 5), integers(0, 7, 4, 3)), lambda t, i: _embedding(None, t, i)),
    Case("embedding/padding row", Embedding(2), (normal(4, 5), integers(0, 4, 6, 3)), lambda t, i: _embedding(2, t, i)),
    Case(
        "embedding/padding row 0 of bytes", Embedding(0), (normal(3, 2), integers(0, 3, 9, dtype="uint8")),
        lambda t, i: _embedding(0, t, i),
    ),
)  # fmt: skip
