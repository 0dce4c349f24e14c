"""Updates that read what they overwrite: a state means its content before the run, to every reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import Backend
from ..ops import Concatenate, MatMul, Reduce, Reshape, ScatterAdd, Slice, Transpose
from ..program import Program, Value
from .check import Check
from .compare import close, execute


def _cut(p: Program, v: Value, start: int, stop: int) -> Value:
    piece: Value = p.apply(Slice((start,), (stop,)), v)
    return piece


def _evolve(
    backend: Backend,
    what: str,
    start: dict[str, Any],
    record: Callable[..., dict[str, Value]],
    advance: Callable[..., dict[str, Any]],
    runs: int = 3,
) -> None:
    """Run a program whose states are updated as `record` says, and `advance` on NumPy beside it.

    `record(p, **values)` and `advance(**arrays)` both return the new content of the states they name.
    """
    p = Program()
    states = {n: p.persistent(n, a.shape, a.dtype.name) for n, a in start.items()}
    for name, value in record(p, **states).items():
        p.update(name, value)
    executable = execute(backend, p, start, 0)
    arrays = dict(start)
    for run in range(1, runs + 1):
        executable.run()
        arrays |= advance(**arrays)
        for name, wanted in arrays.items():
            close(f"{what}: {name} after run {run}", executable.read(name), wanted)


def _ramp(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 8


# What a run does to its states: name, start, program, the same in NumPy. Every row reads a state that
# an update could overwrite too early, were it done in place.
EVOLUTIONS: list[tuple[str, dict[str, np.ndarray], Any, Any]] = [
    ("counter", {"n": np.array(5, np.int64)}, lambda p, n: {"n": n + 1}, lambda n: {"n": n + 1}),
    (
        "swap two states",
        {"a": _ramp(33), "b": -_ramp(33)},
        lambda p, a, b: {"a": b, "b": a},
        lambda a, b: {"a": b, "b": a},
    ),
    (
        "rotate three states",
        {"a": _ramp(5), "b": _ramp(5) + 1, "c": _ramp(5) + 2},
        lambda p, a, b, c: {"a": b, "b": c, "c": a},
        lambda a, b, c: {"a": b, "b": c, "c": a},
    ),
    (
        "swap through maps",
        {"a": _ramp(33), "b": -_ramp(33)},
        lambda p, a, b: {"a": b + 1, "b": a * 2},
        lambda a, b: {"a": b + 1, "b": a * 2},
    ),
    (
        "one update reads what another writes",
        {"a": _ramp(17), "b": _ramp(17)},
        lambda p, a, b: {"a": a + 1, "b": a + b},
        lambda a, b: {"a": a + 1, "b": a + b},
    ),
    (
        "copy one state into another",
        {"a": _ramp(7), "b": _ramp(7) + 1},
        lambda p, a, b: {"b": a, "a": a * 2},
        lambda a, b: {"b": a, "a": a * 2},
    ),
    (
        "one value for two states",
        {"a": _ramp(7), "b": _ramp(7) + 1},
        lambda p, a, b: (lambda s: {"a": s, "b": s})(a + b),
        lambda a, b: {"a": a + b, "b": a + b},
    ),
    (
        "roll",
        {"a": _ramp(37)},
        lambda p, a: {"a": p.apply(Concatenate(0), _cut(p, a, 1, 37), _cut(p, a, 0, 1))},
        lambda a: {"a": np.roll(a, -1)},
    ),
    (
        "shift the other way",
        {"a": _ramp(37)},
        lambda p, a: {"a": p.apply(Concatenate(0), _cut(p, a, 36, 37), _cut(p, a, 0, 36))},
        lambda a: {"a": np.roll(a, 1)},
    ),
    (
        "transpose",
        {"a": _ramp(19, 19)},
        lambda p, a: {"a": p.apply(Transpose((1, 0)), a)},
        lambda a: {"a": a.T},
    ),
    (
        "sum with the transpose",
        {"a": _ramp(9, 9)},
        lambda p, a: {"a": (a + p.apply(Transpose((1, 0)), a)) * 0.5 + p.constant(_ramp(9, 9))},
        lambda a: {"a": (a + a.T) / 2 + _ramp(9, 9)},
    ),
    (
        "product with itself",
        {"a": _ramp(5, 5) / 4},
        lambda p, a: {"a": p.apply(MatMul(), a, a)},
        lambda a: {"a": a @ a},
    ),
    (
        "subtract the mean",
        {"a": _ramp(6, 5)},
        lambda p, a: {"a": 2 * a - p.apply(Reduce("sum", (0,), True), a) * (1 / 6)},
        lambda a: {"a": 2 * a - a.mean(0)},
    ),
    (
        "broadcast one row over all",
        {"a": _ramp(6, 5)},
        lambda p, a: {"a": a + p.apply(Slice((2, 0), (3, 5)), a)},
        lambda a: {"a": a + a[2]},
    ),
    (
        "add rows by index",
        {"a": _ramp(4, 3)},
        lambda p, a: {
            "a": a + p.apply(ScatterAdd(4), p.constant(np.array([3, 0, 3, 1], np.int32)), a)
        },
        lambda a: {"a": a + np.array([a[1], a[3], 0 * a[0], a[0] + a[2]])},
    ),
    (
        "a moment and the parameter that it moves",
        {"w": _ramp(41), "v": _ramp(41) * 0},
        lambda p, w, v: (lambda n: {"v": n, "w": w - 0.1 * n})(0.9 * v + w),
        lambda w, v: {"v": 0.9 * v + w, "w": w - 0.1 * (0.9 * v + w)},
    ),
    (
        "reshaped",
        {"a": _ramp(12)},
        lambda p, a: {
            "a": p.apply(Reshape((12,)), p.apply(Transpose((1, 0)), p.apply(Reshape((3, 4)), a)))
        },
        lambda a: {"a": a.reshape(3, 4).T.reshape(-1)},
    ),
    (
        "truth values and bytes",
        {"t": np.array([True, False, True]), "u": np.array([1, 2, 250], np.uint8)},
        lambda p, t, u: {"t": ~t, "u": p.map(lambda u: u - 1, u, dtype="uint8")},
        lambda t, u: {"t": ~t, "u": u - np.uint8(1)},
    ),
    (
        "many small pieces into one buffer",
        {"a": _ramp(64)},
        lambda p, a: {
            "a": p.apply(
                Concatenate(0),
                *(_cut(p, a, i, j) * 2 for i, j in ((0, 1), (1, 4), (4, 21), (21, 30), (30, 64))),
            )
        },
        lambda a: {"a": 2 * a},
    ),
]


def _evolution(row: tuple[str, dict[str, np.ndarray], Any, Any]) -> Check:
    return Check(f"update/{row[0]}", lambda backend: _evolve(backend, *row))


CHECKS = [_evolution(row) for row in EVOLUTIONS]
