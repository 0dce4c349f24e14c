"""What metrics accept, checked in one place: labels, scores and numbers of equal length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cortex.compute.errors import DescriptionError, ShapeError

Array = np.ndarray[Any, Any]


def pair(
    metric: str, target: Any, prediction: Any, ranks: Sequence[int] = ()
) -> tuple[Array, Array]:
    """Return both as arrays of one length >= 1 and, where ranks are given, of those ranks.

    Raises:
        ShapeError: the lengths differ, or a rank is not what the metric takes.
        DescriptionError: there is nothing to measure, or a number is not finite.
    """
    t, p = np.asarray(target), np.asarray(prediction)
    if t.ndim < 1 or p.ndim < 1 or len(t) != len(p):
        raise ShapeError(
            f"{metric}: expected a target and a prediction for each example, given shapes "
            f"{t.shape} and {p.shape}"
        )
    if ranks and (t.ndim, p.ndim) != tuple(ranks):
        raise ShapeError(
            f"{metric}: expected a target of {ranks[0]} and a prediction of {ranks[1]} axes, given "
            f"shapes {t.shape} and {p.shape}"
        )
    if not len(t):
        raise DescriptionError(metric, ["expected at least one example, given none"])
    for name, array in (("target", t), ("prediction", p)):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DescriptionError(metric, [f"the {name} holds numbers that are not finite"])
    return t, p


def labels(array: Array) -> Array:
    """Return labels [N];

    scores or one-hot rows [N, K] become the class of the largest, first of ties.
    """
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    return array.argmax(1) if array.ndim == 2 else array


def label_pair(metric: str, target: Any, prediction: Any) -> tuple[Array, Array]:
    """Return the labels [N] of targets and predictions, each labels [N] or scores [N, K].

    Raises:
        ShapeError: they are neither, or their lengths differ.
    """
    t, p = pair(metric, target, prediction)
    if t.ndim > 2 or p.ndim > 2:
        raise ShapeError(
            f"{metric}: expected labels [N] or scores [N, K], given shapes {t.shape} and {p.shape}"
        )
    return labels(t), labels(p)


def binary(metric: str, target: Any, score: Any, positive: Any) -> tuple[Array, Array]:
    """Return truth values [N] and scores [N], with both classes among the targets.

    Raises:
        DescriptionError: only one class is present, so that the metric is not defined.
    """
    t, s = pair(metric, target, score, (1, 1))
    truth = t == positive
    if truth.all() or not truth.any():
        found = ", ".join(map(repr, np.unique(t).tolist()[:5]))
        raise DescriptionError(
            metric,
            [f"expected the positive class {positive!r} and another, given only {found}"],
        )
    return truth, s.astype(np.float64)
