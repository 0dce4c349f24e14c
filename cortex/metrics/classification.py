"""Metrics of decisions: which class was named, and which it was.

Every function takes the target first. Targets and predictions are labels [N]; scores or one-hot
rows [N, K] count as the class of the largest entry. All but `top_k_accuracy` follow from the
confusion matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from cortex.compute.errors import DescriptionError, ShapeError, near

from .inputs import Array, label_pair, pair

Average = Literal["binary", "macro", "micro", "weighted"] | None
AVERAGES = ("binary", "macro", "micro", "weighted")


def accuracy(target: Any, prediction: Any) -> float:
    """Return the share of examples whose class was named, in [0, 1]."""
    t, p = label_pair("accuracy", target, prediction)
    return float(np.mean(t == p))


def top_k_accuracy(target: Any, scores: Any, k: int = 5) -> float:
    """Return the share of examples whose class has one of the k largest scores [N, K].

    Targets are the numbers 0..K-1; of equal scores the last counts as the larger, as in
    scikit-learn.

    Raises:
        DescriptionError: k is not in 1..K.
    """
    t, s = pair("top_k_accuracy", target, scores, (1, 2))
    if not 1 <= k <= s.shape[1]:
        raise DescriptionError("top_k_accuracy", [f"expected k in 1..{s.shape[1]}, given {k}"])
    best = np.argsort(s, axis=1, kind="stable")[:, ::-1][:, :k]
    return float(np.mean((best == t[:, None]).any(1)))


def confusion_matrix(target: Any, prediction: Any, labels: Sequence[Any] | None = None) -> Array:
    """Return counts [K, K] as int64: row = true class, column = named class.

    `labels` gives the classes and their order; without it, all that occur, sorted. Examples with
    another class on either side are left out.
    """
    t, p = label_pair("confusion_matrix", target, prediction)
    return _matrix(t, p, _classes(t, p, labels))


def precision(
    target: Any,
    prediction: Any,
    average: Average = "binary",
    positive: Any = 1,
    labels: Sequence[Any] | None = None,
) -> Any:
    """Return how many of those named a class belong to it: tp / (tp + fp); 0 where none was named.

    `average`: "binary" is the class `positive` alone; "macro" the mean over classes; "weighted" the
    same weighted by the classes' true counts; "micro" of the counts summed over classes; None gives
    an array with one number for each class (sorted, or in the order of `labels`).
    """
    return _scored("precision", target, prediction, average, positive, labels)


def recall(
    target: Any,
    prediction: Any,
    average: Average = "binary",
    positive: Any = 1,
    labels: Sequence[Any] | None = None,
) -> Any:
    """Return how many of a class were named it:

    tp / (tp + fn); 0 where there is none. See `precision`.
    """
    return _scored("recall", target, prediction, average, positive, labels)


def f1(
    target: Any,
    prediction: Any,
    average: Average = "binary",
    positive: Any = 1,
    labels: Sequence[Any] | None = None,
) -> Any:
    """Return the harmonic mean of precision and recall, 2 tp / (2 tp + fp + fn).

    See `precision`.
    """
    return _scored("f1", target, prediction, average, positive, labels)


def cohen_kappa(target: Any, prediction: Any) -> float:
    """Return the agreement beyond chance, (p_o - p_e) / (1 - p_e), in [-1, 1]. Cohen 1960.

    NaN where both sides name one and the same class only: chance then explains everything.
    """
    return kappa_of(confusion_matrix(target, prediction))


def matthews(target: Any, prediction: Any) -> float:
    """Return the correlation of true and named classes, in [-1, 1]. Matthews 1975; Gorodkin 2004.

    0 where one side names a single class.
    """
    return matthews_of(confusion_matrix(target, prediction))


def score_of(matrix: Array, score: str, average: Average, index: int | None = None) -> Any:
    """Return "precision", "recall" or "f1" of a confusion matrix; `index` is the positive class.

    Raises:
        DescriptionError: the average has no such name.
    """
    if average is not None and average not in AVERAGES:
        known = [f"average: expected one of {AVERAGES} or None, given {average!r}"]
        raise DescriptionError(score, [known[0] + near(str(average), AVERAGES)])
    hits, true, named = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    if average == "binary":
        hits, true, named = hits[index], true[index], named[index]
    if average == "micro":
        hits, true, named = hits.sum(), true.sum(), named.sum()
    above, below = {
        "precision": (hits, named),
        "recall": (hits, true),
        "f1": (2 * hits, true + named),
    }[score]
    result = np.where(below > 0, above / np.maximum(below, 1), 0.0)
    if average == "weighted":
        return float(result @ true / max(1, true.sum()))
    if average == "macro":
        return float(result.mean())
    return result if average is None else float(result)


def kappa_of(matrix: Array) -> float:
    """Return Cohen's kappa of a confusion matrix."""
    n = matrix.sum()
    chance = float(matrix.sum(0) @ matrix.sum(1)) / n**2 if n else 1.0
    return float("nan") if chance == 1 else float((np.trace(matrix) / n - chance) / (1 - chance))


