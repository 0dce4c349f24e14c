"""Writes csrc/generated/maps.inl: the elementwise loops of common training programs, as C++.

    python -P scripts/generate_maps.py

The mathematics is that of the library: activations, optimisers and their symbolic gradients, in the very forms that
tracing and fusing produce. Constants become parameters. To have another map compiled with the engine, add it to
`maps()`, run this, and build; `cortex.compute.cpu.precompiled` then finds it by its form.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # a checkout that was never installed
    sys.path.append(str(ROOT))

from cortex import activations as a  # noqa: E402
from cortex.compute import Program  # noqa: E402
from cortex.compute import math as m  # noqa: E402
from cortex.compute.autodiff import gradients  # noqa: E402
from cortex.compute.cpu.precompiled import Pattern, pattern  # noqa: E402
from cortex.compute.emission import C, emit  # noqa: E402
from cortex.compute.expression import Expression, symbol, wrap  # noqa: E402
from cortex.compute.ops import Map  # noqa: E402
from cortex.compute.passes import fuse_maps, simplify  # noqa: E402
from cortex.optimise import optimisers as o  # noqa: E402
from cortex.optimise.trace import trace  # noqa: E402

TARGET = ROOT / "csrc" / "generated" / "maps.inl"
Function = Callable[..., Any]

# What is elementwise in a network, by how the operands move along a row: a vector, or a scalar.
FUNCTIONS: dict[str, tuple[Function, Sequence[str]]] = {
    "sum": (lambda x, y: x + y, ("vv", "vs")),
    "difference": (lambda x, y: x - y, ("vv", "vs")),
    "product": (lambda x, y: x * y, ("vv", "vs")),
    "quotient": (lambda x, y: x / y, ("vs",)),
    "scaled": (lambda x: x * 0.5, ("v",)),
    "exponential": (m.exp, ("v",)),
    "relu written out": (lambda x: m.where(x > 0, x, 0), ("v",)),
    "relu of a sum": (lambda x, y: a.relu(x + y), ("vv", "vs")),
    "logistic of a sum": (lambda x, y: a.logistic(x + y), ("vv", "vs")),
    "tanh of a sum": (lambda x, y: a.tanh(x + y), ("vv", "vs")),
    "square of a difference": (lambda x, y: (x - y) * (x - y), ("vv", "vs")),
    "standardised": (lambda x, mu, f: (x - mu) * f, ("vvv", "vss")),
    "normalised": (lambda x, mu, f, b: (x - mu) * f + b, ("vvvv", "vsss")),
    "relu of the normalised": (lambda x, mu, f, b: a.relu((x - mu) * f + b), ("vvvv", "vsss")),
    "normalised sum": (lambda x, y, mu, f, b: (x + y - mu) * f + b, ("vssss",)),
    "relu of the normalised sum": (lambda x, y, mu, f, b: a.relu((x + y - mu) * f + b), ("vssss",)),
    "gradient through batch normalisation": (
        lambda f, c, s, x, mu, i, t: f * (c - s * 0.5 - ((x - mu) * i) * (t * 0.25)),
        ("vvvvvvv", "svsvsss"),
    ),
    "relu of the normalised and a shortcut": (
        lambda y, x, mu, f, b: a.relu(y + ((x - mu) * f + b)),
        ("vvvvv", "vvsss"),
    ),
    "gradient of relu, of two sources": (
        lambda g, h, y: (g + h) * m.where(y > 0, 1, 0),
        ("vvv",),
    ),
    "relu of two normalised": (
        lambda x, mu, f, b, y, nu, g, c: a.relu((x - mu) * f + b + ((y - nu) * g + c)),
        ("vsssvsss",),
    ),
    "running average": (lambda old, new: 0.9 * old + 0.1 * new, ("vv",)),
}
ACTIVATIONS = (
    a.relu,
    a.leaky_relu,
    a.elu,
    a.selu,
    a.gelu,
    a.gelu_tanh,
    a.swish,
    a.softplus,
    a.logistic,
    a.tanh,
)
IMAGES: dict[str, Function] = {
    "number": lambda x: x,
    "scaled": lambda x: x * 0.5,
    "scaled and shifted": lambda x: x * 0.5 + 0.25,
    "shifted and scaled": lambda x: (x - 0.25) * 0.5,
}
OPTIMISERS = (
    o.Sgd(0.1), o.Sgd(0.1, 0.9), o.Sgd(0.1, 0.9, nesterov=True), o.Adam(), o.AdamW(), o.Nadam(), o.AmsGrad(),
    o.RmsProp(), o.RmsProp(momentum=0.9), o.Adagrad(), o.Adadelta(), o.Lion(),
    *(kind(step_size=lambda t: 0.1 / (t + 1)) for kind in (o.Sgd, o.Adam, o.AdamW)),
)  # fmt: skip


def maps() -> Iterator[tuple[str, Pattern]]:
    """Yield name and form of every map to compile."""
    for name, (function, classes) in FUNCTIONS.items():
        for kinds in classes:
            yield f"{name} ({kinds})", _pattern([function(*_symbols(len(kinds)))], kinds)
    for function in ACTIVATIONS:
        yield function.__name__, _pattern([function(symbol(0))], "v")
        yield f"gradient of {function.__name__}", _gradient(function)
    for name, function in IMAGES.items():
        yield f"bytes, {name}", pattern([function(symbol(0))], [("uint8", "v")])
    for optimiser in OPTIMISERS:
        step = trace(optimiser)
        kinds = "v" * (2 + len(step.vectors)) + "s" * len(step.coefficients)
        scheduled = ", a schedule" if callable(optimiser.step_size) else ""
        yield f"{type(optimiser).__name__}{scheduled}", _pattern(step.vector_updates, kinds)


def _symbols(count: int) -> list[Expression]:
    return [symbol(i) for i in range(count)]


def _pattern(expressions: Sequence[Any], classes: str) -> Pattern:
    return pattern([wrap(e) for e in expressions], [("real", kind) for kind in classes])


def _gradient(function: Function) -> Pattern:
    """Return the form of the map that takes a gradient through an activation, as autodiff and fusing make it."""
    program = Program()
    x, seed = program.input("x", (2,)), program.input("seed", (2,))
    y = program.map(function, x)
    program.output("y", y)  # it has other readers in a network, so it is not computed again
    program.output("gradient", gradients(program, y, [x], seed)[0])
    program = simplify(fuse_maps(simplify(program)))
    op = next(s.op for s in program.steps if program.outputs["gradient"] in s.outputs)
    if not isinstance(op, Map):
        raise TypeError(f"generate_maps: the gradient of {function} is no map, but {op}")
    return pattern(op.expressions, [("real", "v")] * len(op.expressions[0].symbols))


def source(name: str, p: Pattern) -> str:
    """Return the C++ of one map: what does not change along a row, then the loop."""
    count, outputs = len(p.inputs), len(p.expressions)
    names = {i: f"x{i}" if i < count else f"c{i - count}" for i in range(count + len(p.constants))}
    fixed = frozenset(i for i in names if i >= count or p.inputs[i][1] == "s")
    prologue, body, results = emit(p.expressions, names, fixed, C)
    c_types = {"real": "T", "uint8": "uint8_t"}
    declared = {
        i: f"{'SCALAR' if kind == 's' else 'VECTOR'}(x{i}, {outputs + i}, {c_types[dtype]})"
        for i, (dtype, kind) in enumerate(p.inputs)
    }
    before = [declared[i] for i in declared if i in fixed]
    before += [f"CONSTANT(c{k}, {k})" for k in range(len(p.constants))] + prologue
    inside = [declared[i] for i in declared if i not in fixed] + body
    inside += [f"RESULT({k}, {r})" for k, r in enumerate(results)]
    lines = [*_wrapped(before), *_wrapped(["EACH", *inside, "END"])]
    return "\n".join([f"MAP({_digest(p)}) {{  // {name}", *lines, "}"])


def _wrapped(words: Sequence[str], indent: str = "  ", width: int = 118) -> list[str]:
    """Return lines of words that are not broken."""
    glued = " ".join(word.replace(" ", "\0") for word in words)
    lines = textwrap.wrap(
        glued, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
    return [line.replace("\0", " ") for line in lines]


def _digest(p: Pattern) -> str:
    return p.kernel("float32").split("_")[1]


def generated() -> str:
    """Return the text of the generated file."""
    found: dict[str, tuple[str, Pattern]] = {}
    for name, p in maps():
        before = found.get(_digest(p))
        found[_digest(p)] = (f"{before[0]}; {name}" if before else name, p)
    counts = {
        d: (len(p.expressions), len(p.expressions) + len(p.inputs)) for d, (_, p) in found.items()
    }
    rows = _wrapped(
        [f"DO({d}, {outputs}, {operands})" for d, (outputs, operands) in counts.items()], width=114
    )
    head = "// Made by scripts/generate_maps.py; csrc/kernels/map.cpp explains the words. Constants are parameters."
    parts = [source(name, p) for name, p in found.values()]
    return "\n".join([head, *parts, " \\\n".join(["#define MAPS(DO)", *rows])]) + "\n"


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(generated())
    print(f"wrote {TARGET.relative_to(ROOT)}: {generated().count('MAP(')} maps")
