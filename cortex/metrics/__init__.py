"""Metrics: plain NumPy functions of targets and predictions, and accumulators over batches.

Every function takes the target first, as in scikit-learn, whose definitions these are. To add a
metric, write a function and add its row to `METRICS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cortex.compute.errors import DescriptionError, near

from .classification import (
    accuracy,
    cohen_kappa,
    confusion_matrix,
    f1,
    matthews,
    precision,
    recall,
    top_k_accuracy,
)
from .ranking import auroc, average_precision, equal_error_rate, log_loss, roc_curve
from .regression import mae, mse, pearson, r2, rmse, spearman
from .streaming import Accuracy, ConfusionMatrix, Mean

# Metrics that give one number, by name.
METRICS: dict[str, Callable[..., float]] = {
    "accuracy": accuracy,
    "top_k_accuracy": top_k_accuracy,
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "cohen_kappa": cohen_kappa,
    "matthews": matthews,
    "auroc": auroc,
    "average_precision": average_precision,
    "equal_error_rate": equal_error_rate,
    "log_loss": log_loss,
    "mse": mse,
    "rmse": rmse,
    "mae": mae,
    "r2": r2,
    "pearson": pearson,
    "spearman": spearman,
}

__all__ = [
    *METRICS,
    "METRICS",
    "Accuracy",
    "ConfusionMatrix",
    "Mean",
    "by_name",
    "confusion_matrix",
    "roc_curve",
]


def by_name(name: str) -> Callable[..., Any]:
    """Return the metric of that name.

    Raises:
        DescriptionError: there is none; the message suggests the nearest.
    """
    if name not in METRICS:
        raise DescriptionError("metric", [f"no metric is named {name!r}{near(name, METRICS)}"])
    return METRICS[name]
