"""Composite ops: messages, numerical stability, properties that tables do not show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cortex.compute import Op, Program, ShapeError, Spec, get_backend, gradients
from cortex.compute import math as m
from cortex.compute import ops as o
from cortex.compute.expression import symbol
from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.passes import decompose, simplify

NUMPY = get_backend("numpy")
W = o.Window.of


def spec(*shape: int, dtype: str = "float32") -> Spec:
    return Spec(shape, dtype)


SEED, STEP = spec(dtype="uint64"), spec(dtype="int64")
WRONG: list[tuple[Op, tuple[Spec, ...], tuple[str, ...]]] = [
    (o.Softmax(2), (spec(2, 3),), ("Softmax", "(2,)", "float32[2, 3]", "-2..1")),
    (o.Softmax(), (spec(2, 3, dtype="int32"),), ("Softmax", "float32 or float64", "int32[2, 3]", "convert")),
    (o.Softmax(), (spec(2, 0),), ("Softmax", "axis -1", "empty")),
    (o.Softmax(), (spec(),), ("Softmax", "float32[]")),
    (o.LogSoftmax(-3), (spec(2, 3),), ("LogSoftmax", "(-3,)")),
    (
        o.SoftmaxCrossEntropy(), (spec(5, 10), spec(4, dtype="int32")),
        ("SoftmaxCrossEntropy", "float32[5, 10]", "labels of shape (5,)", "int32[4]"),
    ),
    (o.SoftmaxCrossEntropy(), (spec(5, 10), spec(5)), ("float32[5]", "distribution float32[5, 10]")),
    (o.SoftmaxCrossEntropy(), (spec(5, 10), spec(5, 10, dtype="float64")), ("float64[5, 10]",)),
    (o.SoftmaxCrossEntropy(1, 1.0), (spec(5, 10), spec(5, dtype="int32")), ("label_smoothing", "below 1", "1.0")),
    (
        o.BatchNormalisation((0,), 1e-3), (spec(4, 3), spec(2), spec(3)),
        ("BatchNormalisation", "float32[4, 3]", "scale float32[3]", "float32[2]"),
    ),
    (o.BatchNormalisation((0,), 1e-3), (spec(4, 3), spec(3), spec(3, 1)), ("bias float32[3]", "float32[3, 1]")),
    (o.BatchNormalisation((0, 0), 1e-3), (spec(4, 3), spec(3), spec(3)), ("(0, 0)", "different axes")),
    (o.BatchNormalisation((), 1e-3), (spec(4, 3), spec(4, 3), spec(4, 3)), ("()", "different axes")),
    (
        o.BatchNormalisationGradient((0,), 1e-3), (spec(4, 2), spec(4, 3), spec(3), spec(3), spec(3)),
        ("BatchNormalisationGradient", "float32[4, 3]", "dy float32[4, 3]", "float32[4, 2]"),
    ),
    (
        o.BatchNormalisationGradient((0,), 1e-3), (spec(4, 3), spec(4, 3), spec(3), spec(3), spec(1)),
        ("variance float32[3]", "float32[1]"),
    ),
    (
        o.Attention(), (spec(2, 5, 12), spec(2, 7, 3, 4), spec(2, 7, 3, 4)),
        ("Attention", "q [batch, queries, heads, width]", "float32[2, 5, 12]"),
    ),
    (
        o.Attention(), (spec(2, 5, 3, 4), spec(2, 7, 3, 4), spec(2, 6, 3, 4)),
        ("[2, keys, 3, 4]", "one number of keys", "v float32[2, 6, 3, 4]"),
    ),
    (o.Attention(), (spec(2, 5, 3, 4), spec(2, 7, 1, 4), spec(2, 7, 1, 4)), ("given k float32[2, 7, 1, 4]",)),
    (o.Attention(), (spec(2, 5, 3, 4), spec(2, 0, 3, 4), spec(2, 0, 3, 4)), ("one key", "float32[2, 0, 3, 4]")),
    (o.Attention(), (spec(2, 5, 3, 0), spec(2, 5, 3, 0), spec(2, 5, 3, 0)), ("width of at least 1",)),
    (o.Attention(), (spec(2, 5, 3, 4, dtype="int32"),) * 3, ("expected q to be float32 or float64", "int32")),
    (
        o.AttentionGradient(), (spec(2, 5, 3, 4),) * 4 + (spec(2, 3, 3, 4), spec(2, 3, 5)),
        ("AttentionGradient", "expected do float32[2, 5, 3, 4]", "float32[2, 3, 3, 4]"),
    ),
    (
        o.AttentionGradient(), (spec(2, 5, 3, 4),) * 5 + (spec(2, 5, 3),),
        ("logarithms float32[2, 3, 5]", "float32[2, 5, 3]"),
    ),
    (o.BatchNormalisation((0,), -1.0), (spec(4, 3), spec(3), spec(3)), ("epsilon", "at least 0", "-1.0")),
    (
        o.Normalisation((0,), 1e-3), (spec(4, 3), spec(3), spec(4), spec(3), spec(3)),
        ("Normalisation", "variance float32[3]", "float32[4]"),
    ),
    (
        o.LayerNormalisation((1,), 1e-3), (spec(4, 3), spec(4), spec(3)),
        ("LayerNormalisation", "scale float32[3]", "float32[4]"),
    ),
    (o.RmsNormalisation((1,), 1e-3), (spec(4, 3), spec(4)), ("RmsNormalisation", "scale float32[3]")),
    (o.LocalResponseNormalisation(0, 1, 1, 1), (spec(4, 3),), ("LocalResponseNormalisation", "at least 1", "0")),
    (o.LocalResponseNormalisation(3, 1, 1, 1), (spec(4),), ("[batch, channels, ...]", "float32[4]")),
    (o.Dropout(1.0, 0), (spec(4), SEED, STEP), ("Dropout", "probability (of dropping)", "below 1", "1.0")),
    (o.Dropout(-0.1, 0), (spec(4), SEED, STEP), ("at least 0", "-0.1")),
    (  # type: ignore[arg-type]
        o.Dropout(0.1, 0, "gausian"), (spec(4), SEED, STEP),
        ("'gausian'", "did you mean 'gaussian'"),
    ),
    (o.Dropout(0.1, 0), (spec(4), STEP, STEP), ("seed uint64[]",)),
    (o.Linear(), (spec(4, 3), spec(2, 5), spec(2)), ("Linear", "[..., inputs]", "float32[4, 3]", "float32[2, 5]")),
    (o.Linear(), (spec(4, 3), spec(2, 3), spec(3)), ("b float32[2]", "float32[3]")),
    (o.Linear(symbol(1)), (spec(4, 3), spec(2, 3), spec(2)), ("symbol 0 alone", "x1")),
    (
        o.BiasedConvolution(W(3)), (spec(1, 2, 5, 5), spec(4, 2, 3, 3), spec(3)),
        ("BiasedConvolution", "b float32[4]", "float32[3]"),
    ),
    (o.BiasedConvolution(W(3)), (spec(1, 2, 5, 5), spec(4, 3, 3, 3), spec(4)), ("Convolution", "2 channels")),
    (o.Embedding(), (spec(4), spec(2, dtype="int32")), ("Embedding", "[rows, features]", "float32[4]")),
    (o.Embedding(4), (spec(4, 2), spec(2, dtype="int32")), ("padding_index 4", "float32[4, 2]")),
    (o.Embedding(), (spec(4, 2), spec(2)), ("Gather", "integer index", "float32[2]")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "inputs", "words"), WRONG, ids=lambda v: type(v).__name__ if isinstance(v, Op) else ""
)
def test_messages(op: Op, inputs: tuple[Spec, ...], words: tuple[str, ...]) -> None:
    with pytest.raises(ShapeError) as caught:
        op.infer(*inputs)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"


def apply(op: Op, *arrays: Any) -> Any:
    p = Program()
    ins = [p.input(f"i{k}", np.shape(a), np.asarray(a).dtype.name) for k, a in enumerate(arrays)]
    found = p.apply(op, *ins)
    results = found if isinstance(found, tuple) else (found,)
    for k, v in enumerate(results):
        p.output(f"o{k}", v)
    executable = NUMPY.compile(p)
    for k, a in enumerate(arrays):
        executable.write(f"i{k}", a)
    executable.run()
    read = tuple(executable.read(f"o{k}") for k in range(len(results)))
    return read if len(read) > 1 else read[0]


FLOATS = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5),
    elements=st.floats(-1e4, 1e4),
)


@given(FLOATS, st.data())
def test_softmax_is_a_distribution(x: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    y = apply(o.Softmax(axis), x)
    np.testing.assert_allclose(y.sum(axis), 1, rtol=1e-12)
    assert (y >= 0).all()
    np.testing.assert_allclose(apply(o.Softmax(axis), x + 100), y, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.exp(apply(o.LogSoftmax(axis), x)), y, rtol=1e-12, atol=1e-300)


@given(FLOATS, st.data())
def test_standardised_statistics(x: np.ndarray, data: st.DataObject) -> None:
    """Mean 0 and variance v / (v + epsilon) along any axes, and the statistics that are returned."""
    axes = tuple(data.draw(st.lists(st.integers(0, x.ndim - 1), min_size=1, unique=True)))
    rest = tuple(n for a, n in enumerate(x.shape) if a not in axes)
    x = x / 1e2
    y, mean, variance = apply(o.BatchNormalisation(axes, 0.1), x, np.ones(rest), np.zeros(rest))
    np.testing.assert_allclose(mean, x.mean(axes), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(variance, x.var(axes), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(y.mean(axes), 0, atol=1e-9)
    np.testing.assert_allclose(y.var(axes), x.var(axes) / (x.var(axes) + 0.1), rtol=1e-6, atol=1e-9)


def test_variance_takes_two_passes() -> None:
    """float32 around 3,000: mean(x^2) - mean(x)^2 would have an error of about 1, here it is 1e-6."""
    x = (3000 + np.random.default_rng(0).normal(size=(10_000, 2))).astype(np.float32)
    one = np.ones(2, np.float32)
    _, _, variance = apply(o.BatchNormalisation((0,), 1e-5), x, one, 0 * one)
    np.testing.assert_allclose(variance, x.astype(np.float64).var(0), rtol=1e-4)
    naive = (x * x).mean(0) - x.mean(0) ** 2
    assert np.abs(naive - variance).max() > 0.1


def test_batch_normalisation_and_its_inference_form_agree() -> None:
    g = np.random.default_rng(0)
    x, scale, bias = g.normal(size=(6, 3, 4)), g.normal(size=3), g.normal(size=3)
    y, mean, variance = apply(o.BatchNormalisation((0, 2), 1e-3), x, scale, bias)
    z = apply(o.Normalisation((0, 2), 1e-3), x, mean, variance, scale, bias)
    np.testing.assert_allclose(y, z, rtol=1e-12)


def test_gradients_through_the_statistics() -> None:
    """Cotangents of mean and variance alone, where y has none: x / n and 2 (x - mean) / n."""
    p = Program()
    x = p.input("x", (4, 2), "float64")
    one = p.constant(np.ones(2))
    _, mean, variance = p.apply(o.BatchNormalisation((0,), 1e-3), x, one, one)
    for name, v in (("mean", mean), ("variance", variance)):
        (d,) = gradients(p, reduce_axes(p, "sum", v, None), [x])
        p.output(f"d {name}", d)
    executable = NUMPY.compile(p)
    a = np.random.default_rng(0).normal(size=(4, 2))
    executable.write("x", a)
    executable.run()
    np.testing.assert_allclose(executable.read("d mean"), np.full((4, 2), 0.25))
    np.testing.assert_allclose(executable.read("d variance"), (a - a.mean(0)) / 2, rtol=1e-12)


SIZES = st.integers(1, 6)


@given(SIZES, SIZES, st.booleans(), st.integers(0, 1000))
def test_attention_takes_a_mean_of_what_it_sees(
    queries: int, keys: int, causal: bool, seed: int
) -> None:
    """Equal values are handed through; the sums of the softmax are those of the scores that are seen."""
    g = np.random.default_rng(seed)
    q, k = g.normal(size=(2, queries, 3, 4)), g.normal(size=(2, keys, 3, 4))
    v = np.broadcast_to(g.normal(size=(2, 1, 3, 4)), k.shape).copy()
    y, logarithms = apply(o.Attention(causal, 0.7), q, k, v)
    np.testing.assert_allclose(y, np.broadcast_to(v[:, :1], q.shape), rtol=1e-12)
    scores = 0.7 * np.einsum("bihd,bjhd->bhij", q, k)
    seen = np.tri(queries, keys) if causal else np.ones((queries, keys))
    np.testing.assert_allclose(
        logarithms, np.log((np.exp(scores) * seen).sum(-1)), rtol=1e-9, atol=1e-12
    )


@given(st.integers(2, 6), st.integers(0, 1000))
def test_attention_knows_no_order_of_keys_but_the_causal_one(keys: int, seed: int) -> None:
    g = np.random.default_rng(seed)
    q, k, v = g.normal(size=(3, 1, keys, 2, 3))
    order = g.permutation(keys)
    for a, b in zip(
        apply(o.Attention(), q, k, v),
        apply(o.Attention(), q, k[:, order], v[:, order]),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    later = np.arange(keys) >= keys // 2  # what earlier queries must not see
    k2, v2 = (np.where(later[:, None, None], g.normal(size=a.shape), a) for a in (k, v))
    first, changed = apply(o.Attention(True), q, k, v)[0], apply(o.Attention(True), q, k2, v2)[0]
    np.testing.assert_array_equal(first[:, : keys // 2], changed[:, : keys // 2])
    assert not np.array_equal(first, changed)


def test_large_scores_do_not_overflow() -> None:
    q = np.full((1, 2, 1, 4), 1e3, np.float32)
    y, logarithms = apply(o.Attention(), q, q, q)
    np.testing.assert_array_equal(y, q)
    np.testing.assert_allclose(logarithms, 2e6 + np.log(2), rtol=1e-6)


def test_weights_are_computed_once_for_both_passes() -> None:
    """Forward and gradient record scores and weights alike, so that they become the same steps."""
    p = Program()
    q, k, v = (p.input(n, (2, 5, 3, 4)) for n in "qkv")
    y, _ = p.apply(o.Attention(True), q, k, v)
    for name, d in zip(
        "qkv", gradients(p, reduce_axes(p, "sum", y * y, None), [q, k, v]), strict=True
    ):
        p.output(f"d{name}", d)
    steps = simplify(decompose(p, lambda s: isinstance(s.op, o.Softmax))).steps
    kinds = [type(s.op) for s in steps]
    assert kinds.count(o.Softmax) == 1 and kinds.count(o.MatMul) == 6


def test_cross_entropy_gradient_is_softmax_minus_target() -> None:
    p = Program()
    x, labels, c = p.input("x", (4, 3)), p.input("labels", (4,), "int32"), p.input("c", (4,))
    terms = p.apply(o.SoftmaxCrossEntropy(), x, labels)
    (dx,) = gradients(p, terms, [x], seed=c)
    p.output("terms", terms)
    p.output("dx", dx)
    p.output("y", p.apply(o.Softmax(), x))
    executable = NUMPY.compile(p)
    executable.write("x", np.random.default_rng(0).normal(size=(4, 3)))
    executable.write("labels", [2, -1, 0, -7])
    executable.write("c", [1, 1, 0.5, 1])
    executable.run()
    y = executable.read("y")
    wanted = np.array([1, 0, 0.5, 0])[:, None] * (y - np.eye(3)[[2, 0, 0, 0]])
    np.testing.assert_allclose(executable.read("dx"), wanted, rtol=1e-5, atol=1e-7)
    assert list(executable.read("terms")[[1, 3]]) == [0, 0]


def test_a_label_without_a_class_is_seen() -> None:
    terms = apply(o.SoftmaxCrossEntropy(), np.zeros((2, 3), np.float32), np.array([3, 1]))
    assert np.isnan(terms[0]) and terms[1] == pytest.approx(np.log(3))


def test_the_direct_and_the_reversed_window_differ_for_even_sizes() -> None:
    """d y_j / d x_i of a local response with n = 2: channel i is seen from i - 1 and i."""
    p = Program()
    x = p.input("x", (1, 4), "float64")
    y = p.apply(o.LocalResponseNormalisation(2, 1.0, 1.0, 1.0), x)
    rows = []
    for j in range(4):
        pick = p.constant(np.eye(4)[j : j + 1])
        (row,) = gradients(p, reduce_axes(p, "sum", y * pick, None), [x])
        p.output(f"row{j}", row)
        rows.append(f"row{j}")
    executable = NUMPY.compile(p)
    executable.write("x", [[1.0, 2, 3, 4]])
    executable.run()
    jacobian = np.array([executable.read(r)[0] for r in rows]) != 0
    # y_j depends on x_j and x_(j+1): nothing before, everything else after
    np.testing.assert_array_equal(jacobian, np.eye(4, dtype=bool) | np.eye(4, k=1, dtype=bool))


@pytest.mark.parametrize("distribution", ["bernoulli", "gaussian"])
def test_dropout_moments(distribution: Any) -> None:
    """Mean 1 and variance p / (1 - p) of the noise, both ways."""
    p, n = 0.3, 200_000
    y = apply(o.Dropout(p, 1, distribution), np.ones(n), np.uint64(5), np.int64(0))
    variance = p / (1 - p)
    assert y.mean() == pytest.approx(1, abs=5 * np.sqrt(variance / n))
    assert y.var() == pytest.approx(variance, rel=0.02)
    if distribution == "bernoulli":
        assert set(np.unique(y)) == {0, 1 / (1 - p)}
        assert (y == 0).mean() == pytest.approx(p, abs=0.01)


def test_the_padding_row_is_never_read_or_trained() -> None:
    p = Program()
    table, index = p.input("table", (3, 2)), p.input("index", (4,), "int32")
    y = p.apply(o.Embedding(1), table, index)
    (d,) = gradients(p, reduce_axes(p, "sum", y, None), [table])
    p.output("y", y)
    p.output("d", d)
    executable = NUMPY.compile(p)
    executable.write("table", [[1, 2], [np.nan, np.inf], [5, 6]])
    executable.write("index", [0, 1, 2, 2])
    executable.run()
    np.testing.assert_array_equal(executable.read("y"), [[1, 2], [0, 0], [5, 6], [5, 6]])
    np.testing.assert_array_equal(executable.read("d"), [[1, 1], [0, 0], [2, 2]])


def test_linear_of_rows_is_one_product_of_matrices() -> None:
    p = Program()
    x, w, b = p.input("x", (4, 5, 3)), p.input("w", (2, 3)), p.input("b", (2,))
    p.output("y", p.apply(o.Linear(m.tanh(symbol(0))), x, w, b))
    steps = decompose(p).steps
    (product,) = (s for s in steps if isinstance(s.op, o.MatMul))
    assert product.outputs[0].shape == (20, 2)


def test_decomposition_reaches_primitives_alone() -> None:
    from cortex.compute.verify.cases import CASES

    for c in CASES:
        for s in decompose(c.program("float32")).steps:
            assert type(s.op) in o.PRIMITIVES, c.name
