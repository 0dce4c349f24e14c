"""What the first layer of a network looks for: its kernels as pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex.compute.errors import DescriptionError

from .style import INK, QUIET, bare, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cortex import Network

CELL, GAP, FRAME = 60, 8, 0.8  # pixels of a kernel and between two; the grey of its frame
PIXELS, LARGEST = (
    75,
    1100,
)  # pixels to an inch; pixels of the longer side beyond which a picture shrinks
CHANNELS = (1, 3)  # channels that make one picture: grey, or red, green and blue


def filter_grid(
    kernels: Any, columns: int | None = None, title: str = "", scale: str = "common"
) -> Figure:
    """Return kernels [count, channels, height, width] (or [count, height, width]) as a grid of pictures.

    Kernels of one channel go from blue (negative) over white (0) to red; with three channels they are
    shown in colour; with any other number each channel is a picture of its own, a row per kernel.
    `scale` is "common" (all kernels share one range, so their strengths compare) or "each".

    Raises:
        DescriptionError: another shape, numbers that are not finite, or an unknown scale.
    """
    found = np.asarray(kernels)
    problems = []
    if found.ndim == 3:
        found = found[:, None]
    if found.ndim != 4 or not found.size:
        problems.append(
            f"expected kernels [count, channels, height, width], given {list(np.shape(kernels))}"
        )
    elif found.dtype.kind not in "iuf" or not np.isfinite(found).all():
        problems.append("expected finite numbers")
    if scale not in ("common", "each"):
        problems.append(f"scale: expected 'common' or 'each', given {scale!r}")
    if columns is not None and columns < 1:
        problems.append(f"columns: expected at least 1, given {columns}")
    if problems:
        raise DescriptionError("filter_grid", problems)
    found = found.astype(np.float64)
    if found.shape[1] not in CHANNELS:
        columns = columns or found.shape[1]
        found = found.reshape(-1, 1, *found.shape[2:])
    return _draw(found, columns or math.ceil(math.sqrt(1.6 * len(found))), title, scale)


def network_filters(network: Network, node: str | None = None, **options: Any) -> Figure:
    """Return the kernels of the convolution `node` of a network (None: the first); see `filter_grid`.

    Raises:
        DescriptionError: the network has no such node, or the node no kernels.
    """
    shapes = {name: spec.shape for name, spec in network.parameter_specs.items()}
    found = [n for n, shape in shapes.items() if n.endswith(".weights") and len(shape) == 4]
    wanted = f"{node}.weights" if node else next(iter(found), "")
    if wanted not in found:
        names = ", ".join(n.removesuffix(".weights") for n in found) or "none"
        problem = f"expected a node with kernels [count, channels, height, width] ({names})"
        raise DescriptionError("network_filters", [f"{problem}, given {node!r}"])
    name = wanted.removesuffix(".weights")
    return filter_grid(network.parameters[wanted], **{"title": f"Kernels of {name}", **options})


def _draw(kernels: np.ndarray, columns: int, title: str, scale: str) -> Figure:
    limit = float(np.abs(kernels).max())
    # One picture of all kernels: axes of their own take 25 ms each, half a minute for 1,000 kernels.
    picture = mosaic(_colours(kernels, scale), columns)
    height, width = picture.shape[:2]
    shrink = min(1.0, LARGEST / max(height, width))
    figure = new_figure(
        max(2.6, shrink * width / PIXELS) + 0.2, shrink * height / PIXELS + (0.8 if title else 0.2)
    )
    axes = figure.subplots()
    bare(axes)
    axes.imshow(picture, interpolation="nearest")
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=11, color=INK, fontweight="bold")
        if kernels.shape[1] == 1 and scale == "common":
            said = f"blue {-limit:.2g}, white 0, red {limit:.2g}"
            figure.supxlabel(said, fontsize=8.5, color=QUIET)
    return figure


def _colours(kernels: np.ndarray, scale: str) -> np.ndarray:
    """Return kernels [count, 1 or 3, h, w] as colours [count, h, w, 3] in 0..1; no change is white or grey."""
    from matplotlib import colormaps

    reach = np.abs(kernels).max(axis=None if scale == "common" else (1, 2, 3), keepdims=True)
    share = 0.5 + kernels / (2 * np.maximum(reach, 1e-300))
    if kernels.shape[1] == 3:
        return np.moveaxis(share, 1, -1)
    return np.asarray(colormaps["RdBu_r"](share[:, 0])[..., :3])


def mosaic(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Return pictures [count, h, w, 3] as one, row by row, each enlarged to about 60 pixels and framed."""
    count, height, width, _ = pictures.shape
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    factor = max(1, round(CELL / max(height, width)))
    large = pictures.repeat(factor, axis=1).repeat(factor, axis=2)
    high, wide = large.shape[1] + GAP, large.shape[2] + GAP
    whole = np.ones((rows * high, columns * wide, 3))
    for number, picture in enumerate(large):
        y, x = number // columns * high + GAP // 2, number % columns * wide + GAP // 2
        whole[y - 1 : y + high - GAP + 1, x - 1 : x + wide - GAP + 1] = FRAME
        whole[y : y + high - GAP, x : x + wide - GAP] = picture
    return whole
