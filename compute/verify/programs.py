"""Whole programs against the NumPy reference: random ones, and a few training steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import math as m
from .. import ops
from ..autodiff import gradients
from ..backend import Backend
from ..ops.random import random_state
from ..ops.reduce import mean, reduce_axes, reshape_to
from ..program import Program, Value
from ..registry import get_backend
from .check import Check
from .compare import close

Generator = np.random.Generator
STEPS = 14
QUICK = 6  # random programs in the quick suite
FULL = 60


def random_program(seed: int, dtype: str) -> Program:
    """Return a program of about `STEPS` random ops on inputs of rank 2, its loss and gradients."""
    g = np.random.default_rng(seed)
    p = Program()
    rows, columns = (int(n) for n in g.integers(1, 20, size=2))
    pool = [p.input(f"x{k}", (rows, columns), dtype) for k in range(2)]
    pool.append(p.input("row", (columns,), dtype))
    pool.append(p.persistent("state", (rows, 1), dtype))
    inputs = list(pool)
    for _ in range(STEPS):
        grow = _GROW[g.integers(len(_GROW))]
        value = grow(p, g, pool)
        if value is not None and 0 < value.spec.size <= 2000:
            pool.append(value)
    terms = [reduce_axes(p, "sum", m.tanh(v), None) for v in pool[-4:]]
    loss = terms[0]
    for t in terms[1:]:
        loss = loss + t
    p.output("loss", loss)
    p.output("last", pool[-1])
    p.output("middle", pool[len(pool) // 2])
    for k, d in enumerate(gradients(p, loss, inputs)):
        p.output(f"d{k}", d)
    p.update("state", p.state["state"] * 0.5 + reduce_axes(p, "max", pool[0], 1, keep=True))
    return p


def _pick(g: Generator, pool: Sequence[Value]) -> Value:
    return pool[int(g.integers(len(pool)))]


def _unary(p: Program, g: Generator, pool: Sequence[Value]) -> Value | None:
    f: Callable[[Any], Any] = (
        m.tanh, m.logistic, m.sin, abs, lambda x: m.maximum(x, 0), lambda x: x * x * 0.5,
        lambda x: m.exp(-m.square(x)), lambda x: x * 1.5 - 0.25,
    )[g.integers(8)]  # fmt: skip
    result: Value = f(_pick(g, pool))
    return result


def _binary(p: Program, g: Generator, pool: Sequence[Value]) -> Value | None:
    a, b = _pick(g, pool), _pick(g, pool)
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        return None
    f: Callable[[Any, Any], Any] = (
        lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a - 2 * b,
        lambda a, b: m.where(a > b, a, 0.5 * b), lambda a, b: a / (1 + b * b),
    )[g.integers(5)]  # fmt: skip
    result: Value = f(a, b)
    return result


def _reduce(p: Program, g: Generator, pool: Sequence[Value]) -> Value | None:
    a = _pick(g, pool)
    if not a.spec.rank:
        return None
    axis = int(g.integers(a.spec.rank))
    kind = ("sum", "max", "min")[g.integers(3)]
    return reduce_axes(p, kind, a, axis, keep=bool(g.integers(2))) * 0.3


def _product(p: Program, g: Generator, pool: Sequence[Value]) -> Value | None:
    matrices = [v for v in pool if v.spec.rank == 2]
    pairs = [
        (a, b, ta, tb)
        for a, b in itertools.product(matrices, repeat=2)
        for ta, tb in itertools.product((False, True), repeat=2)
        if a.shape[0 if ta else 1] == b.shape[1 if tb else 0]
    ]
    if not pairs:
        return None
    a, b, ta, tb = pairs[g.integers(len(pairs))]
    result: Value = p.apply(ops.MatMul(ta, tb), a, b) * 0.2
    return result


def _move(p: Program, g: Generator, pool: Sequence[Value]) -> Value | None:
    a = _pick(g, pool)
    rank = a.spec.rank
    result: Value
    match int(g.integers(4)):
        case 0:
            result = p.apply(ops.Transpose(tuple(int(i) for i in g.permutation(rank))), a)
        case 1:
            start = tuple(int(g.integers(n)) for n in a.shape)
            result = p.apply(ops.Slice(start, a.shape), a)
        case 2:
            low = tuple(int(n) for n in g.integers(0, 3, size=rank))
            result = p.apply(ops.Pad(low, low[::-1]), a)
        case _:
            result = p.apply(ops.Reshape((a.spec.size, 1)), a)
    return result


def _join(p: Program, g: Generator, pool: Sequence[Value]) -> Value | None:
    a = _pick(g, pool)
    others = [v for v in pool if v.spec.rank == a.spec.rank and v.shape[1:] == a.shape[1:]]
    if not a.spec.rank or not others:
        return None
    result: Value = p.apply(ops.Concatenate(0), a, _pick(g, others))
    return result


def _composite(p: Program, g: Generator, pool: Sequence[Value]) -> Value | None:
    a = _pick(g, [v for v in pool if v.spec.rank == 2])
    result: Value
    match int(g.integers(3)):
        case 0:
            result = p.apply(ops.Softmax(), a)
        case 1:
            one, zero = (p.constant(np.full(a.shape[1], n, a.dtype)) for n in (1, 0))
            result = p.apply(ops.LayerNormalisation((1,), 0.1), a, one, zero)
        case _:
            index = g.integers(a.shape[0], size=5).astype(np.int32)
            result = p.apply(ops.Gather(), a, p.constant(index))
    return result


_GROW = (_unary, _unary, _binary, _binary, _binary, _reduce, _product, _move, _join, _composite)


def training_program(dtype: str) -> Program:
    """Return a training step: convolution, batch normalisation, dropout, pooling, linear, momentum."""
    p = Program()
    x, labels = p.input("x", (6, 2, 9, 8), dtype), p.input("labels", (6,), "int32")
    shapes = {"w": (5, 2, 3, 3), "b": (5,), "s": (5,), "t": (5,), "v": (4, 5 * 4 * 4), "c": (4,)}
    sizes = [int(np.prod(s)) for s in shapes.values()]
    flat, speed = (p.persistent(n, (sum(sizes),), dtype) for n in ("flat", "speed"))
    running = p.persistent("running", (5,), dtype)
    starts = np.cumsum([0, *sizes[:-1]])
    views = {
        n: p.view(n, "flat", int(a), s) for (n, s), a in zip(shapes.items(), starts, strict=True)
    }
    y = p.apply(ops.BiasedConvolution(ops.Window.of(3, 1, 1)), x, views["w"], views["b"])
    y, mu, _ = p.apply(ops.BatchNormalisation((0, 2, 3), 1e-2), y, views["s"], views["t"])
    y = p.apply(ops.Dropout(0.2, p.next_random()), m.maximum(y, 0), *random_state(p))
    y, _ = p.apply(ops.Pool("max", ops.Window.of(2, 2)), y)
    z = p.apply(ops.Linear(), reshape_to(p, y, (6, 80)), views["v"], views["c"])
    loss = mean(p, p.apply(ops.SoftmaxCrossEntropy(1, 0.1), z, labels))
    pieces = [reshape_to(p, d, (d.spec.size,)) for d in gradients(p, loss, list(views.values()))]
    fresh = 0.9 * speed + p.apply(ops.Concatenate(0), *pieces)
    p.update("speed", fresh)
    p.update("flat", flat - 0.05 * fresh)
    p.update("running", 0.9 * running + 0.1 * mu)
    p.output("loss", loss)
    return p


def compare_runs(
    what: str, backend: Backend, record: Callable[[str], Program], runs: int, factor: float
) -> None:
    """Run a program `runs` times on a backend and on the reference; all outputs and state must agree.

    float32 is compared with the reference in float64, so that the tolerance measures one backend alone.
    """
    for dtype in ("float32", "float64"):
        if dtype not in backend.capabilities.dtypes:
            continue
        program, wide = record(dtype), record("float64")
        left, right = backend.compile(program), get_backend("numpy").compile(wide)
        g = np.random.default_rng(1)
        for name, value in {**program.inputs, **program.state}.items():
            if value.spec.is_float:
                array: np.ndarray = g.normal(size=value.shape).astype(np.float32) * 0.5
            elif name == "labels":
                array = g.integers(0, 4, size=value.shape)
            else:
                continue
            left.write(name, array)
            right.write(name, array)
        for run in range(runs):
            left.run()
            right.run()
            for name in (*program.outputs, *program.state):
                label = f"{what}, {dtype}, {name} after run {run + 1}"
                close(label, left.read(name), right.read(name), factor=factor, floor=0.01)


def _random_check(seed: int) -> Check:
    def check(backend: Backend) -> None:
        # about 14 ops and their gradients in a chain; each may double the relative error
        compare_runs(f"random program {seed}", backend, lambda d: random_program(seed, d), 2, 30)

    return Check(f"program/random {seed}", check, frozenset({"quick"} if seed < QUICK else ()))


def _training(backend: Backend) -> None:
    # Five steps of momentum amplify rounding; a wrong update is off by per cents, not by 1e-3.
    compare_runs("training", backend, training_program, 5, 100)


CHECKS = [
    Check("program/training steps", _training),
    *(_random_check(seed) for seed in range(FULL)),
]
