"""Every optimiser: traced on the backend against the same definition computed eagerly; goldens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cortex.compute import math as m
from cortex.compute.backend import Backend
from cortex.compute.program import Program
from cortex.compute.verify import Check, close
from cortex.description import short
from cortex.optimise.optimisers import (
    OPTIMISERS,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AmsGrad,
    Lion,
    Nadam,
    NewtonSecant,
    RmsProp,
    Sgd,
)
from cortex.optimise.schedules import Cosine, ExponentialDecay, Piecewise, WarmUp
from cortex.optimise.trace import record
from cortex.protocols import Optimiser

COUNT, STEPS = 37, 20

# To cover a new optimiser, add a row; every setting that changes the formula has one.
ROWS: tuple[Optimiser, ...] = (
    Sgd(0.03),
    Sgd(0.03, 0.7),
    Sgd(0.03, 0.7, nesterov=True),
    Sgd(ExponentialDecay(0.1, 0.5, 5), ExponentialDecay(0.9, 0.9)),
    Adagrad(0.05, 1e-6, 0.2),
    Adadelta(),
    Adadelta(0.8, 1e-4, 0.5),
    RmsProp(0.02, 0.8),
    RmsProp(0.02, 0.8, momentum=0.5),
    RmsProp(0.02, 0.8, momentum=0.5, centred=True),
    Adam(0.03),
    Adam(WarmUp(Cosine(0.05, 12), 4), 0.8, 0.95),
    AdamW(0.03, weight_decay=Piecewise((0.1, 0.0), (10,))),
    AmsGrad(0.03, 0.8, 0.95),
    Nadam(0.03),
    Lion(0.003),
    Lion(0.003, weight_decay=0.1),
    NewtonSecant(),
    NewtonSecant(0.3, 0.2, 1.0),
)


def uncovered() -> list[str]:
    """Return the registered optimisers of cortex that no row of the table has."""
    ours = {n for n, t in OPTIMISERS.types.items() if t.__module__.startswith("cortex.optimise")}
    return sorted(ours - {type(o).__name__ for o in ROWS})


def checks_of(rows: Iterable[Optimiser]) -> list[Check]:
    """Return the checks of each optimiser; those of your own are welcome."""
    return [
        Check(f"optimiser/{short(o)}/{dtype}", _trace(o, dtype), needs=("float64", dtype))
        for o in rows
        for dtype in ("float32", "float64")
    ]


def slope(x: Any) -> Any:
    """Return the gradient of sum of sin(3 x) + x^2: of both signs, steep and flat."""
    return 3 * m.cos(3 * x) + 2 * x


def traced(
    optimiser: Optimiser, gradient: Callable[[Any], Any], count: int, dtype: str = "float64"
) -> tuple[Program, list[str]]:
    """Return the program of one step on the state `x`, and the names of the optimiser's own state."""
    p = Program()
    x = p.persistent("x", (count,), dtype)
    state = {
        name: p.persistent(name, entry.shape, dtype if entry.ndim else "float64")
        for name, entry in optimiser.initialise(count).items()
    }
    moved, new = record(p, optimiser, x, p.map(gradient, x), state)
    p.update("x", moved)
    for name, value in new.items():
        p.update(name, value)
    return p, list(state)


def _trace(optimiser: Optimiser, dtype: str) -> Callable[[Backend], None]:
    """Parameters and all state after each of 20 steps, as the eager definition has them."""

    def check(backend: Backend) -> None:
        x = np.random.default_rng(3).standard_normal(COUNT).astype(dtype).astype(np.float64)
        state = optimiser.initialise(COUNT)
        program, names = traced(optimiser, slope, COUNT, dtype)
        executable = backend.compile(program)
        for name, content in (("x", x), *state.items()):
            executable.write(name, content)
        for number in range(1, STEPS + 1):
            executable.run()
            x, state = optimiser.update(state, x, slope(x))
            # an error of one step is carried into the next, and may grow by the curvature of 11; how far it comes
            # depends on which products are fused: 1.3e-4 without, less with
            tolerance = 1e-11 if dtype == "float64" else 2e-4
            close(
                f"{short(optimiser)}: parameters after {number}", executable.read("x"), x, tolerance
            )
            for name in names:
                what = f"{short(optimiser)}: {name} after {number}"
                close(what, executable.read(name), np.asarray(state[name]), tolerance)

    return check


CHECKS = checks_of(ROWS)
