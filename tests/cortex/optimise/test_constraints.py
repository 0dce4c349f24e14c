"""Projections and clipping, through programs on the NumPy backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from cortex.compute.errors import DescriptionError
from cortex.compute.program import Program
from cortex.compute.registry import get_backend
from cortex.optimise import constraints as c


def compute(function: Callable[..., Any], *arrays: Any) -> list[np.ndarray]:
    program = Program()
    given = [np.asarray(a, np.float64) for a in arrays]
    values = [program.input(f"x{i}", a.shape, "float64") for i, a in enumerate(given)]
    results = function(program, *values)
    for i, r in enumerate(results if isinstance(results, (list, tuple)) else [results]):
        program.output(f"y{i}", r)
    executable = get_backend("numpy").compile(program)
    for i, a in enumerate(given):
        executable.write(f"x{i}", a)
    executable.run()
    return [executable.read(n) for n in program.outputs]


def max_norm(w: Any, limit: float) -> np.ndarray:
    return compute(lambda b, v: c.max_norm(b, v, limit), w)[0]


def test_max_norm_of_the_original() -> None:
    np.testing.assert_allclose(
        max_norm([[3, -4], [0, 1], [4, 0]], 2), [[1.2, -1.6], [0, 1], [2, 0]], rtol=1e-15
    )
    ramp = max_norm(np.arange(1000.0).reshape(10, 100), 1)
    assert np.linalg.norm(ramp, axis=1).sum() == pytest.approx(10, abs=1e-12)
    # rows of norm 0..9 with a limit of 5 are scaled by 1 six times, then 5/6 .. 5/9
    rows = np.diag(np.arange(10.0))
    factors = np.diag(max_norm(rows, 5))[1:] / np.arange(1, 10)
    np.testing.assert_allclose(factors, [1] * 5 + [5 / 6, 5 / 7, 5 / 8, 5 / 9])


def test_max_norm_of_kernels_and_of_zeros() -> None:
    w = np.random.default_rng(0).standard_normal((4, 3, 5, 2))
    w[1] = 0
    norms = np.linalg.norm(w.reshape(4, -1), axis=1)
    found = max_norm(w, 3.0)
    expected = np.minimum(1, 3.0 / np.maximum(norms, 1e-300))[:, None, None, None] * w
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert np.isfinite(found).all()


@given(st.integers(1, 5), st.integers(1, 7), st.floats(1e-3, 1e3), st.integers(0, 99))
def test_rows_never_exceed_the_limit(rows: int, columns: int, limit: float, seed: int) -> None:
    w = np.random.default_rng(seed).standard_normal((rows, columns)) * 100
    found = max_norm(w, limit)
    assert (np.linalg.norm(found, axis=1) <= limit * (1 + 1e-14)).all()
    np.testing.assert_allclose(max_norm(found, limit), found, rtol=1e-14)


def test_bounds_of_values_and_of_arrays() -> None:
    x = np.array([-2.0, 0.5, 3.0])
    for low, high, expected in [
        (-1, 1, [-1, 0.5, 1]),
        (None, 1, [-2, 0.5, 1]),
        (0, None, [0, 0.5, 3]),
        (None, None, [-2, 0.5, 3]),
    ]:
        found = compute(lambda b, v, low=low, high=high: c.bounds(b, v, low, high), x)[0]
        assert found.tolist() == expected
        assert c.bounds(None, x, low, high).tolist() == expected
    lows = np.array([0.0, 1.0, 2.0])
    assert c.bounds(None, x, lows).tolist() == [0, 1, 3]
    assert compute(lambda b, v: c.bounds(b, v, lows), x)[0].tolist() == [0, 1, 3]
    assert compute(c.non_negative, x)[0].tolist() == [0, 0.5, 3]
    assert c.non_negative(None, x).tolist() == [0, 0.5, 3]


def test_clip_by_value() -> None:
    found = compute(lambda b, g: c.clip_by_value(b, g, 1.5), [-9.0, 1.0, 2.0])[0]
    assert found.tolist() == [-1.5, 1, 1.5]


@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_clip_by_global_norm(limit: float) -> None:
    rng = np.random.default_rng(0)
    g = [rng.standard_normal((3, 2)), rng.standard_normal(5)]

    def clip(b: Program, *values: Any) -> list[Any]:
        clipped, norm = c.clip_by_global_norm(b, values, limit)
        return [*clipped, norm]

    *found, norm = compute(clip, *g)
    expected = np.sqrt(sum((a**2).sum() for a in g))
    assert float(norm) == pytest.approx(expected, rel=1e-14)
    for a, b in zip(found, g, strict=True):
        np.testing.assert_allclose(a, b * min(1, limit / expected), rtol=1e-14)


def test_a_gradient_of_zeros_stays() -> None:
    def clip(b: Program, v: Any) -> Any:
        return c.clip_by_global_norm(b, [v], 1.0)[0]

    assert compute(clip, np.zeros(3))[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, w: c.max_norm(p, w, 0), "max_norm: limit: expected a number > 0, given 0"),
        (lambda p, w: c.max_norm(p, p.input("b", (3,)), 1), r"expected weights \[outputs, ...\]"),
        (lambda p, w: c.bounds(p, w, 2, 1), "bounds: expected low <= high, given 2 and 1"),
        (lambda p, w: c.clip_by_value(p, w, -1), "clip_by_value: limit: expected .* given -1"),
        (lambda p, w: c.clip_by_global_norm(p, [w], True), "expected a number > 0, given True"),
        (lambda p, w: c.clip_by_global_norm(p, [], 1.0), "expected at least one gradient"),
    ],
)
def test_messages(call: Any, message: str) -> None:
    program = Program()
    with pytest.raises(DescriptionError, match=message):
        call(program, program.input("w", (2, 3)))


@given(hn.arrays(np.float64, 4, elements=st.floats(-1e3, 1e3)), st.floats(0.01, 100))
def test_projections_of_vectors(x: np.ndarray, limit: float) -> None:
    before = x.copy()
    for project in (
        c.Box(-limit, limit),
        c.Box(low=[0, 1, 2, 3]),
        c.Box(high=limit),
        c.Box(),
        c.Ball(limit),
    ):
        y = project(x)
        assert y is not x
        np.testing.assert_allclose(project(y), y, rtol=1e-14)  # what is allowed stays
        np.testing.assert_array_equal(x, before)
    ball = c.Ball(limit)(x)
    assert np.linalg.norm(ball) <= limit * (1 + 1e-14)
    if np.linalg.norm(x) <= limit:
        np.testing.assert_array_equal(ball, x)
    np.testing.assert_array_equal(c.Box(-limit, limit)(x), np.clip(x, -limit, limit))


def test_messages_of_projections() -> None:
    with pytest.raises(
        DescriptionError, match=r"Box: expected low <= high, given \[0.0, 2.0\] and 1.0"
    ):
        c.Box([0, 2], 1)
    with pytest.raises(DescriptionError, match="Ball: limit: expected a number > 0, given 0"):
        c.Ball(0)