def matthews_of(matrix: Array) -> float:
    """Return the Matthews correlation of a confusion matrix."""
    c = matrix.astype(np.float64)
    true, named, n = c.sum(1), c.sum(0), c.sum()
    spread = (n * n - named @ named) * (n * n - true @ true)
    return float((np.trace(c) * n - true @ named) / np.sqrt(spread)) if spread > 0 else 0.0


def _classes(t: Array, p: Array, given: Sequence[Any] | None) -> Array:
    if given is None:
        return np.unique(np.concatenate([t, p]))
    classes = np.asarray(given)
    if classes.ndim != 1 or len(np.unique(classes)) != len(classes):
        raise DescriptionError("labels", [f"expected different classes, given {given!r}"])
    return classes


def _matrix(t: Array, p: Array, classes: Array) -> Array:
    k = len(classes)
    order = np.argsort(classes, kind="stable")
    rank = [np.minimum(np.searchsorted(classes, a, sorter=order), k - 1) for a in (t, p)]
    row, column = (order[r] for r in rank)
    known = (classes[row] == t) & (classes[column] == p)
    counts = np.bincount(row[known] * k + column[known], minlength=k * k)
    return counts.astype(np.int64).reshape(k, k)


def _scored(
    score: str, target: Any, prediction: Any, average: Average, positive: Any, labels: Any
) -> Any:
    t, p = label_pair(score, target, prediction)
    if average == "binary":
        present = np.unique(np.concatenate([t, p]))
        if len(present) > 2:
            raise DescriptionError(
                score,
                [
                    f"there are {len(present)} classes: choose average='macro', 'micro' or "
                    "'weighted', or None for each class"
                ],
            )
        t, p, classes, index = t == positive, p == positive, np.array([False, True]), 1
        return score_of(_matrix(t, p, classes), score, average, index)
    # Counts are taken over all classes, so that `labels` may leave some out of the average.
    every = _classes(t, p, None)
    chosen = _classes(t, p, labels)
    wide = np.concatenate([chosen, np.setdiff1d(every, chosen)])
    matrix = _matrix(t, p, wide)
    return _of_chosen(matrix, score, average, len(chosen))


def _of_chosen(matrix: Array, score: str, average: Average, chosen: int) -> Any:
    if chosen == len(matrix):
        return score_of(matrix, score, average)
    if average == "micro":
        hits = np.diag(matrix)[:chosen].sum()
        true, named = matrix.sum(1)[:chosen].sum(), matrix.sum(0)[:chosen].sum()
        rest = np.array([[0, named - hits], [true - hits, hits]])
        return score_of(rest, score, "binary", 1)
    each = score_of(matrix, score, None)[:chosen]
    if average is None:
        return each
    true = matrix.sum(1)[:chosen]
    if average == "weighted":
        return float(each @ true / max(1, true.sum()))
    return float(each.mean())


def check_classes(metric: str, classes: int) -> None:
    """Raise `ShapeError` where a number of classes is not an integer >= 1."""
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
        raise ShapeError(f"{metric}: expected a number of classes >= 1, given {classes!r}")
