"""Gradients as a program transformation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cortex.compute import NotDifferentiable, Program, ShapeError, Value, get_backend, gradients
from cortex.compute import math as m
from cortex.compute.autodiff import pull_back
from cortex.compute.ops import (
    Convolution,
    Gather,
    LocalResponseNormalisation,
    MatMul,
    Pool,
    Reduce,
    Softmax,
    StopGradient,
    Window,
)
from cortex.compute.ops.random import random
from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.verify import check_gradient
from cortex.compute.verify.programs import random_program

NUMPY = get_backend("numpy")


def total(p: Program, v: Value) -> Value:
    return reduce_axes(p, "sum", v, None)


def run(p: Program, **inputs: Any) -> dict[str, np.ndarray]:
    executable = NUMPY.compile(p)
    for name, array in inputs.items():
        executable.write(name, array)
    executable.run()
    return {n: executable.read(n) for n in p.outputs}


@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed: int) -> None:
    p = random_program(seed, "float64")
    names = [*p.inputs, *p.state]
    executable = NUMPY.compile(p)

    def draw(g: np.random.Generator) -> list[np.ndarray]:
        return [g.normal(size=(p.inputs | p.state)[n].shape) for n in names]

    def evaluate(point):  # type: ignore[no-untyped-def]
        for n, a in zip(names, point, strict=True):
            executable.write(n, a)
        executable.run()
        return float(executable.read("loss")), [executable.read(f"d{k}") for k in range(len(names))]

    check_gradient(f"random program {seed}", draw, evaluate, seed=seed)


SECOND: list[tuple[str, Callable[..., Any], tuple[tuple[int, ...], ...]]] = [
    ("scalar functions", lambda p, x: m.sin(x) * m.exp(0.3 * x) / (1 + x * x), ((4, 3),)),
    ("product of matrices", lambda p, a, b: m.tanh(p.apply(MatMul(), a, b)), ((3, 4), (4, 2))),
    ("softmax", lambda p, x: p.apply(Softmax(), x) * m.sin(x), ((3, 5),)),
    (
        "convolution",
        lambda p, x, w: m.square(p.apply(Convolution(Window.of(2, 1, 1)), x, w)),
        ((2, 2, 3, 4), (3, 2, 2, 2)),
    ),
    (
        "average pool",
        lambda p, x: m.square(p.apply(Pool("average", Window.of(2)), x)),
        ((1, 2, 4, 4),),
    ),
    (
        "local response",
        lambda p, x: p.apply(LocalResponseNormalisation(2, 1.0, 0.5, 0.75), x),
        ((2, 4, 2),),
    ),
    ("product of elements", lambda p, x: p.apply(Reduce("prod", (1,)), x), ((3, 4),)),
]


@pytest.mark.parametrize(("name", "function", "shapes"), SECOND, ids=[r[0] for r in SECOND])
def test_second_derivatives(name: str, function: Any, shapes: Any) -> None:
    """The gradient of a random projection of the gradient."""
    p = Program()
    xs = [p.input(f"x{k}", s, "float64") for k, s in enumerate(shapes)]
    g = np.random.default_rng(3)
    loss = total(p, function(p, *xs))
    first = gradients(p, loss, xs)
    projected = None
    for d in first:
        term = total(p, d * p.constant(g.normal(size=d.shape)))
        projected = term if projected is None else projected + term
    p.output("projected", projected)  # type: ignore[arg-type]
    for k, d in enumerate(gradients(p, projected, xs)):  # type: ignore[arg-type]
        p.output(f"d{k}", d)
    executable = NUMPY.compile(p)

    def evaluate(point):  # type: ignore[no-untyped-def]
        for k, a in enumerate(point):
            executable.write(f"x{k}", a)
        executable.run()
        return float(executable.read("projected")), [
            executable.read(f"d{k}") for k in range(len(xs))
        ]

    check_gradient(name, lambda g: [g.normal(size=s) for s in shapes], evaluate)


def test_a_value_used_twice_collects_both() -> None:
    p = Program()
    x = p.input("x", (3,))
    (d,) = gradients(p, total(p, x * x + 3 * x), [x])
    p.output("d", d)
    np.testing.assert_allclose(run(p, x=[1, 2, 3])["d"], [5, 7, 9])


def test_independent_values_get_zeros_and_nothing_is_recorded_for_others() -> None:
    p = Program()
    x, y, z = (p.input(n, (3,)) for n in "xyz")
    loss = total(p, m.exp(x) * y)
    before = len(p.steps)
    dz, dy = gradients(p, loss, [z, y])
    p.output("dz", dz)
    p.output("dy", dy)
    got = run(p, x=[0, 1, 2], y=[1, 1, 1])
    np.testing.assert_array_equal(got["dz"], np.zeros(3))
    np.testing.assert_allclose(got["dy"], np.exp([0, 1, 2]), rtol=1e-6)
    assert not any(x in s.inputs for s in p.steps[before:])  # no derivative of exp


def test_seed_weights_the_elements() -> None:
    p = Program()
    x, c = p.input("x", (3,)), p.input("c", (3,))
    (d,) = gradients(p, x * x, [x], seed=c)
    p.output("d", d)
    np.testing.assert_allclose(run(p, x=[1, 2, 3], c=[1, 0, -1])["d"], [2, 0, -6])


def test_the_gradient_of_the_loss_itself_is_the_seed() -> None:
    p = Program()
    x = p.input("x", ())
    (d,) = gradients(p, x, [x])
    p.output("d", d)
    assert run(p, x=5.0)["d"] == 1


def test_stop_gradient() -> None:
    p = Program()
    x = p.input("x", (2,))
    (d,) = gradients(p, total(p, x * p.apply(StopGradient(), x * x)), [x])
    p.output("d", d)
    np.testing.assert_allclose(run(p, x=[2, 3])["d"], [4, 9])


@pytest.mark.parametrize("kind", ["max", "min"])
def test_ties_share_the_cotangent(kind: Any) -> None:
    p = Program()
    x = p.input("x", (2, 3))
    (d,) = gradients(p, total(p, p.apply(Reduce(kind, (1,)), x)), [x])
    p.output("d", d)
    np.testing.assert_allclose(
        run(p, x=[[1, 1, 1], [2, 2, 2]])["d"], np.full((2, 3), 1 / 3), rtol=1e-6
    )


def test_through_random_numbers_flows_nothing() -> None:
    p = Program()
    x = p.input("x", (4,))
    noise = random(p, "normal", (4,))
    (d,) = gradients(p, total(p, x * noise), [x])
    p.output("d", d)
    p.output("noise", noise)
    got = run(p, x=np.ones(4))
    np.testing.assert_array_equal(got["d"], got["noise"])


def test_integers_stop_the_gradient() -> None:
    p = Program()
    x, i = p.input("x", (3,)), p.input("i", (2,), "int32")
    rounded = p.map(lambda x: x, x, dtype="int32")
    loss = total(p, p.apply(Gather(), x, i)) + total(p, p.map(lambda r: r * 1.0, rounded))
    (d,) = gradients(p, loss, [x])
    p.output("d", d)
    np.testing.assert_array_equal(run(p, x=[1, 2, 3], i=[2, 2])["d"], [0, 0, 2])


def test_gradients_are_labelled_with_their_layer() -> None:
    p = Program()
    x = p.input("x", (2, 2))
    with p.scope("layer"):
        y = m.exp(x)
    gradients(p, total(p, y), [x])
    assert "layer/gradient" in {s.label for s in p.steps} and p.label == ""


def test_pull_back_from_the_middle() -> None:
    p = Program()
    x = p.input("x", (2,))
    y = x * 2
    start = len(p.steps)
    z = y * 3
    assert pull_back(p, {z: p.constant(np.ones(2, np.float32))}, [x], start) == [None]
    (d,) = pull_back(p, {z: p.constant(np.ones(2, np.float32))}, [y], start)
    assert d is not None


def test_messages() -> None:
    p = Program()
    x, i = p.input("x", (2, 2)), p.input("i", (2,), "int32")
    with pytest.raises(
        ShapeError, match=r"gradients: expected float values, given Value\(i: int32\[2\]\)"
    ):
        gradients(p, total(p, x), [i])
    with pytest.raises(
        ShapeError, match=r"the seed must have the loss's spec float32\[\], given float32\[2, 2\]"
    ):
        gradients(p, total(p, x), [x], seed=x)
    image = p.input("image", (1, 1, 4, 4))
    y, _ = p.apply(Pool("max", Window.of(2)), image)
    (first,) = gradients(p, total(p, y * y), [image])
    with pytest.raises(
        NotDifferentiable, match="a second derivative of max pooling is not available"
    ):
        gradients(p, total(p, first), [image])
