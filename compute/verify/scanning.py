"""`Scan`, forwards and backwards in time, against the same program written out position by position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .. import math as m
from ..autodiff import gradients
from ..backend import Backend
from ..ops import Gather, MatMul, Reshape, Scan, Slice
from ..ops.reduce import reduce_axes
from ..program import Program, Value
from .check import Check, checking
from .compare import close, equal, execute, outputs

CHECKS: list[Check] = []
Body = Callable[..., tuple[Value, ...]]


@dataclass(frozen=True)
class Recurrence:
    """A body (program, *carries, *elements, *constants) -> (*carries, *results) and its shapes."""

    name: str
    body: Body
    carries: tuple[tuple[int, ...], ...]
    elements: tuple[tuple[int, ...], ...]
    constants: tuple[tuple[int, ...], ...]
    length: int = 5
    reverse: bool = False


def _rnn(p: Program, h: Value, x: Value, w: Value, u: Value, b: Value) -> tuple[Value, ...]:
    h = m.tanh(p.apply(MatMul(False, True), x, w) + p.apply(MatMul(False, True), h, u) + b)
    return h, h * 2


def _two(p: Program, s: Value, c: Value, x: Value, k: Value) -> tuple[Value, ...]:
    """A leaky sum and a swap: each new carry depends on the other's old value."""
    return c + x * k, s * 0.5, s * c, m.maximum(x, s)


def _each(p: Program, x: Value, k: Value) -> tuple[Value, ...]:
    return (m.sin(x) * k,)


def _last(p: Program, s: Value, x: Value) -> tuple[Value, ...]:
    return (s * 0.9 + m.tanh(x),)


_H, _X, _W = ((3, 4),), ((3, 5),), ((4, 5), (4, 4), (4,))

RECURRENCES = (
    Recurrence("rnn", _rnn, _H, _X, _W),
    Recurrence("rnn, reversed", _rnn, _H, _X, _W, reverse=True),
    Recurrence("rnn of one position", _rnn, _H, _X, _W, length=1),
    Recurrence("rnn, batch 1", _rnn, ((1, 4),), ((1, 5),), _W, length=17),
    Recurrence("two carries that change places", _two, ((7,), (7,)), ((7,),), ((1,),)),
    Recurrence("no carry", _each, (), ((3, 2),), ((2,),)),
    Recurrence("no result", _last, ((5,),), ((5,),), (), length=33),
)


def _record(r: Recurrence, dtype: str, unroll: bool) -> Program:
    p = Program()
    carries = [p.input(f"carry{i}", s, dtype) for i, s in enumerate(r.carries)]
    elements = [p.input(f"x{i}", (r.length, *s), dtype) for i, s in enumerate(r.elements)]
    constants = [p.input(f"k{i}", s, dtype) for i, s in enumerate(r.constants)]
    results = (_unrolled if unroll else _scanned)(p, r, carries, elements, constants)
    loss = None
    for k, v in enumerate(results):
        p.output(f"out{k}", v)
        weight = p.constant(np.random.default_rng(k).normal(size=v.shape).astype(dtype))
        term = reduce_axes(p, "sum", v * weight, None)
        loss = term if loss is None else loss + term
    wrt = [*carries, *elements, *constants]
    for v, g in zip(wrt, gradients(p, loss, wrt), strict=True):  # type: ignore[arg-type]
        p.output(f"d_{v.name}", g)
    return p


def _scanned(
    p: Program,
    r: Recurrence,
    carries: Sequence[Value],
    elements: Sequence[Value],
    constants: Sequence[Value],
) -> list[Value]:
    body = Program()
    shapes = [*r.carries, *r.elements, *r.constants]
    given = [body.input(f"in{i}", s, constants_dtype(p)) for i, s in enumerate(shapes)]
    for k, v in enumerate(r.body(body, *given)):
        body.output(f"out{k}", v)
    op = Scan(body, r.length, len(r.carries), len(r.elements), r.reverse)
    found = p.apply(op, *carries, *elements, *constants)
    return list(found if isinstance(found, tuple) else (found,))[: len(body.outputs)]


def constants_dtype(p: Program) -> str:
    """Return the dtype of a program's inputs."""
    return next(iter(p.inputs.values())).dtype


