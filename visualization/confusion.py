"""Which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex.compute.errors import DescriptionError

from .style import INK, QUIET, bare, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST = 30  # classes up to which the counts are written into the cells


def confusion_figure(
    matrix: Any, names: Sequence[str] | None = None, title: str = "Predictions by class"
) -> Figure:
    """Return a confusion matrix as a picture: a row per true class, a column per predicted one.

    `matrix` [K, K] holds counts, as `cortex.metrics.confusion_matrix(targets, predictions)` gives
    them. A cell is as dark as its share of the row, on a scale that lets rare mistakes be seen; the
    diagonal is blue, mistakes are orange; the recall of each class stands at the right.

    Raises:
        DescriptionError: not a square matrix of counts, or not one name per class.
    """
    counts = np.asarray(matrix)
    problems = []
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        problems.append(f"expected a square matrix of counts [K, K], given {list(counts.shape)}")
    elif counts.dtype.kind not in "iuf" or (counts < 0).any() or not np.isfinite(counts).all():
        problems.append("expected counts, numbers of at least 0")
    elif names is not None and len(names) != len(counts):
        problems.append(f"expected {len(counts)} names, one per class, given {len(names)}")
    if problems:
        raise DescriptionError("confusion_figure", problems)
    return _draw(counts, [str(n) for n in (names or range(len(counts)))], title)


def _draw(counts: np.ndarray, names: list[str], title: str) -> Figure:
    size = len(counts)
    side = min(10.0, max(2.0, 0.48 * size))  # inches of the matrix itself
    left, right, above, below = 0.6 + 0.08 * max(map(len, names)), 1.0, 1.0, 0.15
    width, height = max(left + side + right, 4.2), above + side + below
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((left / width, below / height, side / width, side / height))
    totals = counts.sum(1, keepdims=True)
    share = counts / np.maximum(totals, 1)
    axes.imshow(_colours(share), aspect="equal")
    bare(axes)
    axes.set_xticks(range(size), names, fontsize=9, color=INK)
    axes.set_yticks(range(size), names, fontsize=9, color=INK)
    axes.tick_params(length=0, pad=4)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("predicted", fontsize=9, color=QUIET)
    axes.set_ylabel("true", fontsize=9, color=QUIET)
    if size <= LARGEST:
        _write(axes, counts, share)
    for row in range(size):
        recall = f"{100 * share[row, row]:.1f} %" if totals[row, 0] else "no examples"
        place = (1, 1 - (row + 0.5) / size)
        axes.annotate(
            recall, place, xytext=(8, 0), xycoords="axes fraction", textcoords="offset points",
            va="center", fontsize=8.5, color=QUIET,
        )  # fmt: skip
    correct = np.trace(counts)
    figure.suptitle(
        f"{title}: {correct:,.0f} of {counts.sum():,.0f} right",
        x=0.15 / width, y=1 - 0.12 / height, ha="left", va="top", fontsize=11, color=INK,
        fontweight="bold",
    )  # fmt: skip
    return figure


def _colours(share: np.ndarray) -> np.ndarray:
    """Return RGB [K, K, 3]: white to blue on the diagonal, white to orange beside it."""
    blue, orange = np.array([0.23, 0.43, 0.65]), np.array([0.85, 0.38, 0.17])
    # The cube root shows one mistake in a thousand as a tenth of the full colour.
    strength = np.cbrt(share)[..., None]
    end = np.where(np.eye(len(share), dtype=bool)[..., None], blue, orange)
    # An empty cell is not quite white, so that the grid of cells is seen.
    return np.where(share[..., None] > 0, 1 - strength * (1 - end), 0.972)


def _write(axes: Any, counts: np.ndarray, share: np.ndarray) -> None:
    whole = bool((counts == np.round(counts)).all())
    small = 8.5 if len(counts) <= 12 else 6.5
    for row, column in zip(*np.nonzero(counts), strict=True):
        value = counts[row, column]
        shown = f"{value:,.0f}" if whole else f"{value:.2g}"
        dark = np.cbrt(share[row, column]) > 0.62
        axes.text(
            column,
            row,
            shown,
            ha="center",
            va="center",
            fontsize=small,
            color="white" if dark else INK,
        )
