"""Softmax, cross-entropy, normalisations, local response normalisation, dropout, stop-gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import philox
from ...ops import (
    AllReduce,
    Attention,
    AttentionGradient,
    BatchNormalisation,
    BatchNormalisationGradient,
    Dropout,
    LayerNormalisation,
    LocalResponseNormalisation,
    LogSoftmax,
    Normalisation,
    RmsNormalisation,
    SharedBatchNormalisation,
    Softmax,
    SoftmaxCrossEntropy,
    StopGradient,
)
from ...program import Program, Value
from .. import oracles
from ..case import Case, Input, exactly, integers, normal, positive

Array = Any  # an array or what arithmetic on arrays gives
EPSILON = 1e-3


def _softmax(name: str, axis: int, x: Input, **options: Any) -> list[Case]:
    return [
        Case(
            f"softmax/{name}", Softmax(axis), (x,),
            lambda x: oracles.softmax(x, axis), **options,
        ),
        Case(
            f"log softmax/{name}", LogSoftmax(axis), (x,),
            lambda x: np.log(np.maximum(oracles.softmax(x, axis), 1e-300)), **options,
        ),
    ]  # fmt: skip


def _entropy(name: str, x: Input, target: Input, smoothing: float = 0.0, **options: Any) -> Case:
    return Case(
        f"cross-entropy/{name}", SoftmaxCrossEntropy(1, smoothing), (x, target),
        lambda x, t: oracles.cross_entropy(x, t, smoothing), **options,
    )  # fmt: skip


def _batch(name: str, axes: tuple[int, ...], x: Input, **options: Any) -> list[Case]:
    shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)

    def expect(x: Array, scale: Array, bias: Array) -> tuple[Array, ...]:
        z, mean, variance = oracles.standardise(x, axes, EPSILON)
        kept = mean.shape
        y = z * scale.reshape(kept) + bias.reshape(kept)
        return y, mean.reshape(shape), variance.reshape(shape)

    count = int(np.prod(x.shape)) // max(1, int(np.prod(shape)))
    return [
        Case(f"{kind}batch normalisation/{name}", op, (x, normal(*shape), normal(*shape)), expect, **options)
        for kind, op in (
            ("", BatchNormalisation(axes, EPSILON)),
            ("shared ", SharedBatchNormalisation(axes, EPSILON, count)),
        )
    ]  # fmt: skip


def _batch_gradient(name: str, axes: tuple[int, ...], shape: tuple[int, ...]) -> Case:
    per = tuple(n for i, n in enumerate(shape) if i not in axes)
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))

    def expect(
        dy: Array, x: Array, scale: Array, mean: Array, variance: Array
    ) -> tuple[Array, ...]:
        inverse = 1 / np.sqrt(variance + EPSILON)
        z = (x - mean.reshape(kept)) * inverse.reshape(kept)
        shared = dy.mean(axes, keepdims=True) + z * (dy * z).mean(axes, keepdims=True)
        return (scale * inverse).reshape(kept) * (dy - shared), (dy * z).sum(axes), dy.sum(axes)

    return Case(
        f"batch normalisation gradient/{name}", BatchNormalisationGradient(axes, EPSILON),
        (normal(*shape), normal(*shape), normal(*per), normal(*per), positive(*per)), expect,
    )  # fmt: skip


def _given(name: str, axes: tuple[int, ...], shape: tuple[int, ...]) -> Case:
    per = tuple(n for i, n in enumerate(shape) if i not in axes)
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))

    def expect(x: Array, mean: Array, variance: Array, scale: Array, bias: Array) -> Array:
        mean, variance, scale, bias = (a.reshape(kept) for a in (mean, variance, scale, bias))
        return scale * (x - mean) / np.sqrt(variance + EPSILON) + bias

    return Case(
        f"normalisation/{name}", Normalisation(axes, EPSILON),
        (normal(*shape), normal(*per), positive(*per), normal(*per), normal(*per)), expect,
    )  # fmt: skip


def _layer(axes: tuple[int, ...], shape: tuple[int, ...], **options: Any) -> list[Case]:
    per = tuple(n for i, n in enumerate(shape) if i in axes)
    kept = tuple(n if i in axes else 1 for i, n in enumerate(shape))
    name = f"{list(shape)} over {list(axes)}".replace(", ", ",")

    def layer(x: Array, scale: Array, bias: Array) -> Array:
        return oracles.standardise(x, axes, EPSILON)[0] * scale.reshape(kept) + bias.reshape(kept)

    def rms(x: Array, scale: Array) -> Array:
        return x / np.sqrt((x**2).mean(axes, keepdims=True) + EPSILON) * scale.reshape(kept)

    x, scale, bias = normal(*shape), normal(*per), normal(*per)
    return [
        Case(f"layer normalisation/{name}", LayerNormalisation(axes, EPSILON), (x, scale, bias), layer, **options),
        Case(f"rms normalisation/{name}", RmsNormalisation(axes, EPSILON), (x, scale), rms, **options),
    ]  # fmt: skip


def _attention(
    name: str, batch: int, queries: int, keys: int, heads: int, width: int, causal: bool = False,
    scale: float | None = None,
) -> list[Case]:  # fmt: skip
    q, k = normal(batch, queries, heads, width), normal(batch, keys, heads, width)
    op, options = Attention(causal, scale), (causal, width**-0.5 if scale is None else scale)

    def backward(p: Program, q: Value, k: Value, v: Value, do: Value) -> Any:
        o, logarithms = p.apply(op, q, k, v)
        return p.apply(AttentionGradient(causal, scale), q, k, v, o, do, logarithms)

    return [
        Case(f"attention/{name}", op, (q, k, k), lambda *a: oracles.attention(*options, *a)),
        Case(
            f"attention/{name}, without logarithms", lambda p, *a: p.apply(op, *a)[0], (q, k, k),
            lambda *a: oracles.attention(*options, *a)[0],
        ),
        Case(
            f"attention gradient/{name}", backward, (q, k, k, q),
            lambda *a: oracles.attention_gradient(*options, *a),
        ),
    ]  # fmt: skip


def _response(size: int, shape: tuple[int, ...], beta: float = 0.75) -> Case:
    k, alpha = 1.5, 0.8
    return Case(
        f"local response/{size} of {shape[1]} channels, beta {beta}",
        LocalResponseNormalisation(size, k, alpha, beta), (normal(*shape),),
        lambda x: oracles.local_response(size, k, alpha, beta, x),
    )  # fmt: skip


_SEED, _STEP, _NUMBER = 2**40 + 7, 3, 5
_RANDOM = (exactly(_SEED, "uint64"), exactly(_STEP, "int64"))


def _dropped(p: float, x: Array, *_: Array) -> Array:
    uniform = philox.uniform(x.size, _SEED, _STEP, _NUMBER, "float64").reshape(x.shape)
    return np.where(uniform < p, 0, x / (1 - p))


def _shaken(p: float, x: Array, *_: Array) -> Array:
    noise = philox.normal(x.size, _SEED, _STEP, _NUMBER, "float64").reshape(x.shape)
    return x * (1 + np.sqrt(p / (1 - p)) * noise)


_LARGE = exactly([[1000.0, -1000, 0], [-1e4, -1e4, -1e4], [88, 89, 90]])

CASES: tuple[Case, ...] = (
    *_softmax("rows", -1, normal(5, 10)),
    *_softmax("one row of 1", -1, normal(1, 1), gradient=False),  # constant: its gradient is 0
    *_softmax("channels", 1, normal(2, 5, 3, 4)),
    *_softmax("rows of 1000", 1, normal(3, 1000), gradient=False),
    *_softmax("first axis", 0, normal(7, 3)),
    Case("softmax/large numbers", Softmax(), (_LARGE,), oracles.softmax, gradient=False),
    Case(
        "log softmax/large numbers", LogSoftmax(), (exactly([[1000.0, -1000, 0]]),),
        lambda x: [[0, -2000, -1000]], gradient=False,
    ),
    _entropy("labels", normal(6, 10), integers(0, 10, 6)),
    _entropy("labels as bytes, batch 1", normal(1, 3), integers(0, 3, 1, dtype="uint8")),
    _entropy("labels, some missing", normal(6, 4), exactly([0, -1, 3, 2, -1, 1], "int64")),
    _entropy("labels per pixel, smoothed", normal(2, 3, 4, 5), integers(-1, 3, 2, 4, 5), 0.1),
    _entropy("label without a class", normal(3, 4), exactly([0, 4, 3], "int32"), gradient=False),
    _entropy("distribution", normal(6, 10), Input((6, 10), lambda g, s: g.dirichlet(np.ones(10), 6))),
    _entropy("distribution, smoothed", normal(4, 3), Input((4, 3), lambda g, s: g.dirichlet(np.ones(3), 4)), 0.2),
    _entropy("numbers that do not sum to 1", normal(4, 3, 2), normal(4, 3, 2)),
    _entropy("large logits", exactly([[1000.0, -1000, 0], [-1e4, 0, 1e4]]), exactly([1, 2], "int32"), gradient=False),
    Case(
        "cross-entropy/impossible class that is not the label", SoftmaxCrossEntropy(),
        (exactly([[0.0, -np.inf]]), exactly([[1.0, 0.0]])), lambda x, t: [0.0], gradient=False,
    ),
    *_batch("per channel", (0, 2, 3), normal(4, 3, 5, 2)),
    *_batch("per element", (0,), normal(6, 3, 2)),
    *_batch("of rows", (0,), normal(33, 17)),
    *_batch("1-d", (0, 2), normal(3, 5, 7)),
    # Around 1000 a float32 has 6e-5: one pass (mean of squares) would be off by tens of per cent.
    *_batch("far from zero", (0,), Input((64, 3), lambda g, s: 1000 + g.normal(size=s)), factor=20.0, gradient=False),
    # sqrt(epsilon) is all that is left of the deviation, so the gradient of x is ill-conditioned
    *_batch("batch 1", (0,), normal(1, 4), gradient=False),
    _batch_gradient("per channel", (0, 2, 3), (4, 3, 5, 2)),
    _batch_gradient("channels last", (0, 1, 2), (3, 5, 2, 4)),
    _batch_gradient("per element", (0,), (6, 3, 2)),
    _given("per channel", (0, 2, 3), (4, 3, 5, 2)),
    _given("per element", (0,), (4, 3, 2)),
    *_layer((2,), (2, 3, 17)),
    *_layer((1, 2, 3), (3, 2, 4, 5)),
    *_layer((1,), (1, 129)),
    *_attention("5 queries, 7 keys", 2, 5, 7, 3, 4),
    *_attention("causal", 2, 6, 6, 2, 3, causal=True),
    *_attention("causal, more queries than keys", 1, 5, 3, 2, 4, causal=True),
    *_attention("causal, more keys than queries", 2, 2, 5, 1, 3, causal=True),
    *_attention("one query, one head", 1, 1, 3, 1, 5, scale=0.3),
    *(_response(n, (2, 7, 3, 2)) for n in (1, 2, 3, 4, 5)),
    _response(5, (2, 3, 4)),  # a window wider than the channels
    _response(2, (3, 33), 0.5),
    Case("dropout/keeps half", Dropout(0.5, _NUMBER), (normal(5, 7), *_RANDOM), lambda *a: _dropped(0.5, *a)),
    Case("dropout/keeps most", Dropout(0.1, _NUMBER), (normal(1, 1030), *_RANDOM), lambda *a: _dropped(0.1, *a)),
    Case("dropout/keeps all", Dropout(0.0, _NUMBER), (normal(5, 7), *_RANDOM), lambda x, *_: x),
    Case(
        "dropout/gaussian", Dropout(0.3, _NUMBER, "gaussian"), (normal(5, 7), *_RANDOM),
        lambda *a: _shaken(0.3, *a),
    ),
    Case(
        "dropout/a part of a batch", Dropout(0.5, _NUMBER, first=14), (normal(3, 7), *_RANDOM),
        lambda x, *_: _dropped(0.5, np.concatenate([np.zeros((2, 7)), x]))[2:],
    ),
    Case("all-reduce/alone", AllReduce(), (normal(3, 5),), lambda x: x),
    Case("stop gradient/value", StopGradient(), (normal(3, 4),), lambda x: x, gradient=False),
)  # fmt: skip