def _unrolled(
    p: Program,
    r: Recurrence,
    carries: Sequence[Value],
    elements: Sequence[Value],
    constants: Sequence[Value],
) -> list[Value]:
    from ..ops import Concatenate

    state, stacked = list(carries), {}
    for t in reversed(range(r.length)) if r.reverse else range(r.length):
        here = [_position(p, x, t) for x in elements]
        found = r.body(p, *state, *here, *constants)
        state, stacked[t] = list(found[: len(state)]), found[len(state) :]
    columns = zip(*(stacked[t] for t in range(r.length)), strict=True)
    joined = [
        p.apply(Concatenate(0), *(p.apply(Reshape((1, *v.shape)), v) for v in column))
        for column in columns
    ]
    return [*state, *joined]


def _position(p: Program, x: Value, t: int) -> Value:
    start, stop = (t, *[0] * (x.spec.rank - 1)), (t + 1, *x.shape[1:])
    element: Value = p.apply(Reshape(x.shape[1:]), p.apply(Slice(start, stop), x))
    return element


def _check(r: Recurrence, dtype: str) -> Callable[[Backend], None]:
    def check(backend: Backend) -> None:
        program = _record(r, dtype, unroll=False)
        generator = np.random.default_rng(0)
        inputs = {n: generator.normal(size=v.shape) for n, v in program.inputs.items()}
        got = outputs(backend, program, inputs)
        wanted = outputs(backend, _record(r, dtype, unroll=True), inputs)
        for name, array in wanted.items():
            # up to 33 positions are chained: errors grow with them
            close(f"scan of {r.name}, {name}", got[name], array, factor=3)

    return check


CHECKS += [
    Check(f"scan/{r.name}/{dtype}", _check(r, dtype), needs=(dtype,))
    for r in RECURRENCES
    for dtype in ("float32", "float64")
]


@checking(CHECKS, "scan/against a loop in NumPy")
def rnn_against_numpy(backend: Backend) -> None:
    """The recurrent net, its stacked carries included, against four lines of NumPy."""
    r = RECURRENCES[0]
    body, p = Program(), Program()
    shapes = [*r.carries, *r.elements, *r.constants]
    for k, v in enumerate(r.body(body, *(body.input(f"i{k}", s) for k, s in enumerate(shapes)))):
        body.output(f"o{k}", v)
    outer = [*r.carries, *((r.length, *s) for s in r.elements), *r.constants]
    ins = [p.input(f"i{k}", s) for k, s in enumerate(outer)]
    for name, v in zip(
        ("last", "y", "before"), p.apply(Scan(body, r.length, 1, 1), *ins), strict=True
    ):
        p.output(name, v)
    generator = np.random.default_rng(1)
    h, x, w, u, b = arrays = [generator.normal(size=s) for s in outer]
    executable = execute(backend, p, {f"i{k}": a for k, a in enumerate(arrays)})
    before, y = [], []
    for t in range(r.length):
        before.append(h)
        h = np.tanh(x[t] @ w.T + h @ u.T + b)
        y.append(2 * h)
    close("last carry", executable.read("last"), h)
    close("results", executable.read("y"), np.array(y))
    close("carries before each position", executable.read("before"), np.array(before))


@checking(CHECKS, "scan/integers and constants in the body")
def integers_in_the_body(backend: Backend) -> None:
    """A counter and a sum of table rows picked by labels: integer carries and elements."""
    body, p = Program(), Program()
    count, total = body.input("count", (), "int64"), body.input("total", (3,))
    label, table = body.input("label", (), "int32"), body.input("table", (4, 3))
    row = body.apply(Gather(), table, label)
    body.output("o0", body.map(lambda c: c + 1, count))
    body.output("o1", total + row * body.constant(np.array([1, 10, 100], np.float32)))
    body.output("o2", body.map(lambda c, i: c * 10 + i, count, label))
    start = p.input("start", (), "int64"), p.input("zero", (3,))
    labels, rows = p.input("labels", (6,), "int32"), p.input("rows", (4, 3))
    found = p.apply(Scan(body, 6, 2, 1), *start, labels, rows)
    for name, v in zip(("count", "total", "trace"), found, strict=False):
        p.output(name, v)
    picked, numbers = np.array([0, 3, 3, 1, 2, 0]), np.arange(12.0).reshape(4, 3)
    got = outputs(backend, p, {"start": 7, "zero": np.zeros(3), "labels": picked, "rows": numbers})
    equal("count", got["count"], 13)
    equal("total", got["total"], sum(numbers[i] for i in picked) * [1, 10, 100])
    equal("trace", got["trace"], [10 * (7 + t) + i for t, i in enumerate(picked)])
