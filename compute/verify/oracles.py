"""What windowed and normalising ops must give: loops over positions, sharing nothing with the reference."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..ops import Window

Array = Any  # an array or what arithmetic on arrays gives
Position = tuple[int, ...]


def erf(x: Array) -> Array:
    """Return the error function, number by number."""
    return np.array([math.erf(v) for v in np.ravel(x)]).reshape(np.shape(x))


def extents(window: Window, size: tuple[int, ...]) -> tuple[int, ...]:
    """Return how many windows there are along each axis, by trying one after the other."""
    counts = []
    for n, k, s, d, (low, high) in zip(
        size, window.size, window.stride, window.dilation, window.padding, strict=True
    ):
        count = 0
        while True:
            first, last = count * s - low, count * s - low + (k - 1) * d
            hangs_over = window.ceil and last - s < n + high - 1 and first < n
            if not (last < n + high or (count and hangs_over)):
                break
            count += 1
        counts.append(count)
    return tuple(counts)


def cells(window: Window, size: tuple[int, ...]) -> Iterator[tuple[Position, Position, Position]]:
    """Yield (output position, position in the window, input position) for every cell inside the input."""
    for t in itertools.product(*map(range, extents(window, size))):
        for k in itertools.product(*map(range, window.size)):
            i = tuple(
                a * s - low + b * d
                for a, s, (low, _), b, d in zip(
                    t, window.stride, window.padding, k, window.dilation, strict=True
                )
            )
            if all(0 <= a < n for a, n in zip(i, size, strict=True)):
                yield t, k, i


def _groups(groups: int, channels: int, kernels: int) -> Iterator[tuple[slice, slice]]:
    c, o = channels // groups, kernels // groups
    for g in range(groups):
        yield slice(g * c, g * c + c), slice(g * o, g * o + o)


def convolution(window: Window, groups: int, x: Array, w: Array) -> Array:
    """Return y[n, o, t] = the sum over channels c and cells k of w[o, c, k] x[n, c, i(t, k)]."""
    y: Array = np.zeros((x.shape[0], w.shape[0], *extents(window, x.shape[2:])))
    for c, o in _groups(groups, x.shape[1], w.shape[0]):
        for t, k, i in cells(window, x.shape[2:]):
            y[(slice(None), o, *t)] += x[(slice(None), c, *i)] @ w[(o, slice(None), *k)].T
    return y


def convolution_input_gradient(
    window: Window, groups: int, size: tuple[int, ...], dy: Array, w: Array
) -> Array:
    """Return dx[n, c, i] = the sum over kernels o and cells with i(t, k) = i of w[o, c, k] dy[n, o, t]."""
    x: Array = np.zeros((dy.shape[0], w.shape[1] * groups, *size))
    for c, o in _groups(groups, x.shape[1], w.shape[0]):
        for t, k, i in cells(window, size):
            x[(slice(None), c, *i)] += dy[(slice(None), o, *t)] @ w[(o, slice(None), *k)]
    return x


def convolution_kernel_gradient(window: Window, groups: int, x: Array, dy: Array) -> Array:
    """Return dw[o, c, k] = the sum over examples n and positions t of dy[n, o, t] x[n, c, i(t, k)]."""
    w: Array = np.zeros((dy.shape[1], x.shape[1] // groups, *window.size))
    for c, o in _groups(groups, x.shape[1], w.shape[0]):
        for t, k, i in cells(window, x.shape[2:]):
            w[(o, slice(None), *k)] += dy[(slice(None), o, *t)].T @ x[(slice(None), c, *i)]
    return w


def max_pool(window: Window, x: Array) -> tuple[Array, Array]:
    """Return the maximum of each window and its place in the window, row-major; the first of equals."""
    y: Array = np.full((*x.shape[:2], *extents(window, x.shape[2:])), -np.inf)
    index: Array = np.zeros(y.shape, np.int64)
    for t, k, i in cells(window, x.shape[2:]):
        value, at = x[(..., *i)], (..., *t)
        index[at] = np.where(value > y[at], np.ravel_multi_index(k, window.size), index[at])
        y[at] = np.maximum(value, y[at])
    return y, index


def average_pool(window: Window, count_padding: bool, x: Array) -> Array:
    """Return the sum of the real cells of each window over its `counts`."""
    y: Array = np.zeros((*x.shape[:2], *extents(window, x.shape[2:])))
    for t, _, i in cells(window, x.shape[2:]):
        y[(..., *t)] += x[(..., *i)]
    return y / counts(window, count_padding, x.shape[2:])


def average_pool_gradient(
    window: Window, count_padding: bool, size: tuple[int, ...], dy: Array
) -> Array:
    """Return the input gradient: each window shares its cotangent equally among its real cells."""
    dx: Array = np.zeros((*dy.shape[:2], *size))
    share = dy / counts(window, count_padding, size)
    for t, _, i in cells(window, size):
        dx[(..., *i)] += share[(..., *t)]
    return dx


def max_pool_gradient(window: Window, size: tuple[int, ...], dy: Array, index: Array) -> Array:
    """Return the input gradient: each cotangent goes to the cell that its index names."""
    dx: Array = np.zeros((*dy.shape[:2], *size))
    for t, k, i in cells(window, size):
        hit = index[(..., *t)] == np.ravel_multi_index(k, window.size)
        dx[(..., *i)] += np.where(hit, dy[(..., *t)], 0)
    return dx


def counts(window: Window, count_padding: bool, size: tuple[int, ...]) -> Array:
    """Return by what each average is divided: cells inside the input or the padded input."""
    total: Array = np.zeros(extents(window, size))
    for t in np.ndindex(total.shape):
        number = 1
        for a, n, k, s, (low, high) in zip(
            t, size, window.size, window.stride, window.padding, strict=True
        ):
            span = range(a * s - low, a * s - low + k)
            inside = (-low, n + high) if count_padding else (0, n)
            number *= sum(inside[0] <= i < inside[1] for i in span)
        total[t] = number
    return total


def local_response(size: int, k: float, alpha: float, beta: float, x: Array) -> Array:
    """Return x / (k + alpha / n sum of x^2)^beta, channel by channel."""
    y: Array = np.empty(x.shape)
    for c in range(x.shape[1]):
        first = c - (size - 1) // 2
        seen = x[:, max(0, first) : first + size]
        y[:, c] = x[:, c] / (k + alpha / size * (seen**2).sum(1)) ** beta
    return y


def softmax(x: Array, axis: int = -1) -> Array:
    """Return exp(x) over its sum, of float64 numbers that do not overflow once the maximum is gone."""
    e = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(e / e.sum(axis, keepdims=True))


def attention(causal: bool, scale: float, q: Array, k: Array, v: Array) -> tuple[Array, Array]:
    """Return o and the logarithm of each softmax's sum, query by query."""
    (batch, queries, heads, _), keys = q.shape, k.shape[1]
    o, logarithms = np.zeros(q.shape), np.zeros((batch, heads, queries))
    for b, i, h in np.ndindex(batch, queries, heads):
        seen = min(i + 1, keys) if causal else keys
        e = np.exp([scale * (q[b, i, h] @ k[b, j, h]) for j in range(seen)])
        o[b, i, h] = sum(w * v[b, j, h] for j, w in enumerate(e / e.sum()))
        logarithms[b, h, i] = math.log(e.sum())
    return o, logarithms


