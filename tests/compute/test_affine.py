"""Scales and shifts behind a convolution become kernels and a bias, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cortex
from cortex import layers
from cortex.compute import math as m
from cortex.compute.numpy_backend import NumpyBackend
from cortex.compute.ops import Convolution, Map, Window
from cortex.compute.passes import decompose, simplify
from cortex.compute.passes.affine import fold_affine
from cortex.compute.program import Program, Value
from cortex.network import Network
from cortex.tracing import trace_inference

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "x": RANDOM.normal(size=(2, 3, 5, 5)),
    "w": RANDOM.normal(size=(4, 3, 3, 3)),
    "a": RANDOM.uniform(1, 2, size=(4,)),
    "b": RANDOM.normal(size=(4,)),
}


def built(finish: Callable[[Program, Value, Value, Value], Value]) -> Program:
    program = Program()
    x, w = (
        program.input("x", ARRAYS["x"].shape, "float64"),
        program.persistent("w", (4, 3, 3, 3), "float64"),
    )
    a, b = (program.persistent(n, (4, 1, 1), "float64") for n in "ab")
    y = program.apply(Convolution(Window.of(3)), x, w)
    program.output("y", finish(program, y, a, b))
    return program


def result(program: Program) -> np.ndarray:
    executable = NumpyBackend().compile(program)
    for name, array in ARRAYS.items():
        if name in program.inputs or name in program.state:
            value = {**program.inputs, **program.state}[name]
            executable.write(name, array.reshape(value.shape))
    executable.run()
    return executable.read("y")


def operations(program: Program) -> int:
    """How many maps work on the result of the convolution."""
    return sum(isinstance(s.op, Map) and s.outputs[0].shape == (2, 4, 3, 3) for s in program.steps)


FOLDED: dict[str, Callable[[Program, Value, Value, Value], Any]] = {
    "scale": lambda p, y, a, b: y * a,
    "shift and scale": lambda p, y, a, b: (y + b) * a,
    "normalisation": lambda p, y, a, b: ((y + b) - a) * b + a,
    "division": lambda p, y, a, b: (b - y) / a,
    "number": lambda p, y, a, b: 3 * y,
}


@pytest.mark.parametrize("name", FOLDED)
def test_scales_and_shifts_fold(name: str) -> None:
    program = built(FOLDED[name])
    folded = fold_affine(program)
    np.testing.assert_allclose(result(folded), result(program), rtol=1e-12, atol=1e-12)
    assert operations(folded) <= 1  # a bias


KEPT: dict[str, Callable[[Program, Value, Value, Value], Any]] = {
    "bias alone": lambda p, y, a, b: y + b,
    "relu": lambda p, y, a, b: m.maximum(y, 0),
    "floor": lambda p, y, a, b: m.floor(y) * a,
    "square": lambda p, y, a, b: y * y * a,
    "two uses": lambda p, y, a, b: y * a + m.exp(y),
}


@pytest.mark.parametrize("name", KEPT)
def test_nothing_else_folds(name: str) -> None:
    program = built(KEPT[name])
    folded = fold_affine(program)
    assert operations(folded) == operations(program)
    np.testing.assert_array_equal(result(folded), result(program))


def test_state_that_the_program_changes_does_not_fold() -> None:
    program = built(lambda p, y, a, b: y * a)
    program.update("a", program.state["a"] + 1)
    assert operations(fold_affine(program)) == operations(program) == 1


def test_batch_normalisation_disappears_from_inference() -> None:
    network = Network(
        [
            layers.Input(2, 6, 6),
            layers.Convolution(3, kernel=3),
            layers.BatchNormalisation(),
            layers.Relu(),
            layers.Convolution(3, kernel=3, bias=False),
            layers.BatchNormalisation(),
            layers.Relu(),
        ],
        seed=1,
    ).with_dtype("float64")
    program = simplify(decompose(trace_inference(network, 2).program))
    folded = simplify(fold_affine(program))
    images = [s for s in folded.steps if isinstance(s.op, Map) and s.outputs[0].shape[:2] == (2, 3)]
    assert len(images) == 4  # a bias and a relu each
    made = [cortex.inference(network, batch_size=2, backend=name) for name in ("numpy", "cpu")]
    data = RANDOM.normal(size=(2, 2, 6, 6))
    for executable in made:
        for name in network.parameter_specs:
            values = np.random.default_rng(len(name)).uniform(
                0.5, 1.5, network.parameter_specs[name].shape
            )
            executable.write(name, values)
        executable.write("input1", data)
        executable.run()
    np.testing.assert_allclose(made[0].read("output"), made[1].read("output"), rtol=1e-10)
