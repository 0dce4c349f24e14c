"""What layers compute, in the plainest NumPy: loops over cells, independent of the reference backend."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np


def pairs(value: Any, rank: int) -> list[Any]:
    return list(value) if isinstance(value, tuple) else [value] * rank


def convolve(
    x: np.ndarray, w: np.ndarray, b: Any, stride: Any, pads: Any, dilation: Any, groups: int
) -> np.ndarray:
    """The definition, cell by cell."""
    rank = x.ndim - 2
    s, d = pairs(stride, rank), pairs(dilation, rank)
    x = np.pad(x, [(0, 0), (0, 0), *pads])
    reach = [(k - 1) * di + 1 for k, di in zip(w.shape[2:], d, strict=True)]
    out = [(n - r) // si + 1 for n, r, si in zip(x.shape[2:], reach, s, strict=True)]
    y = np.zeros((x.shape[0], w.shape[0], *out))
    wide, per = w.shape[0] // groups, w.shape[1]
    for n, o, c, cell, k in product(
        range(x.shape[0]),
        range(w.shape[0]),
        range(per),
        product(*map(range, out)),
        product(*map(range, w.shape[2:])),
    ):
        place = tuple(t * si + ki * di for t, si, ki, di in zip(cell, s, k, d, strict=True))
        y[(n, o, *cell)] += w[(o, c, *k)] * x[(n, o // wide * per + c, *place)]
    return y if b is None else y + b.reshape(-1, *[1] * rank)


def spread(
    x: np.ndarray, w: np.ndarray, b: Any, stride: Any, pads: Any, extra: Any, groups: int
) -> np.ndarray:
    """The transposed convolution, cell by cell: every input cell adds a scaled kernel."""
    rank = x.ndim - 2
    s = pairs(stride, rank)
    full = [(n - 1) * si + k for n, si, k in zip(x.shape[2:], s, w.shape[2:], strict=True)]
    wide, per = x.shape[1] // groups, w.shape[1]
    y = np.zeros(
        (x.shape[0], per * groups, *(f + e for f, e in zip(full, pairs(extra, rank), strict=True)))
    )
    for n, c, o, cell, k in product(
        range(x.shape[0]),
        range(x.shape[1]),
        range(per),
        product(*map(range, x.shape[2:])),
        product(*map(range, w.shape[2:])),
    ):
        place = tuple(t * si + ki for t, si, ki in zip(cell, s, k, strict=True))
        y[(n, c // wide * per + o, *place)] += w[(c, o, *k)] * x[(n, c, *cell)]
    cut = tuple(slice(low, y.shape[2 + i] - high) for i, (low, high) in enumerate(pads))
    y = y[(slice(None), slice(None), *cut)]
    return y if b is None else y + b.reshape(-1, *[1] * rank)


def pooled(
    x: np.ndarray, size: Any, stride: Any, pads: Any, out: Any, kind: str, counted: bool
) -> np.ndarray:
    """Each window's real cells, by their positions; `out` is the expected number of windows."""
    rank = x.ndim - 2
    k, s = pairs(size, rank), pairs(stride, rank)
    y = np.zeros((*x.shape[:2], *out))
    for cell in product(*map(range, out)):
        cut, count = [], 1
        for t, ki, si, (low, high), n in zip(cell, k, s, pads, x.shape[2:], strict=True):
            start = t * si - low
            cut.append(slice(max(0, start), min(n, start + ki)))
            count *= min(n + high, start + ki) - start
        piece = x[(slice(None), slice(None), *cut)].reshape(*x.shape[:2], -1)
        if kind == "max":
            y[(..., *cell)] = piece.max(-1)
        else:
            y[(..., *cell)] = piece.sum(-1) / (count if counted else piece.shape[-1])
    return y


def normalised(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    mean = x.mean(axes, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + epsilon)


def neighbours(x: np.ndarray, size: int, k: float, alpha: float, beta: float) -> np.ndarray:
    y = np.zeros_like(x)
    for c in range(x.shape[1]):
        low = max(0, c - (size - 1) // 2)
        near = x[:, low : c - (size - 1) // 2 + size]
        y[:, c] = x[:, c] / (k + alpha / size * (near**2).sum(1)) ** beta
    return y


def erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf)(x)


def column(p: np.ndarray, x: np.ndarray) -> np.ndarray:
    return p.reshape(-1, *[1] * (x.ndim - 2))


def elu(x: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1))


def ragged_sum(*xs: np.ndarray) -> np.ndarray:
    y = np.zeros((xs[0].shape[0], max(x.shape[1] for x in xs), *xs[0].shape[2:]))
    for x in xs:
        y[:, : x.shape[1]] += x
    return y


def ragged_product(*xs: np.ndarray) -> np.ndarray:
    width = min(x.shape[1] for x in xs)
    return np.prod([x[:, :width] for x in xs], 0)
