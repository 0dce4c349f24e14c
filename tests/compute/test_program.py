"""Programs: recording, names, dtypes, scopes, rewriting, and every message."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cortex.compute import Program, ShapeError, Spec, Value, get_backend
from cortex.compute import math as m
from cortex.compute.errors import DescriptionError, near
from cortex.compute.ops import Map, MatMul, Reduce, Reshape, Slice, Softmax
from cortex.compute.program import Step, rewrite


def run(p: Program, **inputs: object) -> dict[str, np.ndarray]:
    executable = get_backend("numpy").compile(p)
    for name, array in inputs.items():
        executable.write(name, array)
    executable.run()
    return {name: executable.read(name) for name in p.outputs}


def test_arithmetic_records_maps() -> None:
    p = Program()
    x, y = p.input("x", (2, 3)), p.input("y", (3,))
    z = (2 * x - y / 4) ** 2 + abs(-x) * (1 - x) + 1 / (y + 5) + 2**y
    assert isinstance(z, Value) and z.shape == (2, 3) and z.dtype == "float32"
    assert {type(s.op) for s in p.steps} == {Map}
    p.output("z", z)
    a, b = np.arange(6.0).reshape(2, 3), np.array([1.0, -2, 3])
    wanted = (2 * a - b / 4) ** 2 + abs(-a) * (1 - a) + 1 / (b + 5) + 2**b
    np.testing.assert_allclose(run(p, x=a, y=b)["z"], wanted, rtol=1e-6)


def test_comparisons_give_truth_values() -> None:
    p = Program()
    x, y = p.input("x", (4,)), p.input("y", (4,))
    pairs = {"gt": x > y, "ge": x >= y, "lt": x < y, "le": x <= y, "and": (x > 0) & (y > 0)}
    pairs |= {"or": (x > 0) | (y > 0), "not": ~(x > y)}
    for name, v in pairs.items():
        assert v.dtype == "bool"
        p.output(name, v)
    a, b = np.array([1.0, 2, -1, 0]), np.array([1.0, 1, -2, 5])
    got = run(p, x=a, y=b)
    for name, wanted in {
        "gt": a > b, "ge": a >= b, "lt": a < b, "le": a <= b, "and": (a > 0) & (b > 0),
        "or": (a > 0) | (b > 0), "not": ~(a > b),
    }.items():  # fmt: skip
        np.testing.assert_array_equal(got[name], wanted)


@pytest.mark.parametrize(
    ("left", "right", "result"),
    [
        ("float32", "float32", "float32"), ("float32", "float64", "float64"), ("float32", "int64", "float32"),
        ("int32", "int64", "int64"), ("uint8", "int32", "int32"), ("bool", "float32", "float32"),
        ("uint8", "uint8", "uint8"),
    ],
)  # fmt: skip
def test_dtypes_of_results(left: str, right: str, result: str) -> None:
    p = Program()
    assert (p.input("a", (2,), left) + p.input("b", (2,), right)).dtype == result


def test_integers_become_floats_where_numbers_do() -> None:
    p = Program()
    i = p.input("i", (2,), "int32")
    assert (i + 1).dtype == "int32"
    assert (i + 0.5).dtype == "float32"
    assert (i / 2).dtype == "float32"
    assert m.exp(i).dtype == "float32"
    assert p.map(lambda i: i, i, dtype="float64").dtype == "float64"


def test_map_calls_the_function_once_and_gives_several_outputs() -> None:
    p, calls = Program(), []
    x = p.input("x", (3,))

    def both(a, b):  # type: ignore[no-untyped-def]
        calls.append(1)
        return a + b, a * b

    s, t = p.map(both, x, 3)
    (only,) = p.map(lambda a: (a,), x)
    assert calls == [1] and s.shape == t.shape == only.shape == (3,)
    p.output("t", t)
    np.testing.assert_array_equal(run(p, x=[1, 2, 3])["t"], [3, 6, 9])


def test_arrays_in_arithmetic_become_constants() -> None:
    p = Program()
    y = p.input("x", (2, 3)) * np.array([1, 2, 3], np.float32)
    assert len(p.constants) == 1
    p.output("y", y)
    np.testing.assert_array_equal(run(p, x=np.ones((2, 3)))["y"], [[1, 2, 3]] * 2)


def test_a_constant_is_a_copy() -> None:
    p = Program()
    data = np.array([1.0, 2.0])
    c = p.constant(data)
    data[0] = 9
    assert c.dtype == "float64" and p.constants[c][0] == 1
    with pytest.raises(ValueError, match="read-only"):
        p.constants[c][0] = 5
    assert p.constant([1.0, 2.0]).dtype == "float32"
    assert p.constant(2.5).spec == Spec((), "float32")
    assert p.constant([1, 2]).dtype == "int64"
    assert p.constant([True]).dtype == "bool"
    assert p.constant([1, 2], "int32").dtype == "int32"


def test_scopes_label_steps() -> None:
    p = Program()
    x = p.input("x", (3,))
    with p.scope("outer"):
        y = x + 1
        with p.scope("inner"):
            y = y * 2
        y = y - 1
    _ = y + 0.5
    assert [s.label for s in p.steps] == ["outer", "outer/inner", "outer", ""]


def test_a_scope_ends_after_an_error_and_names_itself() -> None:
    p = Program()
    a, b = p.input("a", (2, 3)), p.input("b", (4, 5))
    with pytest.raises(
        ShapeError, match=r"^in 'layer 3/product': MatMul: the inner extents differ: 3 and 4"
    ):
        with p.scope("layer 3"), p.scope("product"):
            p.apply(MatMul(), a, b)
    assert p.label == ""


def test_names_are_taken_once() -> None:
    p = Program()
    x = p.input("x", (2,))
    p.persistent("s", (4,))
    p.view("v", "s", 0, (2,))
    p.output("y", x)
    for name in "xsvy":
        for declare in (
            lambda n: p.input(n, (1,)),
            lambda n: p.persistent(n, (1,)),
            lambda n: p.view(n, "s", 0, (1,)),
            lambda n: p.output(n, x),
        ):
            with pytest.raises(ShapeError, match=f"the name '{name}' is taken"):
                declare(name)


def test_updates_are_checked() -> None:
    p = Program()
    s, x = p.persistent("weights", (2,)), p.input("x", (3,))
    with pytest.raises(ShapeError, match="no state named 'wieghts'; did you mean 'weights'"):
        p.update("wieghts", s)
    with pytest.raises(ShapeError, match=r"'weights': expected float32\[2\], given float32\[3\]"):
        p.update("weights", x)
    p.update("weights", s + 1)
    p.update("weights", s + 2)  # the last one counts
    assert list(p.updates) == ["weights"]


def test_views_are_checked() -> None:
    p = Program()
    p.persistent("flat", (10,))
    p.persistent("square", (3, 3))
    with pytest.raises(
        ShapeError, match=r"'v': 6 elements from 5 do not lie inside the 1-d buffer 'flat'"
    ):
        p.view("v", "flat", 5, (2, 3))
    with pytest.raises(ShapeError, match="do not lie inside the 1-d buffer 'square'"):
        p.view("w", "square", 0, (3,))
    with pytest.raises(ShapeError, match="'flat'"):
        p.view("negative", "flat", -1, (3,))


def test_an_unknown_buffer_of_a_view_is_named() -> None:
    p = Program()
    p.persistent("weights", (10,))
    with pytest.raises(ShapeError, match="'weigths'.*did you mean 'weights'"):
        p.view("v", "weigths", 0, (2,))


def test_values_of_another_program_are_refused() -> None:
    p, q = Program(), Program()
    x, y = p.input("x", (2,)), q.input("y", (2,))
    with pytest.raises(
        ShapeError, match=r"Map: Value\(y: float32\[2\]\) belongs to another program"
    ):
        _ = x + y
    with pytest.raises(ShapeError, match="Softmax: .* belongs to another program"):
        p.apply(Softmax(), y)
    with pytest.raises(ShapeError, match="belongs to another program"):
        p.output("z", y)
    p.persistent("s", (2,))
    with pytest.raises(ShapeError, match="belongs to another program"):
        p.update("s", y)


def test_a_value_has_no_truth_value() -> None:
    p = Program()
    with pytest.raises(TypeError, match=r"no truth value .*; use where\(\)"):
        bool(p.input("x", (2,)) > 0)


def test_shapes_that_do_not_broadcast() -> None:
    p = Program()
    with pytest.raises(ShapeError, match=r"Map: shapes \(2, 3\), \(4,\) do not broadcast"):
        _ = p.input("a", (2, 3)) + p.input("b", (4,))


def test_random_numbers_count_up() -> None:
    p = Program()
    assert [p.next_random() for _ in range(3)] == [0, 1, 2]


def example() -> Program:
    p = Program()
    x, s = p.input("x", (2, 3)), p.persistent("s", (3,))
    with p.scope("layer"):
        y = p.apply(Softmax(), x * s)
    p.update("s", s + p.apply(Reduce("sum", (0,)), y))
    p.output("y", y + p.constant([[1.0], [2.0]]))
    p.view("head", "s", 0, (2,))
    p.next_random()
    return p


def test_text_shows_everything() -> None:
    text = str(example())
    for part in (
        "x: float32[2, 3]", "s: float32[3]", "c2: float32[2, 1]", "Softmax(axis=-1)", "# layer",
        "Map[mul(x0, x1)](x, s)", "update s <- ", "output y = ",
    ):  # fmt: skip
        assert part in text, text


def test_rewrite_replays_and_replaces() -> None:
    p = example()
    copy = rewrite(p, lambda new, step, inputs: None)
    assert str(copy) == str(p) and copy is not p
    assert copy.views == p.views and copy.random_count == 1
    assert all(v.program is copy for s in copy.steps for v in (*s.inputs, *s.outputs))

    def double(new: Program, step: Step, inputs: tuple[Value, ...]):  # type: ignore[no-untyped-def]
        return [2 * new.apply(step.op, *inputs)] if isinstance(step.op, Softmax) else None

    a, s = np.random.default_rng(0).normal(size=(2, 3)), np.ones(3)
    before, after = run(p, x=a, s=s)["y"], run(rewrite(p, double), x=a, s=s)["y"]
    c = np.array([[1.0], [2.0]])
    np.testing.assert_allclose(after - c, 2 * (before - c), rtol=1e-5)
    assert any(s.label == "layer" for s in rewrite(p, double).steps)


def test_rewrite_keeps_label_of_what_replaces() -> None:
    p = Program()
    with p.scope("here"):
        p.output("y", p.apply(Softmax(), p.input("x", (2, 2))))
    new = rewrite(p, lambda new, step, inputs: step.op.decompose(new, *inputs))
    assert {s.label for s in new.steps} == {"here"}


def test_movements_of_views() -> None:
    p = Program()
    p.persistent("flat", (10,))
    v = p.view("v", "flat", 2, (2, 3))
    assert [type(s.op) for s in p.steps] == [Slice, Reshape] and v.shape == (2, 3)
    whole = p.view("whole", "flat", 0, (10,))
    assert whole is p.state["flat"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Spec((2, -1)), r"a shape holds integers >= 0, given (2, -1)"),
        (lambda: Spec((2.5,)), r"given (2.5,)"),  # type: ignore[arg-type]
        (lambda: Spec((2,), "flaot32"), "unknown dtype 'flaot32'; did you mean 'float32'?"),
    ],
)
def test_wrong_specs(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ShapeError, match=re.escape(message)):
        make()


def test_specs() -> None:
    s = Spec((np.int64(2), 3), "float64")
    assert (s.rank, s.size, s.bytes, str(s)) == (2, 6, 48, "float64[2, 3]")
    assert Spec(()).size == 1 and Spec((0, 3)).bytes == 0
    assert Spec((2,)) == Spec((2,), "float32") and hash(Spec((2,))) == hash(Spec((np.int32(2),)))


def test_messages_of_descriptions_list_all_problems() -> None:
    one, two = DescriptionError("network", ["no input"]), DescriptionError("network", ["a", "b"])
    assert str(one) == "network: no input"
    assert str(two) == "network: \n  1. a\n  2. b" and two.problems == ("a", "b")
    assert near("lenear", ["linear", "relu"]) == "; did you mean 'linear'?"
    assert near("zzz", ["b", "a"]) == "; known: a, b" and near("x", []) == ""
