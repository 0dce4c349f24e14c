"""The layout pass: the same results in any layout, the cheapest choice, reorders only where they pay."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

import cortex
from cortex import layers, optimise
from cortex.compute.backend import Memory
from cortex.compute.layouts import BATCH_LANES, CHANNELS_LAST, Layout
from cortex.compute.numpy_backend import NumpyBackend, NumpyExecutable
from cortex.compute.ops import Convolution, Pool, Transpose, Window
from cortex.compute.ops.arranged import Arranged
from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.passes import decompose, simplify
from cortex.compute.passes.cut import INFINITE, Graph
from cortex.compute.passes.layout import choose_layouts
from cortex.compute.program import Op, Program
from cortex.compute.spec import Spec
from cortex.network import Network

LAYOUTS = pytest.mark.parametrize("layout", [BATCH_LANES, CHANNELS_LAST], ids=lambda v: v.name)


@dataclass(frozen=True)
class Prices:
    """Every step saves `work` in one layout, a reorder costs `move`."""

    layout: Layout
    work: float = 1.0
    move: float = 1e-3

    def dense(self, op: Op, inputs: Sequence[Spec], outputs: Sequence[Spec]) -> float:
        return self.work

    def lifted(self, op: Op, inputs: Sequence[Spec], outputs: Sequence[Spec]) -> float | None:
        if isinstance(op, Arranged):
            return 0.0 if op.layout is self.layout else None
        return 0.0

    def reorder(self, value: Spec, layout: Layout) -> float:
        return self.move


class Lifting(NumpyBackend):
    """The reference backend behind the layout pass."""

    def __init__(self, prices: Prices) -> None:
        self.prices = prices
        self.seen: list[Program] = []

    def compile(self, program: Program, memory: Memory | None = None) -> NumpyExecutable:
        self.seen.append(choose_layouts(simplify(decompose(program)), self.prices))
        return super().compile(self.seen[-1], memory)


def network() -> Network:
    return Network(
        [
            layers.Input(2, 9, 8),
            layers.Convolution(3, kernel=3, padding=1),
            layers.BatchNormalisation(),
            layers.Relu(),
            layers.MaxPooling(2),
            layers.Convolution(4, kernel=3, stride=2),
            layers.LocalResponseNormalisation(),
            layers.Flatten(),
            layers.Linear(3),
            layers.Softmax(),
        ],
        seed=3,
    ).with_dtype("float64")


def count(program: Program, kind: type[Op]) -> int:
    return sum(isinstance(s.op, kind) for s in program.steps)


@pytest.mark.parametrize(
    ("layout", "batch"),
    [(BATCH_LANES, 16), (BATCH_LANES, 19), (CHANNELS_LAST, 1), (CHANNELS_LAST, 5)],
)
def test_a_training_step_is_the_same_in_any_layout(layout: Layout, batch: int) -> None:
    random = np.random.default_rng(0)
    backend = Lifting(Prices(layout))
    steps = [
        cortex.training_step(network(), optimiser=optimise.Sgd(0.1), batch_size=batch, backend=b)
        for b in (NumpyBackend(), backend)
    ]
    for _ in range(3):
        x, label = random.normal(size=(batch, 2, 9, 8)), random.integers(0, 3, batch)
        for step in steps:
            step.write("input1", x)
            step.write("label", label)
            step.run()
        np.testing.assert_allclose(steps[0].read("loss"), steps[1].read("loss"), rtol=1e-12)
    for name in steps[0].memory.names():
        np.testing.assert_allclose(
            steps[0].memory.arrays[name], steps[1].memory.arrays[name], rtol=1e-9, atol=1e-12
        )
    lifted = backend.seen[0]
    assert count(lifted, Arranged) >= 7  # five convolution passes, pooling and its gradient
    if layout is BATCH_LANES:
        assert count(lifted, Transpose) < 12


@LAYOUTS
def test_garbage_in_unused_lanes_stays_there(layout: Layout) -> None:
    program = Program()
    x = program.input("x", (3, 2, 4, 4), "float64")
    y = program.map(lambda x: 1 / x, program.apply(Pool("average", Window.of(2, 2)), x))
    program.output("total", reduce_axes(program, "sum", y, (0, 2, 3)))
    program.output("y", y)
    w = program.constant(np.ones((1, 2, 1, 1)))
    program.output("z", program.apply(Convolution(Window.of(1)), y, w))
    lifted = choose_layouts(program, Prices(layout))
    assert count(lifted, Arranged) == 2
    data = np.random.default_rng(1).uniform(1, 2, size=(3, 2, 4, 4))
    results = []
    for p in (program, lifted):
        executable = NumpyBackend().compile(p)
        executable.write("x", data)
        with np.errstate(divide="ignore", invalid="ignore"):
            executable.run()
        results.append({n: executable.read(n) for n in p.outputs})
    for name, wanted in results[0].items():
        np.testing.assert_allclose(results[1][name], wanted, rtol=1e-13)


@LAYOUTS
def test_nothing_moves_where_reorders_cost_more_than_they_save(layout: Layout) -> None:
    program = Program()
    x = program.input("x", (16, 2, 4, 4))
    w = program.persistent("w", (2, 2, 1, 1))
    y = program.apply(Convolution(Window.of(1)), x, w)
    program.output("y", y)
    assert count(choose_layouts(program, Prices(layout, move=0.6)), Arranged) == 0
    assert count(choose_layouts(program, Prices(layout, move=0.4)), Arranged) == 1


def test_a_program_without_convolutions_stays_as_it_is() -> None:
    program = Program()
    x = program.input("x", (16, 2, 4, 4))
    program.output("y", x + 1)
    assert choose_layouts(program, Prices(BATCH_LANES)) is program


def test_the_cut_is_the_least_of_all() -> None:
    random = np.random.default_rng(5)
    for _ in range(50):
        nodes = 6
        weight = random.integers(0, 8, size=(nodes, nodes)) * random.integers(0, 2, (nodes, nodes))
        graph = Graph()
        for a, b in itertools.permutations(range(nodes), 2):
            graph.connect(a, b, int(weight[a, b]))
        graph.connect(1, 2, INFINITE)
        sides = (
            {0, *(n for n in range(1, nodes - 1) if bits >> n & 1)}
            for bits in range(1 << (nodes - 1))
        )
        prices = {}
        for side in sides:
            if 1 in side and 2 not in side:
                continue
            rest = frozenset(range(nodes)) - side
            prices[rest] = sum(weight[a, b] for a in side for b in rest)
        total, found = graph.cut(0, nodes - 1)
        assert total == min(prices.values()) == prices[frozenset(found)]
