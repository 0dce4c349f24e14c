"""How loss and accuracy developed over a training run."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex.compute.errors import DescriptionError

from .style import INK, QUIET, TEST, TRAINING, furnish, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]
Point = tuple[float, float]
LOSSES, SHARES = ("loss", "test_loss"), ("accuracy", "test_accuracy")
NAMES = {"loss": "training", "accuracy": "training", "test_loss": "test", "test_accuracy": "test"}


def training_curves(history: Rows | str | Path, title: str = "") -> Figure:
    """Return loss and, where it was measured, accuracy against epochs; the best test value is marked.

    `history` are records or rows with the entries `epoch`, `batch`, `batches`, `loss`, ... (such as
    `Result.history` or `History().rows`), or the path of a log (.csv or .jsonl) that
    `cortex.observers.LogFile` wrote. Training values of a row are means over its epoch so far; drawn
    are means over tenths of an epoch. The axis of the loss is logarithmic where it spans more than a
    factor of 20; the axis of the accuracy begins a little below the least test accuracy.

    Raises:
        DescriptionError: there are no rows, no row has a loss, or the file is no log.
    """
    rows = _read(Path(history)) if isinstance(history, (str, Path)) else list(history)
    if not any(_number(row.get("loss")) is not None for row in rows):
        raise DescriptionError(
            "training_curves",
            [f"expected rows with the entry 'loss', given {len(rows)} without it"],
        )
    shares = any(key in row for row in rows for key in SHARES)
    figure = new_figure(9.2 if shares else 5.6, 3.6)
    panels = figure.subplots(1, 2 if shares else 1, squeeze=False)[0]
    _losses(panels[0], rows)
    if shares:
        _accuracies(panels[1], rows)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=INK)
    return figure


def _losses(axes: Axes, rows: Rows) -> None:
    found = {key: points(smoothed(rows, key) if key == "loss" else rows, key) for key in LOSSES}
    furnish(axes, "Loss", "epoch")
    for key, line in found.items():
        _draw(axes, key, line)
    heights = [y for line in found.values() for _, y in line if y > 0]
    if heights and max(heights) > 20 * min(heights):
        axes.set_yscale("log")
        _round_ticks(axes)
    elif heights:
        axes.set_ylim(bottom=0)
    _finish(axes, found, best=min)


def _round_ticks(axes: Axes) -> None:
    """Label a logarithmic axis with plain numbers at 1, 2 and 5 times the powers of ten."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.4g}")


def _accuracies(axes: Axes, rows: Rows) -> None:
    found = {key: points(smoothed(rows, key) if key == "accuracy" else rows, key) for key in SHARES}
    furnish(axes, "Accuracy", "epoch")
    for key, line in found.items():
        _draw(axes, key, line)
    if found["test_accuracy"]:  # the first tenths of training would press everything else together
        least = min(y for _, y in found["test_accuracy"])
        most = max(y for line in found.values() for _, y in line)
        low = max(0.0, 1 - 1.6 * (1 - least))
        axes.set_ylim(low, most + 0.06 * (most - low + 1e-9))
    axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.4g} %")
    _finish(axes, found, best=max, percent=True)


def _draw(axes: Axes, key: str, line: list[Point]) -> None:
    if not line:
        return
    test = key.startswith("test")
    xs, ys = zip(*line, strict=True)
    few = len(line) <= 40
    axes.plot(
        xs, ys, color=TEST if test else TRAINING, linewidth=1.8, marker="o" if few else None,
        markersize=4 if test else 2.5, label=NAMES[key], zorder=3 if test else 2,
    )  # fmt: skip


def _finish(axes: Axes, found: Mapping[str, list[Point]], best: Any, percent: bool = False) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    low, high = axes.get_xlim()
    ticks = [t for t in axes.get_xticks() if low <= t <= high]
    axes.set_xlim(low, high + 0.16 * (high - low))  # room for the labels at the ends of the lines
    axes.set_xticks(ticks)
    ends: list[float] = []
    for key, line in sorted(found.items(), reverse=True):  # "test_..." first: it keeps its place
        if not line:
            continue
        x, y = line[-1]
        height = axes.transData.transform((x, y))[1]
        shift = 0.0
        while any(abs(height + shift - other) < 14 for other in ends):
            shift += 4.0
        ends.append(height + shift)
        axes.annotate(
            NAMES[key], (x, y), xytext=(7, shift * 72 / axes.figure.dpi), va="center", fontsize=9,
            textcoords="offset points", color=TEST if key.startswith("test") else "#5d84b0",
        )  # fmt: skip
    tested = next((line for key, line in found.items() if key.startswith("test") and line), None)
    if tested:
        x, y = best(tested, key=lambda point: point[1])
        shown = f"{100 * y:.2f} %" if percent else f"{y:.4g}"
        axes.plot([x], [y], "o", markersize=9, markerfacecolor="none", markeredgecolor=TEST)
        axes.set_title(f"best {shown}, epoch {x:g}", loc="right", fontsize=9, color=QUIET, pad=10)


def points(rows: Rows, key: str) -> list[Point]:
    """Return (epochs done, value) for each row with a finite value; parts of an epoch count as such."""
    found = []
    for row in rows:
        value = _number(row.get(key))
        epoch, batch, batches = (_number(row.get(k)) for k in ("epoch", "batch", "batches"))
        if value is None or epoch is None:
            continue
        part = 0.0
        if batch and batches and str(row.get("epoch_complete")) not in ("True", "1"):
            part = batch / batches
        found.append((epoch + part, value))
    return found


def smoothed(rows: Rows, key: str, parts: int = 10) -> list[dict[str, Any]]:
    """Return rows with the mean of `key` over a tenth of an epoch in place of that over the epoch so far.

    The last row of a tenth stands for it. Of logs without batches every row stays as it is.
    """
    found: list[dict[str, Any]] = []
    done, total, part = 0.0, 0.0, 0  # what is counted of this epoch: batches, sum, tenths
    for row in rows:
        batch, batches, mean = (_number(row.get(k)) for k in ("batch", "batches", key))
        if batch is None or not batches or mean is None:
            found.append(dict(row))
            continue
        if batch <= done:  # a new epoch
            done, total, part = 0.0, 0.0, 0
        if int(parts * batch / batches) > part or batch == batches:
            found.append({**row, key: max(0.0, (mean * batch - total) / (batch - done))})
            done, total, part = batch, mean * batch, int(parts * batch / batches)
    return found


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return _parse(path, file)
    except OSError as error:
        problem = f"cannot read {path}: {error.strerror or error}"
        raise DescriptionError("training_curves", [problem]) from error
    except ValueError as error:
        problem = f"{path} is no log of records: {error}"
        raise DescriptionError("training_curves", [problem]) from error


def _parse(path: Path, lines: Iterable[str]) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        return list(csv.DictReader(lines))
    if path.suffix == ".jsonl":
        return [dict(json.loads(line)) for line in lines if line.strip()]
    raise ValueError("its name must end in .csv or .jsonl")
