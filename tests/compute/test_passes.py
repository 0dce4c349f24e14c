"""Passes change programs and never results; each also does what it is for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import random_program

from cortex.compute import math as m
from cortex.compute.expression import symbol
from cortex.compute.numpy_backend import NumpyBackend
from cortex.compute.ops import (
    Concatenate,
    Convolution,
    Map,
    MatMul,
    Pad,
    Reduce,
    Reshape,
    Slice,
    Transpose,
    Window,
)
from cortex.compute.ops.fused import Fused
from cortex.compute.passes import (
    Interval,
    decompose,
    fuse_epilogues,
    fuse_maps,
    plan,
    simplify,
    updates_last,
)
from cortex.compute.passes.memory import lower_bound, round_up
from cortex.compute.program import Program
from cortex.compute.reference import interpret
from cortex.compute.verify import execute


def results(program: Program) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return interpret(program, [rng.normal(size=v.shape) for v in program.inputs.values()])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_passes_keep_results(seed: int) -> None:
    program = random_program(seed)
    expected = results(program)
    simple = simplify(program)
    fused = simplify(fuse_maps(simple))
    for changed in (
        simple,
        fused,
        fuse_epilogues(fused, lambda op, inputs: True),
        updates_last(fused),
    ):
        for a, b in zip(expected, results(changed), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    assert len(simple.steps) <= len(program.steps)
    assert len(fused.steps) <= len(simple.steps)


def test_a_chain_of_maps_becomes_one_step() -> None:
    p = Program()
    x = p.input("x", (5, 7))
    p.output("y", m.tanh(x * 2 + 1) * 3 - x)
    assert len(fuse_maps(simplify(p)).steps) == 1


def test_a_costly_map_with_two_readers_is_computed_once() -> None:
    p = Program()
    x = p.input("x", (5, 7))
    y = m.exp(x)
    p.output("a", p.apply(Reduce("sum", (1,)), y))
    p.output("b", y * 2)
    p.output("c", y + 1)
    fused = fuse_maps(simplify(p))
    assert sum("exp" in str(s.op) for s in fused.steps) == 1


def test_a_rounding_conversion_is_not_fused_away() -> None:
    p = Program()
    x = p.input("x", (3,))
    whole = p.apply(Map((symbol(0),), ("int32",)), x)
    p.output("y", p.map(lambda a: a * 0.5, whole, dtype="float32"))
    inputs = [np.array([1.9, -1.9, 2.5], np.float32)]
    (expected,) = interpret(p, inputs)
    (found,) = interpret(fuse_maps(simplify(p)), inputs)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(expected, np.array([0.5, -0.5, 1.0], np.float32))


def test_constants_are_folded_and_written_into_expressions() -> None:
    p = Program()
    x = p.input("x", (4,))
    scale = p.constant(np.array(2.0, np.float32)) * 3.0
    p.output("y", x * scale)
    (step,) = simplify(p).steps
    assert isinstance(step.op, Map) and len(step.inputs) == 1
    assert "6.0" in str(step.op)


def test_a_spread_number_is_not_stored_as_an_array() -> None:
    p = Program()
    x = p.input("x", (100, 100))
    ones = p.apply(
        Map((symbol(0),), ("float32",), (100, 100)), p.constant(np.array(1.0, np.float32))
    )
    p.output("y", p.apply(Reduce("sum", (0,)), ones) + p.apply(Reduce("sum", (0,)), x))
    assert all(v.spec.size == 1 for v in simplify(p).constants)


def test_equal_steps_are_merged_and_dead_ones_removed() -> None:
    p = Program()
    x = p.input("x", (4, 4))
    a = p.apply(MatMul(), x, x)
    b = p.apply(MatMul(), x, x)
    p.apply(MatMul(True), x, x)
    p.output("y", a + b)
    assert [type(s.op).__name__ for s in simplify(p).steps] == ["MatMul", "Map"]


def test_equal_constants_are_one() -> None:
    p = Program()
    x = p.input("x", (2, 3))
    row = np.arange(3, dtype=np.float32)
    first, second = (x * p.constant(row) for _ in range(2))
    other = x * p.constant(row.astype(np.float64).reshape(1, 3))
    p.output("y", first + second)
    p.output("z", other)
    simpler = simplify(p)
    assert len(simpler.constants) == 2  # the other has another dtype and shape
    assert [simpler.inputs["x"] in s.inputs for s in simpler.steps].count(True) == 2


def test_movements_that_move_nothing_go() -> None:
    p = Program()
    x = p.input("x", (4, 5))
    y = p.apply(Transpose((0, 1)), p.apply(Reshape((4, 5)), p.apply(Slice((0, 0), (4, 5)), x)))
    p.output("y", y * 2)
    assert len(simplify(p).steps) == 1


@pytest.mark.parametrize("op", ["matmul", "convolution"])
def test_bias_and_activation_move_into_the_product(op: str) -> None:
    p = Program()
    if op == "matmul":
        y = p.apply(MatMul(), p.input("x", (6, 4)), p.input("w", (4, 3)))
        bias = p.input("b", (3,))
    else:
        y = p.apply(
            Convolution(Window.of(3)), p.input("x", (2, 3, 5, 5)), p.input("w", (4, 3, 3, 3))
        )
        bias = p.input("b", (4, 1, 1))
    p.output("y", m.maximum(y + bias, 0))
    fused = fuse_epilogues(fuse_maps(simplify(p)), lambda op, inputs: True)
    (step,) = fused.steps
    assert isinstance(step.op, Fused)
    (a,), (b,) = results(p), results(decompose(fused))
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_an_epilogue_stays_out_where_the_bare_result_is_read_too() -> None:
    p = Program()
    y = p.apply(MatMul(), p.input("x", (6, 4)), p.input("w", (4, 3)))
    p.output("y", m.maximum(y, 0))
    p.output("raw", y)
    assert not any(
        isinstance(s.op, Fused) for s in fuse_epilogues(p, lambda op, inputs: True).steps
    )


def test_updates_come_last() -> None:
    p = Program()
    state = p.persistent("s", (3,))
    p.update("s", state + 1)
    p.output("y", p.apply(Reduce("sum", (0,)), state))
    assert isinstance(updates_last(p).steps[-1].op, Map)


def test_pad_slice_concatenate_round_trip_through_passes() -> None:
    p = Program()
    x = p.input("x", (3, 4), "float64")
    padded = p.apply(Pad((1, 0), (2, 1), (1, 2), 7.0), x)
    both = p.apply(Concatenate(0), padded, padded * 2)
    p.output("y", p.apply(Slice((1, 0), (6, 10), (2, 3)), both))
    (a,), (b,) = results(p), results(simplify(fuse_maps(simplify(p))))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, results_input())


def results_input() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(3, 4))


intervals = st.lists(
    st.tuples(st.integers(0, 4000), st.integers(0, 20), st.integers(0, 10)), min_size=0, max_size=40
)


@settings(max_examples=100, deadline=None)
@given(intervals)
def test_a_memory_plan_never_overlaps_what_lives_together(
    items: list[tuple[int, int, int]],
) -> None:
    table = {
        k: Interval(size, first, first + length) for k, (size, first, length) in enumerate(items)
    }
    offsets, size = plan(table)
    for i, a in table.items():
        assert offsets[i] % 64 == 0 and offsets[i] + round_up(a.bytes) <= size
        for j, b in table.items():
            if i < j and a.first <= b.last and b.first <= a.last:
                apart = (
                    offsets[i] + round_up(a.bytes) <= offsets[j]
                    or offsets[j] + round_up(b.bytes) <= offsets[i]
                )
                assert apart
    assert lower_bound(table) <= size <= sum(round_up(a.bytes) for a in table.values())


def test_the_plan_of_a_chain_is_the_lower_bound() -> None:
    table = {k: Interval(1000 * (k + 1), k, k + 1) for k in range(10)}
    assert plan(table)[1] == lower_bound(table)


def test_small_maps_are_repeated_where_starting_a_step_costs_more() -> None:
    p = Program()
    x, s = p.input("x", (8, 8)), p.input("s", ())
    y = m.exp(x)
    scale = 1 / (s + 1)
    for name, v in (("a", y * 2), ("b", y + x * scale), ("c", scale + 1)):
        p.output(name, v)
    merged = fuse_maps(p, small=1 << 10)
    assert (len(fuse_maps(p).steps), len(merged.steps)) == (5, 3)
    data = {"x": np.linspace(-1, 1, 64).reshape(8, 8), "s": 3}
    wanted, got = execute(NumpyBackend(), p, data), execute(NumpyBackend(), merged, data)
    for name in p.outputs:
        np.testing.assert_allclose(got.read(name), wanted.read(name), rtol=1e-6)
