"""Metrics of scores: how well they order examples, or how sure they are of the right class.

Every function takes the target first. `positive` is the label of the class that scores rise with.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cortex.compute.errors import DescriptionError, ShapeError

from .inputs import Array, binary, pair


def roc_curve(target: Any, score: Any, positive: Any = 1) -> tuple[Array, Array, Array]:
    """Return false and true positive rates and thresholds, one point for each different score.

    An example counts as positive where its score is at or above the threshold. The first point is
    (0, 0) with an infinite threshold, the last (1, 1).

    Raises:
        DescriptionError: only one class is present.
    """
    truth, s = binary("roc_curve", target, score, positive)
    hits, named, thresholds = _steps(truth, s)
    tpr = np.concatenate([[0.0], hits / hits[-1]])
    misses = named - hits
    fpr = np.concatenate([[0.0], misses / misses[-1]])
    return fpr, tpr, np.concatenate([[np.inf], thresholds])


def auroc(target: Any, score: Any, positive: Any = 1) -> float:
    """Return the area under the ROC curve: how often a positive example scores above a negative
    one.

    Ties count half. With scores [N, K] and targets 0..K-1, the mean over the classes of each
    against the rest.

    Raises:
        DescriptionError: only one class is present (for [N, K]: a class is missing).
    """
    if np.ndim(score) == 2:
        return _mean_over_classes("auroc", auroc, target, score)
    fpr, tpr, _ = roc_curve(target, score, positive)
    return float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1])) / 2)


def average_precision(target: Any, score: Any, positive: Any = 1) -> float:
    """Return the sum over thresholds of precision times the gain in recall.

    With scores [N, K] and targets 0..K-1, the mean over the classes of each against the rest.

    Raises:
        DescriptionError: only one class is present (for [N, K]: a class is missing).
    """
    if np.ndim(score) == 2:
        return _mean_over_classes("average_precision", average_precision, target, score)
    truth, s = binary("average_precision", target, score, positive)
    hits, named, _ = _steps(truth, s)
    gain = np.diff(hits, prepend=0) / hits[-1]
    return float(np.sum(gain * hits / named))


def equal_error_rate(target: Any, score: Any, positive: Any = 1) -> float:
    """Return the rate at which false positives and false negatives are equally frequent.

    Where fpr = 1 - tpr on the ROC curve, interpolated between its points.

    Raises:
        DescriptionError: only one class is present.
    """
    fpr, tpr, _ = roc_curve(target, score, positive)
    gap = fpr - (1 - tpr)  # rises from -1 to 1
    i = int(np.argmax(gap >= 0))
    a, b = gap[i - 1], gap[i]
    return float(fpr[i - 1] + (fpr[i] - fpr[i - 1]) * (-a / (b - a)))


def log_loss(target: Any, probabilities: Any, positive: Any = 1) -> float:
    """Return the mean of -log of the probability given to the true class (natural logarithm).

    Probabilities are [N, K] with targets 0..K-1, or those of `positive` [N]. They count as at least
    the rounding unit of their dtype, and as at most 1 less that.

    Raises:
        ShapeError: the probabilities are not [N] or [N, K].
        DescriptionError: a target is not a class, or a probability not in [0, 1].
    """
    t, p = pair("log_loss", target, probabilities)
    if t.ndim != 1 or p.ndim > 2:
        raise ShapeError(
            f"log_loss: expected targets [N] and probabilities [N] or [N, K], given shapes "
            f"{t.shape} and {p.shape}"
        )
    epsilon = np.finfo(p.dtype if p.dtype.kind == "f" else np.float64).eps
    p = p.astype(np.float64)
    if p.min() < 0 or p.max() > 1:
        problem = f"expected probabilities in [0, 1], given {p.min()} .. {p.max()}"
        raise DescriptionError("log_loss", [problem])
    if p.ndim == 1:
        given = np.where(t == positive, p, 1 - p)
    else:
        given = p[np.arange(len(p)), _class_numbers("log_loss", t, p.shape[1])]
    return float(-np.mean(np.log(np.clip(given, epsilon, 1 - epsilon))))


def _steps(truth: Array, score: Array) -> tuple[Array, Array, Array]:
    """Return, for each different score from the highest: positives and examples at or above it."""
    order = np.argsort(-score, kind="stable")
    truth, score = truth[order], score[order]
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    return np.cumsum(truth)[last], last + 1, score[last]


def _class_numbers(metric: str, t: Array, classes: int) -> Array:
    numbers = t.astype(np.int64)
    if (numbers != t).any() or numbers.min() < 0 or numbers.max() >= classes:
        problem = f"expected targets 0..{classes - 1}, given {t.min()} .. {t.max()}"
        raise DescriptionError(metric, [problem])
    return numbers


def _mean_over_classes(name: str, metric: Any, target: Any, score: Any) -> float:
    t, s = pair(name, target, score, (1, 2))
    numbers = _class_numbers(name, t, s.shape[1])
    return float(np.mean([metric(numbers == k, s[:, k], True) for k in range(s.shape[1])]))