def attention_gradient(
    causal: bool, scale: float, q: Array, k: Array, v: Array, do: Array
) -> tuple[Array, Array, Array]:
    """Return dq, dk and dv, query by query, through the Jacobian of its softmax."""
    (batch, queries, heads, _), keys = q.shape, k.shape[1]
    dq, dk, dv = np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape)
    for b, i, h in np.ndindex(batch, queries, heads):
        seen = min(i + 1, keys) if causal else keys
        p = softmax(scale * (k[b, :seen, h] @ q[b, i, h]))
        ds = scale * (np.diag(p) - np.outer(p, p)) @ (v[b, :seen, h] @ do[b, i, h])
        dq[b, i, h] = ds @ k[b, :seen, h]
        dk[b, :seen, h] += np.outer(ds, q[b, i, h])
        dv[b, :seen, h] += np.outer(p, do[b, i, h])
    return dq, dk, dv


def cross_entropy(x: Array, target: Array, smoothing: float = 0.0) -> Array:
    """Return -sum of q log softmax(x) over axis 1 of [N, K, ...], position by position."""
    classes = x.shape[1]
    terms: Array = np.zeros((x.shape[0], *x.shape[2:]))
    for at in np.ndindex(terms.shape):
        z = x[(at[0], slice(None), *at[1:])]
        log_p = z - z.max() - math.log(np.exp(z - z.max()).sum())
        if target.dtype.kind != "f":
            label = int(target[at])
            if label >= classes:
                terms[at] = np.nan
            if not 0 <= label < classes:
                continue
            q = np.eye(classes)[label]
        else:
            q = target[(at[0], slice(None), *at[1:])]
        q = (1 - smoothing) * q + smoothing / classes
        terms[at] = -sum(a * b for a, b in zip(q, log_p, strict=True) if a)
    return terms


def standardise(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Any, Any]:
    """Return (x - mean) / sqrt(variance + epsilon) over `axes`, and both, kept broadcastable."""
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon), mean, variance
