"""Figures of results: how many times longer the peers take, and times as they grow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results import Grid, Result, Table

INK, QUIET, GRID = "#22262b", "#6b7480", "#e4e7eb"
OURS, PEER = "#3b6ea5", "#c9d3de"
COLOURS = (OURS, "#d9622b", "#b8860b", "#4c9a6a", "#8a5fa8", "#5b6770")
WIDEST = 6.0  # times ours; dots further out are left away


def draw(sections: dict[str, list[Result]], folder: Path) -> dict[str, Path]:
    """Draw figures of the results by section ("mlp, one core") into a folder; return their paths by section."""
    import matplotlib

    matplotlib.rcParams.update({"svg.hashsalt": "cortex", "svg.fonttype": "none", "font.size": 9})
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, Path] = {}
    for cores in ("one core", "all cores"):
        found = [r for name, rs in sections.items() if name.endswith(cores) for r in rs]
        tables = [t for t in found if isinstance(t, Table) and t.goal is not None and t.best]
        stem = cores.replace(" ", "-")
        if tables:
            path = folder / f"ratios-{stem}.svg"
            made[f"summary, {cores}"] = _save(_ratios(tables, cores), path)
    for name, results in sections.items():
        grids = [r for r in results if isinstance(r, Grid) and r.x is not None]
        if grids:
            stem = name.replace(", ", "-").replace(" ", "-")
            made[name] = _save(_growth(grids), folder / f"{stem}.svg")
    return made


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, metadata={"Date": None})
    return path


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _ratios(tables: Sequence[Table], cores: str) -> Any:
    """Bars: the best peer's time over ours; dots: the other peers; ticks: the goals."""
    figure = _figure(8, 0.8 + 0.42 * len(tables))
    axes = figure.subplots()
    for place, t in enumerate(reversed(tables)):
        best, own = t.best, t.rows[0].median
        if best is None or t.goal is None:
            continue
        ratio = best.median / own
        axes.barh(place, ratio, height=0.55, color=OURS if ratio >= t.goal else PEER, zorder=2)
        others = [r.median / own for r in t.peers if r is not best]
        shown = [x for x in others if x <= WIDEST]
        axes.plot(shown, [place] * len(shown), "o", ms=3.5, color=QUIET, zorder=3)
        axes.plot([t.goal] * 2, [place - 0.38, place + 0.38], color="#d9622b", lw=2, zorder=4)
    axes.set_yticks(range(len(tables)), [t.title for t in reversed(tables)], color=INK)
    axes.axvline(1, color=INK, lw=1, zorder=1)
    furthest = max(t.best.median / t.rows[0].median for t in tables if t.best is not None)
    axes.set_xlim(0, max(WIDEST, 1.05 * furthest))
    axes.set_xlabel("bar: best peer; dots: other peers; line: goal", color=QUIET)
    axes.set_title(
        f"Peers over cortex, {cores}",
        loc="left",
        fontweight="bold",
        color=INK,
    )
    _furnish(axes, "x")
    return figure


def _growth(grids: Sequence[Grid]) -> Any:
    """One panel of lines for each grid, both axes logarithmic."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    figure = _figure(4.2 * len(grids), 3.4)
    panels = figure.subplots(1, len(grids), squeeze=False)[0]
    for axes, grid in zip(panels, grids, strict=True):
        for colour, (name, values) in zip(COLOURS, grid.rows.items(), strict=False):
            points = [(x, v) for x, v in zip(grid.columns, values, strict=True) if v is not None]
            axes.plot(*zip(*points, strict=True), "o-", ms=3.5, lw=1.6, color=colour, label=name)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(list(grid.columns), [str(c) for c in grid.columns])
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.set_xlabel(grid.x, color=QUIET)
        axes.set_ylabel(grid.unit, color=QUIET)
        axes.set_title(grid.title, loc="left", fontsize=9, fontweight="bold", color=INK)
        axes.legend(frameon=False, fontsize=8)
        _furnish(axes, "both")
    return figure


def _furnish(axes: Any, grid: str) -> None:
    axes.grid(axis=grid, color=GRID, lw=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
