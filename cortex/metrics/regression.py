"""Metrics of numbers: how far predictions are from targets, and how well they go with them.

Every function takes the target first. Arrays are [N] or [N, outputs] of equal shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cortex.compute.errors import DescriptionError, ShapeError

from .inputs import Array, pair


def mse(target: Any, prediction: Any) -> float:
    """Return the mean squared error."""
    t, p = _numbers("mse", target, prediction)
    return float(np.mean((t - p) ** 2))


def rmse(target: Any, prediction: Any) -> float:
    """Return the root of the mean squared error over all entries, in the unit of the target."""
    return float(np.sqrt(mse(target, prediction)))


def mae(target: Any, prediction: Any) -> float:
    """Return the mean absolute error, in the unit of the target."""
    t, p = _numbers("mae", target, prediction)
    return float(np.mean(np.abs(t - p)))


def r2(target: Any, prediction: Any) -> float:
    """Return the share of the variance explained, 1 - sum (t - p)^2 / sum (t - mean t)^2, at most
    1.

    The mean over outputs. A constant target gives 1 if it is met exactly, else 0.

    Raises:
        DescriptionError: there is only one example.
    """
    t, p = _numbers("r2", target, prediction)
    _check_two("r2", t)
    error, spread = ((t - p) ** 2).sum(0), ((t - t.mean(0)) ** 2).sum(0)
    shares = 1 - np.divide(error, spread, out=np.where(error > 0, 1.0, 0.0), where=spread > 0)
    return float(np.mean(shares))


def pearson(target: Any, prediction: Any) -> float:
    """Return the linear correlation, in [-1, 1]; NaN where a side is constant. Arrays [N].

    Raises:
        DescriptionError: there is only one example.
    """
    t, p = _numbers("pearson", target, prediction, (1, 1))
    _check_two("pearson", t)
    a, b = t - t.mean(), p - p.mean()
    if not (np.ptp(t) and np.ptp(p)):
        return float("nan")
    return float(np.clip(a / np.linalg.norm(a) @ (b / np.linalg.norm(b)), -1, 1))


def spearman(target: Any, prediction: Any) -> float:
    """Return the correlation of the ranks, in [-1, 1]; equal numbers share their mean rank.

    NaN where a side is constant. Arrays [N].

    Raises:
        DescriptionError: there is only one example.
    """
    t, p = _numbers("spearman", target, prediction, (1, 1))
    return pearson(_ranks(t), _ranks(p))


def _ranks(x: Array) -> Array:
    """Return ranks from 1, ties sharing their mean."""
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    mean_rank: Array = np.cumsum(count) - (count - 1) / 2
    return mean_rank[place]


def _numbers(
    metric: str, target: Any, prediction: Any, ranks: tuple[int, ...] = ()
) -> tuple[Array, Array]:
    t, p = pair(metric, target, prediction, ranks)
    if t.shape != p.shape:
        raise ShapeError(
            f"{metric}: target and prediction must have one shape, given {t.shape} and {p.shape}"
        )
    return t.astype(np.float64), p.astype(np.float64)


def _check_two(metric: str, t: Array) -> None:
    if len(t) < 2:
        raise DescriptionError(metric, ["expected at least two examples, given one"])
