"""From terms to one number, and penalties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex import losses as L
from cortex.build import Build
from cortex.compute.autodiff import gradients
from cortex.compute.ops import Map
from cortex.compute.program import Program, Value

RNG = np.random.default_rng(0)


def close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("weights", [None, [1.0, 0.0, 2.0, 0.5]])
@pytest.mark.parametrize("samples", [None, [2.0, 1.0, 0.0, 3.0]])
def test_reduction(evaluate: Any, weights: Any, samples: Any) -> None:
    terms = np.array([1.0, 5.0, -2.0, 4.0])

    def record(b: Build, terms: Value) -> dict[str, Value]:
        given = [None if w is None else b.constant(np.array(w)) for w in (weights, samples)]
        return {"value": L.reduce_terms(b, terms, *given)}

    found, _ = evaluate(record, terms=terms)
    w = np.array(weights or [1.0] * 4) * np.array(samples or [1.0] * 4)
    close(found["value"], (w * terms).sum() / w.sum())


def test_sample_weights_of_0_leave_examples_out(loss_of: Any) -> None:
    o, t = RNG.standard_normal((4, 3)), RNG.standard_normal((4, 3))
    value, gradient = loss_of(L.MeanSquaredError(), o, t, [1, 0, 2, 0])
    each = ((o - t) ** 2).mean(1)
    close(value, (each[0] + 2 * each[2]) / 3)
    assert not gradient[[1, 3]].any()
    value, gradient = loss_of(L.MeanSquaredError(), o, t, [0, 0, 0, 0])
    assert value == 0 and not gradient.any()


@given(st.integers(1, 9), st.integers(1, 5), st.data())
def test_a_batch_is_the_weighted_mean_of_its_parts(loss_of: Any, n: int, k: int, data: Any) -> None:
    rng = np.random.default_rng(n * 10 + k)
    cut = data.draw(st.integers(0, n))
    x, labels, w = rng.standard_normal((n, k)), rng.integers(0, k, n), rng.uniform(0.1, 1, n)
    whole, _ = loss_of(L.SoftmaxCrossEntropy(), x, labels, w)
    total = 0.0
    for part in (slice(0, cut), slice(cut, n)):
        if len(labels[part]):
            value, _ = loss_of(L.SoftmaxCrossEntropy(), x[part], labels[part], w[part])
            total += value * w[part].sum()
    close(whole, total / w.sum(), 1e-10)


@pytest.mark.parametrize(
    ("penalty", "value", "slope"),
    [
        (L.L1Regulariser(0.3), lambda w: 0.3 * np.abs(w).sum(), lambda w: 0.3 * np.sign(w)),
        (L.L2Regulariser(0.3), lambda w: 0.15 * (w**2).sum(), lambda w: 0.3 * w),
    ],
)
def test_penalties(evaluate: Any, penalty: Any, value: Any, slope: Any) -> None:
    w = RNG.standard_normal((3, 4))
    w[1, 2] = 0

    def record(b: Build, w: Value) -> dict[str, Value]:
        found = penalty.penalty(b, w)
        return {"value": found, "gradient": gradients(b.program, found, [w])[0]}

    found, _ = evaluate(record, w=w)
    close(found["value"], value(w))
    close(found["gradient"], slope(w))
    assert L.REGULARISERS.from_data(L.REGULARISERS.to_data(penalty)) == penalty


def test_losses_keep_to_float32() -> None:
    program = Program()
    build = Build(program)
    x = program.input("x", (4, 3))
    losses = [L.MeanSquaredError(), L.Huber(), L.SoftmaxCrossEntropy(0.1, (1, 2, 3))]
    losses += [L.CategoricalCrossEntropy(), L.BinaryCrossEntropy(), L.NegativeLogLikelihood(0.1)]
    for i, loss in enumerate(losses):
        value = L.loss_value(build, loss, x, program.input(f"t{i}", (4, 3)))
        assert str(value.spec) == "float32[]"
    value = L.loss_value(build, losses[2], x, program.input("labels", (4,), "int64"))
    assert str(value.spec) == "float32[]"
    made = [o.dtype for s in program.steps if isinstance(s.op, Map) for o in s.outputs]
    assert "float64" not in made
