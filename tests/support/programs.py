"""Random programs for tests: elementwise ops, reductions, products, movements, and state that is updated."""

from __future__ import annotations

import numpy as np

from cortex.compute import math as m
from cortex.compute.ops import Concatenate, Map, MatMul, Pad, Reduce, Reshape, Slice, Transpose
from cortex.compute.program import Program, Value


def _broadcasts(x: Value, y: Value) -> bool:
    try:
        return len(np.broadcast_shapes(x.shape, y.shape)) <= 2
    except ValueError:
        return False


def random_program(seed: int, length: int = 25, dtype: str = "float64") -> Program:
    """Return a program with three inputs, two constants and four outputs on small values."""
    rng = np.random.default_rng(seed)
    p = Program()
    values = [p.input(n, s, dtype) for n, s in (("a", (3, 4)), ("b", (4,)), ("c", (3, 1)))]
    values += [
        p.constant(rng.normal(size=(3, 4)).astype(dtype)),
        p.constant(np.array(rng.normal(), dtype)),
    ]
    grow(p, values, rng, length)
    for k, i in enumerate(rng.integers(len(values), size=4)):
        p.output(f"out{k}", values[i])
    return p


def random_training(seed: int, length: int = 25, dtype: str = "float64") -> Program:
    """Return a program with a flat state, views of it, and updates that read old and new content in many ways."""
    rng = np.random.default_rng(seed)
    p = random_program(seed, length, dtype)
    flat = p.persistent("flat", (20,), dtype)
    other = p.persistent("other", (20,), dtype)
    pieces = [
        p.view("u", "flat", 0, (3, 4)),
        p.view("v", "flat", 12, (4,)),
        p.view("w", "flat", 16, (4,)),
    ]
    values = [*p.outputs.values(), *pieces]
    grow(p, values, rng, length)
    fresh = [v for v in values if v.shape in ((3, 4), (4,))]
    blocks = [fresh[i] for i in rng.integers(len(fresh), size=8)]
    parts, size = [], 0
    for block in blocks:
        if size + block.spec.size <= 20:
            parts.append(p.apply(Reshape((block.spec.size,)), block))
            size += block.spec.size
    if size < 20:
        parts.append(p.apply(Slice((size,), (20,)), flat))
    joined = p.apply(Concatenate(0), *parts)
    choice = rng.integers(5)
    p.update("flat", [joined, flat * 0.5 + joined, other, joined, flat + 1][choice])
    p.update("other", [flat, other - joined, flat, other * 2 + flat, joined][choice])
    p.output("kept", [flat, pieces[0], other, joined, pieces[1]][rng.integers(5)])
    return p


def grow(p: Program, values: list[Value], rng: np.random.Generator, length: int) -> None:
    """Append random steps on random values."""
    maps = [
        lambda a, b: a + b,
        lambda a, b: a * m.tanh(b),
        m.maximum,
        lambda a, b: m.where(a > b, a, 2 * b),
    ]
    for _ in range(length):
        x, y = (values[i] for i in rng.integers(len(values), size=2))
        kind = int(rng.integers(11))
        if kind < 4 and _broadcasts(x, y):
            values.append(p.map(maps[kind], x, y))
        elif kind == 4:
            values.append(p.map(lambda a: (m.exp(-a * a), a - 1), x)[int(rng.integers(2))])
        elif kind == 5 and x.spec.rank:
            values.append(p.apply(Reduce("sum", (int(rng.integers(x.spec.rank)),), True), x))
        elif kind == 6 and x.shape == (3, 4):
            values.append(p.apply(MatMul(False, True), x, x) * 0.1)
        elif kind == 7 and x.spec.rank == 2:
            values.append(p.apply(Transpose((1, 0)), x))
        elif kind == 8:
            values.append(p.apply(Reshape((x.spec.size,)), x))
        elif kind == 9 and x.shape == (3, 4):
            values.append(p.apply(Slice((1, 0), (3, 4), (1, 1)), x))
        elif kind == 10 and x.spec.rank == 1:
            values.append(p.apply(Pad((1,), (2,), (int(rng.integers(2)),), 0.5), x))


def identity(p: Program, value: Value) -> Value:
    """Return a value computed by a map that changes nothing."""
    from cortex.compute.expression import symbol

    result: Value = p.apply(Map((symbol(0),), (value.dtype,), value.shape), value)
    return result
