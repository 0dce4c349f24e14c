"""How figures look: colours, type, and the few lines of furniture that all of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cortex.compute.errors import CortexError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, GRID = "#22262b", "#6b7480", "#e4e7eb"
# Blue for training, orange for test, in every figure; they differ in lightness too.
TRAINING, TEST = "#9bb8d9", "#d9622b"
COLOURS = ("#3b6ea5", TEST, "#4c9a6a", "#8a5fa8", "#b8860b", "#5b6770")
DPI = 100


class MissingLibrary(CortexError, ImportError):
    """matplotlib is not installed."""


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, outside pyplot, so that nothing keeps it alive.

    Raises:
        MissingLibrary: matplotlib is not installed; the message says how to get it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingLibrary(
            f"figures need matplotlib, which is missing ({error}); pip install matplotlib"
        ) from error
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def furnish(axes: Axes, title: str = "", x: str = "", y: str = "", grid: bool = True) -> None:
    """Give axes a title on the left, quiet labels, and no frame but the lines that are read."""
    if title:
        axes.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold", pad=10)
    axes.set_xlabel(x, color=QUIET, fontsize=9)
    axes.set_ylabel(y, color=QUIET, fontsize=9)
    axes.tick_params(colors=QUIET, labelsize=8.5, length=0)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    if grid:
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines["bottom"].set_visible(True)
        axes.spines["bottom"].set_color(GRID)


def bare(axes: Axes) -> None:
    """Take away ticks and frame, for pictures inside axes."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
