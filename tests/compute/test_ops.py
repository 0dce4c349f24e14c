"""Primitive ops: what they infer, and every message."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.compute import NotDifferentiable, Op, Program, ShapeError, Spec
from cortex.compute import ops as o
from cortex.compute.expression import symbol
from cortex.compute.ops.map import broadcast_to, convert, filled
from cortex.compute.ops.reduce import mean, reduce_axes, reshape_to, sum_to
from cortex.compute.verify.cases import CASES

W = o.Window.of
X, Y = symbol(0), symbol(1)


def spec(*shape: int, dtype: str = "float32") -> Spec:
    return Spec(shape, dtype)


BODY = Program()
BODY.output("sum", BODY.input("carry", (3,)) + BODY.input("x", (3,)))

# op, inputs, words of the message: the operation, what was expected, what was given
WRONG: list[tuple[Op, tuple[Spec, ...], tuple[str, ...]]] = [
    (o.Map((X + Y,), ("float32",)), (spec(2),), ("Map", "need 2 inputs, given 1")),
    (o.Map((X + Y,), ("float32",)), (spec(2), spec(3)), ("Map", "(2,)", "(3,)", "do not broadcast")),
    (o.Map((X,), ("float32",), (4,)), (spec(2, 4),), ("Map", "broadcast to (2, 4)", "asks for (4,)")),
    (o.Reduce("total", (0,)), (spec(2),), ("Reduce", "unknown kind 'total'", "sum")),  # type: ignore[arg-type]
    (o.Reduce("sum", (1,)), (spec(2),), ("Reduce sum", "(1,)", "0..0", "float32[2]")),
    (o.Reduce("sum", (1, 0)), (spec(2, 3),), ("axes (1, 0) must ascend",)),
    (o.Reduce("sum", (0, 0)), (spec(2, 3),), ("axes (0, 0)",)),
    (o.Reduce("argmax", (0, 1)), (spec(2, 3),), ("Reduce argmax", "one axis", "(0, 1)")),
    (o.Reduce("max", (0,)), (spec(0, 3),), ("Reduce max", "float32[0, 3]", "empty")),
    (o.MatMul(), (spec(3), spec(3, 4)), ("MatMul", "rank >= 2", "float32[3]", "float32[3, 4]")),
    (o.MatMul(), (spec(2, 3), spec(3, 4, dtype="float64")), ("MatMul", "one float dtype", "float64[3, 4]")),
    (o.MatMul(), (spec(2, 3, dtype="int32"),) * 2, ("MatMul", "one float dtype", "int32[2, 3]")),
    (
        o.MatMul(), (spec(64, 784), spec(800, 500)),
        ("inner extents differ: 784 and 800", "float32[64, 784]", "float32[800, 500]"),
    ),
    (o.MatMul(False, True), (spec(2, 3), spec(4, 5)), ("3 and 5", "float32[4, 5] transposed")),
    (o.MatMul(), (spec(2, 3, 4), spec(5, 4, 6)), ("MatMul batch", "(2,)", "(5,)")),
    (o.Convolution(W(3)), (spec(2, 3, 8), spec(4, 3, 3, 3)), ("Convolution", "rank 4", "float32[2, 3, 8]")),
    (o.Convolution(W(3)), (spec(2, 3, 8, 8), spec(4, 3, 5, 5)), ("float32[4, 3, 5, 5]", "window's size (3, 3)")),
    (o.Convolution(W(3)), (spec(2, 3, 8, 8), spec(4, 2, 3, 3)), ("1 groups", "3 channels", "4 kernels")),
    (o.Convolution(W(3), 2), (spec(2, 4, 8, 8), spec(3, 2, 3, 3)), ("2 groups", "4 channels", "3 kernels")),
    (
        o.Convolution(W(3)), (spec(2, 3, 2, 8), spec(4, 3, 3, 3)),
        ("Convolution", "covers 3 cells along spatial axis 0", "has 2"),
    ),
    (o.Convolution(W(3)), (spec(2, 3, 8, 8), spec(4, 3, 3, 3, dtype="float64")), ("one float dtype",)),
    (
        o.ConvolutionInputGradient(W(3), (8, 8)), (spec(2, 4, 5, 5), spec(4, 3, 3, 3)),
        ("dy of shape (2, 4, 6, 6)", "float32[2, 4, 5, 5]"),
    ),
    (
        o.ConvolutionKernelGradient(W(3)), (spec(2, 3, 8, 8), spec(2, 4, 5, 5)),
        ("dy of shape (2, 4, 6, 6)", "float32[2, 4, 5, 5]"),
    ),
    (o.ConvolutionKernelGradient(W(3), 2), (spec(2, 3, 8, 8), spec(2, 4, 6, 6)), ("float32[2, 3, 8, 8]", "2 groups")),
    (o.Pool("median", W(2)), (spec(1, 1, 4, 4),), ("Pool", "'median'", "average, max")),  # type: ignore[arg-type]
    (o.Pool("max", W(2)), (spec(1, 4, 4),), ("Pool", "rank 4", "float32[1, 4, 4]")),
    (o.Pool("max", W(2)), (spec(1, 1, 4, 4, dtype="int32"),), ("Pool", "floats", "int32[1, 1, 4, 4]")),
    (o.Pool("max", W(2, dilation=2)), (spec(1, 1, 4, 4),), ("dilation (2, 2) is not supported",)),
    (
        o.Pool("max", W(2, padding=2)), (spec(1, 1, 4, 4),),
        ("padding (2, 2)", "spatial axis 0", "below the window's extent 2"),
    ),
    (o.PoolGradient("max", W(2), (4, 4)), (spec(1, 1, 3, 3),), ("PoolGradient max", "(1, 1, 3, 3)", "uint8")),
    (o.PoolGradient("average", W(2), (4, 4)), (spec(1, 1, 2, 2),), ("dy of shape (1, 1, 3, 3)", "float32[1, 1, 2, 2]")),
    (o.Gather(), (spec(4, 2), spec(3)), ("Gather", "integer index (uint8, int32, int64)", "float32[3]")),
    (o.Gather(), (spec(), spec(3, dtype="int32")), ("Gather", "expected rows", "float32[]")),
    (o.ScatterAdd(4), (spec(3, dtype="int32"), spec(2, 5)), ("ScatterAdd", "int32[3]", "float32[2, 5]")),
    (o.Reshape((2, 4)), (spec(9),), ("Reshape", "9 elements", "(2, 4)", "8")),
    (o.Transpose((0, 0)), (spec(2, 3),), ("Transpose", "(0, 0)", "permutation of 0..1", "float32[2, 3]")),
    (o.Transpose((0,)), (spec(2, 3),), ("Transpose", "(0,)")),
    (o.Slice((0,), (2,)), (spec(2, 3),), ("Slice", "one entry per axis", "float32[2, 3]")),
    (o.Slice((1,), (4,)), (spec(3),), ("Slice", "1:4:1 leaves axis 0 of extent 3")),
    (o.Slice((0,), (3,), (0,)), (spec(3),), ("Slice", "0:3:0", "step below 1")),
    (o.Pad((1,), (1,)), (spec(2, 3),), ("Pad", "one entry per axis", "float32[2, 3]")),
    (o.Pad((-1,), (1,)), (spec(2),), ("Pad", "must not be negative", "(-1,)")),
    (o.Concatenate(0), (), ("Concatenate", "at least one input")),
    (o.Concatenate(2), (spec(2, 3),), ("Concatenate", "axis 2", "float32[2, 3]")),
    (o.Concatenate(0), (spec(2, 3), spec(2, 4)), ("axis 0", "float32[2, 3]", "float32[2, 4]")),
    (o.Concatenate(0), (spec(2), spec(2, dtype="int32")), ("dtypes differ", "int32[2]")),
    (  # type: ignore[arg-type]
        o.Random("gamma", (2,), 0), (spec(dtype="uint64"), spec(dtype="int64")),
        ("Random", "'gamma'", "normal, uniform"),
    ),
    (o.Random("normal", (2,), 0), (spec(dtype="int64"), spec(dtype="int64")), ("Random", "seed uint64[]", "int64[]")),
    (o.Random("normal", (2,), 0, "int32"), (spec(dtype="uint64"), spec(dtype="int64")), ("Random", "float dtype")),
    (o.Scan(BODY, 4, 1, 1), (spec(3), spec(5, 3)), ("Scan of length 4", "float32[3], float32[3]", "float32[5, 3]")),
    (o.Scan(BODY, 4, 1, 1), (spec(2), spec(4, 3)), ("Scan of length 4", "float32[2]")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "inputs", "words"), WRONG, ids=lambda v: type(v).__name__ if isinstance(v, Op) else ""
)
def test_messages(op: Op, inputs: tuple[Spec, ...], words: tuple[str, ...]) -> None:
    with pytest.raises(ShapeError) as caught:
        op.infer(*inputs)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"


def test_every_primitive_refuses_something() -> None:
    assert {type(op) for op, _, _ in WRONG} >= set(o.PRIMITIVES)


def test_a_carry_that_changes_its_spec() -> None:
    body = Program()
    body.output("c", o_sum(body, body.input("c0", (3,))))
    with pytest.raises(
        ShapeError, match=r"carry 0 enters the body as float32\[3\] and leaves it as float32\[\]"
    ):
        o.Scan(body, 2, 1, 0).infer(spec(3))


def o_sum(p: Program, v: Any) -> Any:
    return p.apply(o.Reduce("sum", (0,)), v)


def test_the_stacked_carries_have_no_gradient_of_their_own() -> None:
    from cortex.compute import gradients

    p = Program()
    body = Program()
    body.output("c", body.input("c0", (2,)) * body.input("x", (2,)))
    c, before = p.apply(o.Scan(body, 3, 1, 1), p.input("c", (2,)), p.input("x", (3, 2)))
    with pytest.raises(ShapeError, match="stacked carries are for the gradient"):
        gradients(p, reduce_axes(p, "sum", before, None), [p.inputs["c"]])


def test_every_op_has_rows_in_the_tables() -> None:
    """A new op without a row in `cortex.compute.verify.cases` fails here."""
    covered = {type(c.op) for c in CASES if isinstance(c.op, Op)}
    for c in CASES:
        covered |= {type(s.op) for s in c.program("float32").steps}
    elsewhere = {o.Random, o.Scan}  # verify.randomness, verify.scanning
    assert {*o.PRIMITIVES, *o.COMPOSITES} - elsewhere <= covered


def test_names_of_cases_differ() -> None:
    names = [c.name for c in CASES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_inference_agrees_with_numpy_shapes(case: Any) -> None:
    p = case.program("float64")
    arrays = case.draw(np.random.default_rng(0), "float64")
    wanted = case.expect(*arrays)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    assert [v.shape for v in p.outputs.values()] == [np.shape(w) for w in wanted]


def test_an_op_without_a_gradient_says_so() -> None:
    class Nothing(Op):
        pass

    with pytest.raises(NotDifferentiable, match="Nothing has no gradient"):
        Nothing().gradient(Program(), (), (), ())
    with pytest.raises(NotImplementedError):
        Nothing().infer()
    assert not Nothing().is_composite and o.Softmax().is_composite


SHAPES = st.lists(st.integers(1, 4), max_size=4).map(tuple)


@given(SHAPES, st.data())
def test_sum_to_is_the_transpose_of_broadcasting(
    shape: tuple[int, ...], data: st.DataObject
) -> None:
    """The sum over the axes along which `small` was broadcast to `shape`."""
    first = data.draw(st.integers(0, len(shape)))
    small = tuple(1 if data.draw(st.booleans()) else n for n in shape[first:])
    p = Program()
    summed = sum_to(p, p.input("x", shape, "float64"), small)
    p.output("y", summed)
    assert summed.shape == small
    from cortex.compute import get_backend

    executable = get_backend("numpy").compile(p)
    x = np.random.default_rng(0).normal(size=shape)
    executable.write("x", x)
    executable.run()
    y = np.random.default_rng(1).normal(size=small)
    np.testing.assert_allclose(
        (executable.read("y") * y).sum(),
        (x * np.broadcast_to(y, shape)).sum(),
        rtol=1e-10,
        atol=1e-12,
    )


def test_helpers_record_nothing_needless() -> None:
    p = Program()
    x = p.input("x", (2, 3))
    assert reshape_to(p, x, (2, 3)) is x and broadcast_to(p, x, (2, 3)) is x
    assert convert(p, x, "float32") is x and sum_to(p, x, (2, 3)) is x
    assert not p.steps
    assert convert(p, x, "float64").dtype == "float64"
    assert filled(p, 2, (4,), "int32").spec == Spec((4,), "int32")
    assert reduce_axes(p, "max", x, -1).shape == (2,)
    assert reduce_axes(p, "sum", x, None).shape == ()
    assert mean(p, x, (0, -1), keep=True).shape == (1, 1)
    with pytest.raises(ShapeError, match=re.escape("axes (2,) must ascend within 0..1")):
        reduce_axes(p, "sum", x, 2)
