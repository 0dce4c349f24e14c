"""A layer run alone: a program of its inputs, its parameters, its outputs and all gradients, on the NumPy backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from cortex.build import Build
from cortex.compute import Program, Spec, gradients
from cortex.compute.numpy_backend import NumpyBackend
from cortex.compute.ops.random import SEED, STEP
from cortex.compute.ops.reduce import reduce_axes
from cortex.layers import outputs_of


@dataclass
class Alone:
    """A compiled layer: `run` with arrays by name ("x0", "x1", ..., parameters, cotangents "dy0", ...)."""

    executable: Any
    names: tuple[str, ...]
    count: int
    seed: int

    def run(self, **arrays: Any) -> Alone:
        state = self.executable.program.state
        for name, value in {SEED: np.uint64(self.seed), STEP: np.int64(0)}.items():
            if name in state:
                self.executable.write(name, np.array(value))
        for name, array in arrays.items():
            self.executable.write(name, np.asarray(array))
        self.executable.run()
        return self

    @property
    def y(self) -> Any:
        """The output, or the tuple of outputs."""
        found = tuple(self.executable.read(f"y{i}") for i in range(self.count))
        return found if self.count > 1 else found[0]

    @property
    def loss(self) -> float:
        """The sum over all outputs of output times cotangent, plus the penalties."""
        return float(self.executable.read("loss"))

    @property
    def penalty(self) -> float:
        return float(self.executable.read("penalty"))

    def gradient(self, name: str) -> np.ndarray:
        return self.executable.read(f"gradient {name}")

    def after(self, name: str) -> np.ndarray:
        """A statistic after the run."""
        return self.executable.read(f"after {name}")


def make_alone(layer: Any, *specs: Spec, training: bool = False, seed: int = 5) -> Alone:
    program = Program()
    dtype = next((s.dtype for s in specs if s.is_float), "float64")
    build = Build(program, training, dtype)
    inputs = {f"x{i}": program.input(f"x{i}", s.shape, s.dtype) for i, s in enumerate(specs)}
    needed = layer.parameters(*specs)
    parameters = {n: program.input(n, p.shape, dtype) for n, p in needed.items()}
    outputs = outputs_of(layer.forward(build, *inputs.values(), **parameters))
    loss = penalty = build.constant(np.zeros((), dtype))
    for extra in build.penalties:
        penalty = penalty + extra
    loss = loss + penalty
    for i, y in enumerate(outputs):
        program.output(f"y{i}", y)
        if y.spec.is_float:
            dy = program.input(f"dy{i}", y.shape, y.dtype)
            loss = loss + reduce_axes(program, "sum", y * dy, None)
    program.output("penalty", penalty)
    program.output("loss", loss)
    floats = {n: v for n, v in (inputs | parameters).items() if v.spec.is_float}
    for name, g in zip(floats, gradients(program, loss, list(floats.values())), strict=True):
        program.output(f"gradient {name}", g)
    place = {v: n for n, v in parameters.items()}
    for value, after in build.statistics.items():
        program.output(f"after {place[value]}", after)
    return Alone(NumpyBackend().compile(program), tuple(floats), len(outputs), seed)


def run_layer(
    layer: Any,
    *arrays: Any,
    training: bool = False,
    dy: Any = None,
    seed: int = 5,
    dtype: str = "float64",
    parameters: dict[str, Any] | None = None,
) -> Alone:
    """Run a layer on arrays (floats as `dtype`); cotangents are ones unless given, parameters as initialised."""
    inputs = [np.asarray(a) for a in arrays]
    inputs = [a.astype(dtype) if a.dtype.kind == "f" else a for a in inputs]
    specs = [Spec(a.shape, a.dtype.name) for a in inputs]
    alone = make_alone(layer, *specs, training=training, seed=seed)
    generator = np.random.default_rng(seed)
    filled = {n: p.initialiser(generator, p.shape) for n, p in layer.parameters(*specs).items()}
    filled |= parameters or {}
    given = dy if isinstance(dy, tuple) else (dy,)
    program = alone.executable.program
    cotangents = {}
    for i in range(alone.count):
        y = program.outputs[f"y{i}"]
        if y.spec.is_float:
            cotangents[f"dy{i}"] = np.ones(y.shape) if dy is None else np.reshape(given[i], y.shape)
    places = {f"x{i}": a for i, a in enumerate(inputs)}
    return alone.run(**places, **filled, **cotangents)


@pytest.fixture
def alone() -> Any:
    """`alone(layer, *specs, training)`: a layer compiled with its gradients."""
    return make_alone


@pytest.fixture
def run() -> Any:
    """`run(layer, *arrays, training, dy, seed, dtype, parameters)`: a layer run once."""
    return run_layer
