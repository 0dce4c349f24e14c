"""Metrics over batches, equal to those of all examples together.

`update` takes a batch, `value` gives the metric so far (NaN before the first example), and two
accumulators of separate batches add up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cortex.compute.errors import DescriptionError, ShapeError

from .classification import Average, check_classes, kappa_of, matthews_of, score_of
from .inputs import Array, label_pair


@dataclass
class Mean:
    """The mean of numbers, such as the loss:

    each batch counts by its weight (its number of examples).
    """

    total: float = 0.0
    weight: float = 0.0

    def update(self, value: Any, weight: Any = 1.0) -> None:
        """Add a number, or an array of numbers; the weight is one number or one for each.

        Raises:
            ShapeError: value and weight do not broadcast.
        """
        v, w = np.asarray(value, np.float64), np.asarray(weight, np.float64)
        try:
            w = np.broadcast_to(w, v.shape)
        except ValueError:
            message = f"Mean: weights {w.shape} do not broadcast to values {v.shape}"
            raise ShapeError(message) from None
        self.total += math.fsum((v * w).reshape(-1))
        self.weight += math.fsum(w.reshape(-1))

    @property
    def value(self) -> float:
        """The weighted mean."""
        return self.total / self.weight if self.weight else float("nan")

    def __add__(self, other: Mean) -> Mean:
        return Mean(self.total + other.total, self.weight + other.weight)


@dataclass
class Accuracy:
    """The share of examples whose class was named; labels [N] or scores [N, K]."""

    right: int = 0
    count: int = 0

    def update(self, target: Any, prediction: Any) -> None:
        """Add a batch; see `accuracy`."""
        t, p = label_pair("Accuracy", target, prediction)
        self.right += int(np.sum(t == p))
        self.count += len(t)

    @property
    def value(self) -> float:
        """The accuracy in [0, 1]."""
        return self.right / self.count if self.count else float("nan")

    def __add__(self, other: Accuracy) -> Accuracy:
        return Accuracy(self.right + other.right, self.count + other.count)


@dataclass
class ConfusionMatrix:
    """Counts [classes, classes]: row = true class, column = named class, both 0..classes-1."""

    classes: int
    value: Array = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    def __post_init__(self) -> None:
        check_classes("ConfusionMatrix", self.classes)
        if not self.value.size:
            self.value = np.zeros((self.classes, self.classes), np.int64)

    def update(self, target: Any, prediction: Any) -> None:
        """Add a batch of labels [N] or scores [N, K].

        Raises:
            DescriptionError: a label is not one of the classes.
        """
        t, p = label_pair("ConfusionMatrix", target, prediction)
        for name, array in (("target", t), ("prediction", p)):
            if array.min() < 0 or array.max() >= self.classes or (array != np.floor(array)).any():
                problem = (
                    f"expected labels 0..{self.classes - 1}, the {name} holds {array.min()} .. "
                    f"{array.max()}"
                )
                raise DescriptionError("ConfusionMatrix", [problem])
        flat = t.astype(np.int64) * self.classes + p.astype(np.int64)
        self.value = self.value + np.bincount(flat, minlength=self.value.size).reshape(
            self.value.shape
        )

    def accuracy(self) -> float:
        """Return the share on the diagonal."""
        return float(np.trace(self.value) / self.value.sum()) if self.value.any() else float("nan")

    def precision(self, average: Average = "macro", positive: int = 1) -> Any:
        """Return the precision; see `metrics.precision`. Classes that never occur count as 0."""
        return score_of(self.value, "precision", average, positive)

    def recall(self, average: Average = "macro", positive: int = 1) -> Any:
        """Return the recall; see `metrics.recall`. Classes that never occur count as 0."""
        return score_of(self.value, "recall", average, positive)

    def f1(self, average: Average = "macro", positive: int = 1) -> Any:
        """Return the F1 score; see `metrics.f1`. Classes that never occur count as 0."""
        return score_of(self.value, "f1", average, positive)

    def cohen_kappa(self) -> float:
        """Return the agreement beyond chance."""
        return kappa_of(self.value)

    def matthews(self) -> float:
        """Return the correlation of true and named classes."""
        return matthews_of(self.value)

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        if self.classes != other.classes:
            message = f"ConfusionMatrix: cannot add {self.classes} and {other.classes} classes"
            raise ShapeError(message)
        return ConfusionMatrix(self.classes, self.value + other.value)
