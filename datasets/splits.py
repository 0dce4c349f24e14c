"""Splitting rows: holdout, several parts, k folds, out-of-fold predictions; stratified if wished.

Every split is an exact partition: each row lies in one part, once. Parts keep the rows' order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import DataError
from .labels import class_labels
from .order import SPLIT, permutation, whole
from .protocol import Array, Dataset, Rows


def holdout(
    dataset: Dataset, fraction: float = 0.2, seed: int = 0, stratify: str | None = None
) -> tuple[Dataset, Dataset]:
    """(training, test) data sets, the second with `fraction` of the rows; see `split`."""
    if not 0 < fraction < 1:
        raise DataError(f"holdout: fraction must lie between 0 and 1, got {fraction}")
    training, test = split(dataset, (1 - fraction, fraction), seed, stratify)
    return training, test


def split(
    dataset: Dataset,
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    stratify: str | None = None,
) -> tuple[Dataset, ...]:
    """Random parts of the given fractions, by default training, validation and test.

    With `stratify`, the name of a column of class labels, each class is divided in these
    proportions to within one example. Raises DataError for fractions that are not positive or do
    not sum to 1, and for a part that would be empty.
    """
    parts = split_rows(len(dataset), fractions, seed, _labels(dataset, stratify))
    if empty := [number for number, rows in enumerate(parts) if rows.size == 0]:
        raise DataError(
            f"split: {len(dataset)} examples in fractions {tuple(fractions)} leave part "
            f"{', '.join(map(str, empty))} empty"
        )
    return tuple(dataset.take(rows) for rows in parts)


def k_fold(
    dataset: Dataset, k: int = 5, seed: int = 0, stratify: str | None = None
) -> Iterator[tuple[Dataset, Dataset]]:
    """The k pairs (training, test); each row is in one test set, whose sizes differ by one at most.

    With `stratify` the same holds within each class. Raises DataError for k < 2 or k > rows.
    """
    folds = fold_rows(len(dataset), k, seed, _labels(dataset, stratify))
    return (
        (dataset.take(np.flatnonzero(folds != fold)), dataset.take(np.flatnonzero(folds == fold)))
        for fold in range(k)
    )


def out_of_fold(
    dataset: Dataset,
    predict: Callable[[Dataset, Dataset], ArrayLike],
    k: int = 5,
    seed: int = 0,
    stratify: str | None = None,
) -> Array:
    """Predictions [n, ...] for every row by a model that has not seen it.

    `predict(training, test)` learns from the first and returns predictions [len(test), ...] for
    the second; it is called k times. Raises DataError where the count of predictions is wrong or
    their shapes differ between folds.
    """
    folds = fold_rows(len(dataset), k, seed, _labels(dataset, stratify))
    predictions: list[Array] = []
    for fold in range(k):
        test = np.flatnonzero(folds == fold)
        found = np.asarray(predict(dataset.take(np.flatnonzero(folds != fold)), dataset.take(test)))
        expected = (test.size, *(predictions[0].shape[1:] if predictions else found.shape[1:]))
        if found.shape != expected:
            raise DataError(
                f"out_of_fold: fold {fold} gave predictions of shape {list(found.shape)}, "
                f"expected {list(expected)}: one for each of its {test.size} test examples"
            )
        predictions.append(found)
    back = np.argsort(np.argsort(folds, kind="stable"), kind="stable")
    return np.concatenate(predictions)[back]


def split_rows(
    count: int, fractions: Sequence[float], seed: int = 0, labels: ArrayLike | None = None
) -> tuple[Rows, ...]:
    """The sorted row numbers of each part, see `split`; parts may be empty."""
    shares = np.asarray(fractions, np.float64)
    if shares.ndim != 1 or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-9:
        raise DataError(f"split: fractions must be positive and sum to 1, got {tuple(fractions)}")
    parts = np.empty(count, np.int64)
    owed = np.zeros(len(shares))
    for code, members in enumerate(_classes(count, labels)):
        exact = len(members) * shares
        sizes = np.floor(exact + 1e-9).astype(np.int64)  # 0.2 * 15 is 3, whatever its rounding
        # What is left of this class goes to the parts that are furthest behind over all classes so
        # far, among those that may round up: within one per class, and totals stay near exact.
        owed += exact - sizes
        may_round_up = exact - sizes > 1e-9
        left = len(members) - int(sizes.sum())
        chosen = np.argsort(np.where(may_round_up, -owed, np.inf), kind="stable")[:left]
        sizes[chosen] += 1
        owed[chosen] -= 1
        order = permutation(len(members), seed, SPLIT, code)
        parts[members[order]] = np.repeat(np.arange(len(shares)), sizes)
    return tuple(np.flatnonzero(parts == part) for part in range(len(shares)))


def fold_rows(
    count: int, k: int, seed: int = 0, labels: ArrayLike | None = None
) -> NDArray[np.int64]:
    """The fold 0 .. k-1 [count] in whose test set each row is, see `k_fold`."""
    if whole("k", k, 2) > count:
        raise DataError(f"k_fold: {count} examples cannot make {k} folds")
    # Class after class is dealt out like cards: folds stay even in each class and in all.
    dealt = [
        members[permutation(len(members), seed, SPLIT, code)]
        for code, members in enumerate(_classes(count, labels))
    ]
    folds = np.empty(count, np.int64)
    folds[np.concatenate(dealt)] = np.arange(count) % k
    return folds


def _classes(count: int, labels: ArrayLike | None) -> list[Rows]:
    """The row numbers of each class, or of all rows as one class."""
    if labels is None:
        return [np.arange(count, dtype=np.int64)]
    vector = np.asarray(labels)
    if vector.shape != (count,):
        raise DataError(f"labels must have shape [{count}], got {list(vector.shape)}")
    codes = np.unique(vector, return_inverse=True)[1].reshape(-1)
    return [np.flatnonzero(codes == code) for code in range(int(codes.max(initial=-1)) + 1)]


def _labels(dataset: Dataset, stratify: str | None) -> Array | None:
    return None if stratify is None else class_labels(dataset, stratify)
