"""Descents as figures: paths over contours, curves of value, gradient and step, several logs compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cortex.compute.errors import DescriptionError
from cortex.optimise import functions

from .style import INK, QUIET, furnish, new_figure

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Log = Sequence[Mapping[str, Any]]
GRID, LEVELS = 121, 18  # points along an axis of the grid under contours; how many contours
CURVES = {"value": "value", "gradient": "length of the gradient", "last_step": "length of the step"}
PATH_COLOURS = ("#d9622b", "#3b6ea5", "#4c9a6a", "#8a5fa8", "#b8860b", "#5b6770")


class Contours(NamedTuple):
    """The value of a function of two numbers on a grid [ys, xs], and the levels to draw."""

    xs: np.ndarray
    ys: np.ndarray
    values: np.ndarray
    levels: np.ndarray


def descent_figure(logs: Any, function: Any = None, title: str = "") -> Figure:
    """Return paths over contours (for two parameters and a function) beside the curves of the steps.

    `logs` is a log (`descent.log`, `logs.load`), a sequence of logs, or a mapping of names to logs.

    Raises:
        DescriptionError: there are no records, or none has the entry `params`.
    """
    named = named_logs(logs)
    flat = _is_flat(named) and function is not None
    curves = present(named)
    figure = new_figure(4.6 * flat + 3.4 * len(curves), 3.9)
    panels = figure.subplots(
        1, flat + len(curves), squeeze=False, width_ratios=[1.35] * flat + [1.0] * len(curves)
    )[0]
    if flat:
        _paths(panels[0], named, function)
    for axes, key in zip(panels[flat:], curves, strict=True):
        _curve(axes, named, key)
    _headline(figure, title)
    return figure


def descent_paths(logs: Any, function: Any, title: str = "") -> Figure:
    """Return the paths of descents in two dimensions, over the contours of their function.

    Contours lie at equal shares of the area: where they are dense the function is steep.

    Raises:
        DescriptionError: a log has another number of parameters than two, or no records.
    """
    named = named_logs(logs)
    if not _is_flat(named):
        sizes = sorted({len(r["params"]) for log in named.values() for r in log})
        problem = f"contours need two parameters, the logs have {', '.join(map(str, sizes))}; use descent_curves"
        raise DescriptionError("descent_paths", [problem])
    figure = new_figure(5.6, 4.8)
    _paths(figure.subplots(), named, function)
    _headline(figure, title)
    return figure


def descent_curves(logs: Any, keys: Sequence[str] = (), title: str = "") -> Figure:
    """Return entries of descents against the step, one panel each; vectors are drawn as their length.

    `keys` are names of entries; without any: value, gradient and last_step, those that are there. An
    axis is logarithmic where all its numbers are above 0 and span more than a factor of 20.

    Raises:
        DescriptionError: there are no records, or no record has one of the entries.
    """
    named = named_logs(logs)
    chosen = list(keys) or present(named)
    missing = [
        f"no record has the entry {k!r}"
        for k in chosen
        if not any(series(log, k) for log in named.values())
    ]
    if missing or not chosen:
        raise DescriptionError("descent_curves", missing or ["the records have nothing to draw"])
    figure = new_figure(3.6 * len(chosen), 3.4)
    for axes, key in zip(figure.subplots(1, len(chosen), squeeze=False)[0], chosen, strict=True):
        _curve(axes, named, key)
    _headline(figure, title)
    return figure


def descent_animation(
    logs: Any, function: Any, frames: int = 80, interval: int = 60, title: str = ""
) -> FuncAnimation:
    """Return an animation of paths that grow over contours; `.save("descent.gif")` writes it.

    `frames` are spread over the steps, denser at the start, where most happens; `interval` is in
    milliseconds.

    Raises:
        DescriptionError: a log has another number of parameters than two, or no records.
    """
    from matplotlib.animation import FuncAnimation

    figure = descent_paths(logs, function, title)
    named = named_logs(logs)
    axes, paths = figure.axes[0], [path_of(log) for log in named.values()]
    longest = max(map(len, paths))
    moments = np.unique(np.round((longest - 1) * np.linspace(0, 1, frames) ** 2).astype(int))
    lines = [line for line in axes.lines if line.get_gid() == "path"]
    heads = [line for line in axes.lines if line.get_gid() == "end"]

    def draw(frame: int) -> list[Any]:
        k = int(moments[frame])
        for path, line, head in zip(paths, lines, heads, strict=True):
            line.set_data(path[: k + 1, 0], path[: k + 1, 1])
            head.set_data(path[min(k, len(path) - 1) :][:1].T)
        axes.set_title(f"step {k}", loc="right", fontsize=9, color=QUIET, pad=10)
        return [*lines, *heads]

    return FuncAnimation(figure, draw, frames=len(moments), interval=interval)


def named_logs(logs: Any) -> dict[str, Log]:
    """Return logs by name: of one log, of a sequence of logs, or of a mapping.

    Raises:
        DescriptionError: there is no record.
    """
    if isinstance(logs, Mapping):
        named = {str(k): v for k, v in logs.items()}
    elif len(logs) and isinstance(logs[0], Mapping):
        named = {"": logs}
    else:
        named = {f"log {i}": log for i, log in enumerate(logs, 1)}
    empty = [f"{name or 'the log'} has no records" for name, log in named.items() if not len(log)]
    if empty or not named:
        raise DescriptionError("descent", empty or ["expected at least one log, given none"])
    return named


def path_of(log: Log) -> np.ndarray:
    """Return the parameters of a log, [records, n]."""
    return np.array([r["params"] for r in log], np.float64)


def series(log: Log, key: str) -> list[tuple[int, float]]:
    """Return (step, number) of each record that has a finite entry; of a vector its length."""
    found = []
    for k, record in enumerate(log):
        entry = record.get(key)
        if entry is None or isinstance(entry, str):
            continue
        number = length(entry)
        if math.isfinite(number):
            found.append((int(record.get("step", k)), number))
    return found


def length(entry: Any) -> float:
    """Return a number itself, of a vector its length (infinite where that is too long for a float)."""
    with np.errstate(all="ignore"):
        return float(np.linalg.norm(entry)) if np.ndim(entry) else float(entry)


def present(named: Mapping[str, Log]) -> list[str]:
    """Return which of value, gradient and last_step the logs have."""
    return [k for k in CURVES if any(series(log, k) for log in named.values())]


def contours(named: Mapping[str, Log], function: Any, grid: int = GRID) -> Contours:
    """Return the function around all paths, and levels at equal shares of the area."""
    evaluate = functions.function(function).value
    points = np.concatenate([path_of(log) for log in named.values()])
    points = points[np.isfinite(points).all(axis=1)]
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, (high - low) / 2
    half = np.maximum(half, max(half.max() * 0.35, 1e-6)) * 1.25
    xs, ys = (np.linspace(m - h, m + h, grid) for m, h in zip(middle, half, strict=True))
    with np.errstate(all="ignore"):
        values = np.array([[evaluate(np.array([x, y])) for x in xs] for y in ys])
    finite = values[np.isfinite(values)]
    levels = (
        np.unique(np.quantile(finite, np.linspace(0.005, 0.985, LEVELS))) if finite.size else finite
    )
    return Contours(xs, ys, values, levels)


def _is_flat(named: Mapping[str, Log]) -> bool:
    return all("params" in r and len(r["params"]) == 2 for log in named.values() for r in log)


def _paths(axes: Axes, named: Mapping[str, Log], function: Any) -> None:
    from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap

    furnish(axes, "Path", "x", "y", grid=False)
    c = contours(named, function)
    values = np.ma.masked_invalid(c.values)
    if len(c.levels) > 1:
        shades = LinearSegmentedColormap.from_list("depth", ["#6f93bd", "#f3f7fb"])
        axes.contourf(
            c.xs,
            c.ys,
            values,
            c.levels,
            cmap=shades,
            norm=BoundaryNorm(c.levels, 256),
            extend="both",
        )
        axes.contour(c.xs, c.ys, values, c.levels, colors="#7d93ab", linewidths=0.5)
    for colour, (name, log) in zip(_colours(named), named.items(), strict=True):
        path = path_of(log)
        few = len(path) <= 60
        axes.plot(
            *path.T, color=colour, linewidth=1.6, marker="o" if few else None, markersize=3, gid="path",
            label=name, zorder=3,
        )  # fmt: skip
        axes.plot(
            *path[:1].T,
            "o",
            color="white",
            markeredgecolor=colour,
            markersize=7,
            zorder=4,
            gid="start",
        )
        axes.plot(
            *path[-1:].T,
            "o",
            color=colour,
            markeredgecolor="white",
            markersize=8,
            zorder=5,
            gid="end",
        )
    axes.set_xlim(c.xs[0], c.xs[-1])
    axes.set_ylim(c.ys[0], c.ys[-1])
    if any(named):
        axes.legend(frameon=True, framealpha=0.85, edgecolor="none", fontsize=8.5, labelcolor=INK)


def _curve(axes: Axes, named: Mapping[str, Log], key: str) -> None:
    furnish(axes, CURVES.get(key, key).capitalize(), "step")
    heights: list[float] = []
    for colour, (name, log) in zip(_colours(named), named.items(), strict=True):
        line = series(log, key)
        if line:
            axes.plot(*zip(*line, strict=True), color=colour, linewidth=1.6, label=name)
            heights += [y for _, y in line]
    if heights and min(heights) > 0 and max(heights) > 20 * min(heights):
        axes.set_yscale("log")
        axes.minorticks_off()
    if any(named) and key == "value":
        axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)


def _colours(named: Mapping[str, Log]) -> list[str]:
    return [PATH_COLOURS[i % len(PATH_COLOURS)] for i in range(len(named))]


def _headline(figure: Figure, title: str) -> None:
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=INK)
