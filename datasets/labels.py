"""Class labels: reading them from a data set, one-hot encoding, weights by class frequency."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .errors import DataError
from .protocol import Array, Dataset
from .table import column_names


def class_labels(dataset: Dataset, name: str) -> Array:
    """Column `name` as a vector [n] of class labels: integers, booleans, bytes or strings.

    Raises DataError for an unknown column and for one that holds no such labels.
    """
    column_names(dataset.columns, [name])
    column = dataset.columns[name]
    if column.dtype.kind not in "biuSU" or np.prod(column.shape, dtype=np.int64) != 1:
        raise DataError(
            f"column {name!r} holds no class labels: expected one integer, boolean or string per "
            f"example, got {column} (for a one-hot column see from_one_hot)"
        )
    return dataset[name].reshape(len(dataset))


def one_hot(labels: ArrayLike, classes: int | None = None, dtype: DTypeLike = np.float32) -> Array:
    """Labels [...] in 0 .. classes-1 as vectors [..., classes] of zeros with a single one.

    Without `classes` there are as many as the greatest label needs. Raises DataError for labels
    that are no whole numbers or lie outside, naming the first.
    """
    numbers, classes = _numbered("one_hot", labels, classes)
    encoded = np.zeros((numbers.size, classes), dtype)
    encoded[np.arange(numbers.size), numbers.reshape(-1)] = 1
    return encoded.reshape(*numbers.shape, classes)


def from_one_hot(encoded: ArrayLike) -> NDArray[np.int64]:
    """The labels [...], int64, of one-hot vectors [..., classes]; the inverse of `one_hot`.

    Raises DataError, naming the first, for a vector that is not zeros and a single one (the class
    of greatest probability is np.argmax).
    """
    array = np.asarray(encoded)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise DataError(f"from_one_hot needs vectors [..., classes], got {list(array.shape)}")
    ones, zeros = array == 1, array == 0
    proper = (ones.sum(-1) == 1) & (ones | zeros).all(-1)
    wrong = np.flatnonzero(~proper)
    if wrong.size:
        vector = array.reshape(-1, array.shape[-1])[wrong[0]]
        raise DataError(f"from_one_hot: vector {wrong[0]} is not one-hot: {vector.tolist()}")
    return np.asarray(ones.argmax(-1), np.int64)


def inverse_class_counts(labels: ArrayLike) -> NDArray[np.float64]:
    """One weight per example [n]: 1 / (examples of its class); 0 2 0 3 gives 1/2 1 1/2 1.

    Labels may be integers, booleans or strings.
    """
    vector = np.asarray(labels)
    if vector.ndim != 1:
        raise DataError(f"inverse_class_counts needs labels [n], got {list(vector.shape)}")
    _, codes, counts = np.unique(vector, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[codes.reshape(-1)], np.float64)


def class_weights(labels: ArrayLike, classes: int | None = None) -> NDArray[np.float64]:
    """One weight per class [classes]: n / (classes that occur * examples of the class).

    All classes then weigh the same in a sum over the examples, whose weights average 1. A class
    that does not occur has weight 0. Raises DataError as `one_hot`.
    """
    numbers, classes = _numbered("class_weights", labels, classes)
    counts = np.bincount(numbers.reshape(-1), minlength=classes)
    shares = np.where(counts > 0, counts, 1) * np.count_nonzero(counts)
    return np.where(counts > 0, numbers.size / shares, 0.0)


def _numbered(
    operation: str, labels: ArrayLike, classes: int | None
) -> tuple[NDArray[np.int64], int]:
    """Labels as int64 and the number of classes, or DataError."""
    array = np.asarray(labels)
    if array.dtype.kind not in "biu" and array.size:
        raise DataError(f"{operation} needs labels that are whole numbers, got {array.dtype}")
    numbers = array.astype(np.int64)
    count = int(numbers.max(initial=-1)) + 1 if classes is None else classes
    wrong = np.flatnonzero((numbers < 0) | (numbers >= count))
    if wrong.size:
        raise DataError(
            f"{operation}: label {numbers.reshape(-1)[wrong[0]]} at position {wrong[0]} lies "
            f"outside 0 .. {count - 1} ({count} classes)"
        )
    return numbers, count
