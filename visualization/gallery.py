"""The examples a network is most wrong about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex.compute.errors import DescriptionError

from .style import INK, QUIET, TEST, bare, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def worst_mistakes(
    images: Any,
    labels: Any,
    probabilities: Any,
    count: int = 24,
    names: Sequence[str] | None = None,
    title: str = "Worst mistakes",
) -> Figure:
    """Return the wrongly classified images, those first whose true class was thought least probable.

    `images` [N, C, H, W] or [N, H, W] (bytes, or numbers of any range; 1 channel is drawn dark on
    light, 3 are colours), `labels` [N] the true classes, `probabilities` [N, K] what the network
    gave. At most `count` are shown, each with its true class, the class given, and how sure it was.

    Raises:
        DescriptionError: lengths or shapes that do not fit, all at once.
    """
    pictures, truth, given = np.asarray(images), np.asarray(labels), np.asarray(probabilities)
    if pictures.ndim == 3:
        pictures = pictures[:, None]
    problems = []
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3):
        shape = list(np.shape(images))
        problems.append(f"images: expected [N, 1 or 3, height, width], given {shape}")
    if truth.ndim != 1 or truth.dtype.kind not in "iu":
        problems.append(f"labels: expected integers [N], given {truth.dtype} {list(truth.shape)}")
    if given.ndim != 2:
        problems.append(f"probabilities: expected [N, K], given {list(given.shape)}")
    if len({len(pictures), len(truth), len(given)}) > 1:
        problems.append(
            f"expected as many images, labels and rows of probabilities, given {len(pictures)}, "
            f"{len(truth)} and {len(given)}"
        )
    if not problems and len(truth) and not 0 <= truth.min() <= truth.max() < given.shape[1]:
        problems.append(
            f"labels: expected 0 .. {given.shape[1] - 1}, given {truth.min()} .. {truth.max()}"
        )
    if problems:
        raise DescriptionError("worst_mistakes", problems)
    guess = given.argmax(1) if len(given) else truth
    wrong = np.flatnonzero(guess != truth)
    order = wrong[np.argsort(given[wrong, truth[wrong]], kind="stable")][:count]
    said = [str(n) for n in (names or range(given.shape[1]))]
    share = f"{len(wrong):,} of {len(truth):,} wrong"
    return _draw(pictures, order, truth, guess, given, said, f"{title}: {share}")


def _draw(
    pictures: np.ndarray,
    order: np.ndarray,
    truth: np.ndarray,
    guess: np.ndarray,
    given: np.ndarray,
    names: list[str],
    title: str,
) -> Figure:
    columns = max(1, min(8, len(order)))
    rows = max(1, math.ceil(len(order) / columns))
    figure = new_figure(max(3.6, columns * 1.15), rows * 1.5 + 0.55)
    figure.suptitle(title, x=0.02, ha="left", fontsize=11, color=INK, fontweight="bold")
    panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for number, axes in enumerate(panels):
        bare(axes)
        if number >= len(order):
            axes.set_visible(False)
            continue
        k = order[number]
        picture = np.moveaxis(pictures[k].astype(np.float64), 0, -1)
        low, high = picture.min(), picture.max()
        if picture.shape[-1] == 1:
            axes.imshow(picture[..., 0], cmap="gray_r", vmin=low, vmax=max(high, low + 1e-300))
        else:
            axes.imshow((picture - low) / max(high - low, 1e-300))
        sure = f"{100 * given[k, guess[k]]:.0f} %"
        axes.set_title(
            f"is {names[truth[k]]}, said {names[guess[k]]}", fontsize=8.5, color=TEST, pad=3
        )
        axes.set_xlabel(f"row {k}, {sure} sure", fontsize=7.5, color=QUIET, labelpad=2)
    return figure
