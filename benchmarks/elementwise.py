"""Elementwise maps: gigabytes a second of each way to run them, against NumPy.

    python -P benchmarks/elementwise.py [threads]

A map's bytes are those of its inputs and outputs, read or written once. Small arrays stay in the caches, large ones do
not. NumPy makes a pass and a temporary per operation.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import cortex.activations as activations
from cortex.compute import Program, get_backend
from cortex.compute import math as m
from cortex.compute.cpu.native import native
from cortex.compute.ops import Map
from cortex.optimise.optimisers import Adam
from cortex.optimise.trace import trace

WAYS = ("precompiled", "tape", "numba")
LENET = 431_080  # parameters


def mixed(x: Any, y: Any) -> Any:
    """Return an expression of six operations that nobody has compiled before."""
    return m.maximum((x * 0.7 + y) * (x - y), 0.1 * x) + 0.3


def adam(*x: Any) -> list[Any]:
    """Return Adam's parameters and moments after a step, as functions of its vectors and coefficients."""
    from cortex.compute.expression import Expression, substitute

    step = trace(Adam())
    if isinstance(x[0], Expression):
        return [substitute(e, x) for e in step.vector_updates]
    p, g, v, w, a, b = x
    v = 0.9 * v + 0.1 * g
    w = 0.999 * w + 0.001 * (g * g)
    return [p - 0.001 * ((v * a) / (np.sqrt(w * b) + 1e-8)), v, w]


# name, function, number of inputs of full shape, of scalars, elements
CASES: list[tuple[str, Callable[..., Any], int, int, int]] = [
    ("relu", activations.relu, 1, 0, 32_000),
    ("relu", activations.relu, 1, 0, 4_000_000),
    ("gelu", activations.gelu, 1, 0, 32_000),
    ("gelu", activations.gelu, 1, 0, 4_000_000),
    ("tanh of a product", lambda x, y: m.tanh(x * y), 2, 0, 32_000),
    ("tanh of a product", lambda x, y: m.tanh(x * y), 2, 0, 4_000_000),
    ("mixed", mixed, 2, 0, 4_000),
    ("mixed", mixed, 2, 0, 32_000),
    ("mixed", mixed, 2, 0, 4_000_000),
    ("adam", adam, 4, 2, LENET),
]


def compiled(way: str, function: Callable[..., Any], vectors: int, scalars: int, size: int) -> Any:
    """Return the executable of a map that writes over its first inputs, as a training step does, or None."""
    from cortex.compute.expression import symbol, wrap

    os.environ["CORTEX_MAPS"] = way
    program = Program()
    inputs = [program.persistent(f"x{i}", (size,)) for i in range(vectors)]
    inputs += [program.input(f"s{i}", ()) for i in range(scalars)]
    made = function(*map(symbol, range(vectors + scalars)))
    expressions = tuple(map(wrap, made if isinstance(made, list) else [made]))
    outputs = program.apply(Map(expressions, ("float32",) * len(expressions), (size,)), *inputs)
    for i, value in enumerate(outputs if isinstance(outputs, tuple) else (outputs,)):
        program.update(f"x{i + (i > 0)}", value)
    made = get_backend("cpu").compile(program)
    return made if made.report.providers().keys() & {"native", "native tape", "numba"} else None


def best(run: Callable[[], Any], seconds: float = 0.3) -> float:
    """Return the shortest time of a call, in seconds."""
    run()
    end, times = time.perf_counter() + seconds, []
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(case: Sequence[Any]) -> None:
    """Print one line."""
    name, function, vectors, scalars, size = case
    rng = np.random.default_rng(0)
    arrays = [rng.random(size, np.float32) for _ in range(vectors)] + [np.float32(0.5)] * scalars
    outputs = 3 if name == "adam" else 1
    gigabytes = 4e-9 * size * (vectors + outputs)
    with np.errstate(all="ignore"):
        line = [f"{gigabytes / best(lambda: function(*arrays)):10.1f}"]
    for way in WAYS:
        executable = compiled(way, function, vectors, scalars, size)
        if executable is None:
            line.append(f"{'-':>12}")
            continue
        for i, array in enumerate(arrays):
            executable.write(f"x{i}" if i < vectors else f"s{i - vectors}", array)
        line.append(f"{gigabytes / best(executable.run):12.1f}")
    print(f"{name:20}{size:10,}", *line)


def main() -> None:
    """Print gigabytes a second of NumPy and of every way."""
    module = native()
    if module is not None:
        module.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
        print(f"{module.isa()}, {module.get_num_threads()} thread(s), float32, GB/s")
    print(f"{'':30}{'numpy':>10}", *(f"{way:>12}" for way in WAYS))
    for case in CASES:
        measure(case)


if __name__ == "__main__":
    main()
