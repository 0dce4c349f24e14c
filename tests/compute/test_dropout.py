"""Dropout on the CPU: the numbers of the definition, drawn in one pass forwards and backwards, in lanes too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cortex
from cortex import layers, optimise
from cortex.compute import Program, get_backend, philox
from cortex.compute.autodiff import gradients
from cortex.compute.layouts import BATCH_LANES
from cortex.compute.numpy_backend import NumpyBackend
from cortex.compute.ops import Dropout
from cortex.compute.ops.arranged import Arranged
from cortex.compute.ops.random import SEED, STEP, random_state
from cortex.network import Network

native = pytest.importorskip(
    "cortex.compute._native",
    reason="the compiled engine is not built: sh scripts/build_native.sh",
    exc_type=ImportError,
)
Distribution = Literal["bernoulli", "gaussian"]
DISTRIBUTIONS = st.sampled_from(["bernoulli", "gaussian"])
FLOATS = st.sampled_from(["float32", "float64"])
DRAWN_SEED, DRAWN_STEP, P = 0x123456789ABCDEF0, 5, 0.3


@pytest.fixture(autouse=True, params=native.available_isas(), scope="module")
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = native.isa()
    native.set_isa(request.param)
    yield request.param
    native.set_isa(before)


def defined(x: np.ndarray, number: int, distribution: Distribution, first: int) -> np.ndarray:
    """Return the dropout of x as compute/philox.py and the map of the op's decomposition define it."""
    one, dtype = x.dtype.type, x.dtype.name
    draw = philox.uniform if distribution == "bernoulli" else philox.normal
    skip = first % 4
    drawn = draw(skip + x.size, DRAWN_SEED, DRAWN_STEP, number, dtype, first - skip)[skip:]
    drawn = drawn.reshape(x.shape)
    if distribution == "bernoulli":
        return np.where(drawn < one(P), one(0), x * one(1 / (1 - P)))
    return x * (1 + one(math.sqrt(P / (1 - P))) * drawn)


def run(x: np.ndarray, op: Dropout, threads: int, arranged: bool = False) -> np.ndarray:
    """Return the dropout of x by the kernel, which must be the one that runs."""
    program = Program()
    value = program.input("x", x.shape, x.dtype.name)
    state = random_state(program)
    if arranged:
        inside = BATCH_LANES.arrange(program, value)
        made = program.apply(Arranged(op, BATCH_LANES, len(x)), inside, *state)
        program.output("y", BATCH_LANES.restore(program, made, len(x)))
    else:
        program.output("y", program.apply(op, value, *state))
    native.set_num_threads(threads)
    executable = get_backend("cpu").compile(program)
    steps = {s.op: s.provider for s in executable.report.steps}
    assert steps["Arranged" if arranged else "Dropout"] == "native" and "Random" not in steps
    executable.write("x", x)
    executable.write(SEED, DRAWN_SEED)
    executable.write(STEP, DRAWN_STEP)
    executable.run()
    return executable.read("y")


def check(x: np.ndarray, op: Dropout, arranged: bool = False) -> None:
    """Equal bits for a mask, on one thread and on three; normal numbers to the rounding of their logarithm."""
    expected = defined(x, op.number, op.distribution, op.first)
    got = run(x, op, 1, arranged)
    assert got.tobytes() == run(x, op, 3, arranged).tobytes()
    if op.distribution == "bernoulli":
        np.testing.assert_array_equal(got, expected)
    else:
        tolerance = 1e-5 if x.dtype == "float32" else 1e-13
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@settings(max_examples=25)
@given(st.integers(1, 3000), st.integers(0, 999), DISTRIBUTIONS, FLOATS)
def test_any_size_from_any_number_on(
    size: int, first: int, distribution: Distribution, dtype: str
) -> None:
    x = np.random.default_rng(size).normal(size=size).astype(dtype)
    check(x, Dropout(P, 7, distribution, first))


