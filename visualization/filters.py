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
    wanted = f"{node}.weights" if node else next(iter(found), None)
    if wanted not in found:
        names = ", ".join(n.removesuffix(".weights") for n in found) or "none"
        problem = f"expected a node with kernels [count, channels, height, width] ({names})"
        raise DescriptionError("network_filters", [f"{problem}, given {node!r}"])
    name = wanted.removesuffix(".weights")
    return filter_grid(network.parameters[wanted], **{"title": f"Kernels of {name}", **options})


def _draw(kernels: np.ndarray, columns: int, title: str, scale: str) -> Figure:
    count, channels, height, width = kernels.shape
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    cell = min(0.9, 11.0 / columns)
    figure = new_figure(
        max(2.4, columns * cell * max(1.0, width / height)) + 0.3,
        rows * cell * max(1.0, height / width) + (0.75 if title else 0.3),
    )
    panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    limit = max(1e-300, float(np.abs(kernels).max()))
    for number, axes in enumerate(panels):
        bare(axes)
        if number >= count:
            axes.set_visible(False)
            continue
        reach = limit if scale == "common" else max(1e-300, float(np.abs(kernels[number]).max()))
        if channels == 1:
            axes.imshow(kernels[number, 0], cmap="RdBu_r", vmin=-reach, vmax=reach)
        else:
            axes.imshow(np.moveaxis(0.5 + kernels[number] / (2 * reach), 0, -1))
        for spine in axes.spines.values():
            spine.set_visible(True)
            spine.set_color("#c9ced6")
            spine.set_linewidth(0.6)
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=11, color=INK, fontweight="bold")
        said = f"blue {-limit:.2g}, white 0, red {limit:.2g}" if channels == 1 else ""
        if said and scale == "common":
            figure.supxlabel(said, fontsize=8.5, color=QUIET)
    return figure