@settings(max_examples=25)
@given(
    st.integers(1, 35),
    st.tuples(st.integers(1, 5), st.integers(1, 12), st.integers(1, 12)),
    st.integers(0, 9),
    DISTRIBUTIONS,
    FLOATS,
)
def test_lanes_have_the_numbers_of_their_examples(
    batch: int, shape: tuple[int, ...], first: int, distribution: Distribution, dtype: str
) -> None:
    x = np.random.default_rng(batch).normal(size=(batch, *shape)).astype(dtype)
    check(x, Dropout(P, 7, distribution, first), arranged=True)


@pytest.mark.parametrize("arranged", [False, True])
def test_examples_longer_than_a_piece(arranged: bool) -> None:
    x = np.random.default_rng(0).normal(size=(18, 7, 13, 11)).astype(np.float32)
    check(x, Dropout(P, 2, "bernoulli", 6), arranged)


def test_infinities_and_nan_are_dropped_too() -> None:
    x = np.full(1000, np.inf, np.float32)
    x[::3] = np.nan
    y = run(x, Dropout(0.5, 1), 1)
    assert set(np.unique(y[np.isfinite(y)])) == {0} and (y == 0).sum() > 400
    check(x, Dropout(P, 1))


def test_the_gradient_has_the_mask_of_the_forward_pass() -> None:
    program = Program()
    x, dy = program.input("x", (40, 30)), program.input("dy", (40, 30))
    y = program.apply(Dropout(0.4, program.next_random()), x, *random_state(program))
    program.output("y", y)
    program.output("dx", gradients(program, y, [x], dy)[0])
    executable = get_backend("cpu").compile(program)
    executable.write("x", np.ones((40, 30)))
    executable.write("dy", np.ones((40, 30)))
    masks = []
    for _ in range(2):
        executable.run()
        np.testing.assert_array_equal(executable.read("y"), executable.read("dx"))
        masks.append(executable.read("y"))
    assert (masks[0] != masks[1]).any()


def network(probability: float = 0.3) -> Network:
    """Return a small LeNet with dropout among images and behind them."""
    dropout = layers.Dropout(probability)
    return Network(
        [
            layers.Input(1, 17, 15), layers.Convolution(5, 4), layers.MaxPooling(2), dropout,
            layers.Relu(), layers.Convolution(6, 3), layers.Relu(), layers.Linear(30),
            layers.Dropout(probability, "gaussian"), layers.Tanh(), layers.Linear(4),
            layers.Softmax(),
        ],
        seed=3,
    )  # fmt: skip


@pytest.mark.parametrize("batch", [64, 61])
def test_a_training_step_draws_where_it_needs_the_numbers(batch: int) -> None:
    """In lanes no numbers and no mask lie in memory or are reordered, and the step is that of the reference."""
    backends = (NumpyBackend(), get_backend("cpu"))
    steps = [
        cortex.training_step(network(), optimiser=optimise.Sgd(0.1), batch_size=batch, backend=b)
        for b in backends
    ]
    report = steps[1].report.steps
    dropouts = [s for s in report if s.label.startswith("dropout") and s.op != "Map"]
    assert sorted(s.op for s in dropouts) == ["Arranged"] * 2 + ["Dropout"] * 2
    assert {s.provider for s in dropouts} == {"native"}
    assert "Random" not in {s.op for s in report}
    random = np.random.default_rng(0)
    for _ in range(3):
        x, label = random.normal(size=(batch, 1, 17, 15)), random.integers(0, 4, batch)
        for step in steps:
            step.write("input1", x)
            step.write("label", label)
            step.run()
    np.testing.assert_allclose(steps[1].read("loss"), steps[0].read("loss"), rtol=1e-4)


def test_dropout_takes_the_memory_of_its_result_alone() -> None:
    """What a step needs for a dropout: y, which the next product keeps; not the numbers too."""

    def activations(dropout: bool) -> int:
        inner = [layers.Linear(512), layers.Relu(), *([layers.Dropout(0.5)] if dropout else [])]
        made = Network([layers.Input(64), *inner, layers.Linear(4), layers.Softmax()])
        step = cortex.training_step(made, optimiser=optimise.Sgd(0.1), batch_size=256)
        return step.report.bytes["activations"]

    assert activations(True) - activations(False) <= 256 * 512 * 4
