"""Results: tables of times and grids of numbers, as Markdown on a page and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CODE = ("compute", "cortex", "csrc", "datasets")
OURS = "cortex"  # how the names of our rows begin
PEERS = ("numpy", "numba", "torch", "jax", "scikit-learn")


@dataclass(frozen=True)
class Timing:
    """Seconds of one piece of work, over all that was measured; `tail` is the 99th percentile of calls."""

    name: str
    median: float
    least: float
    most: float
    tail: float | None = None


@dataclass
class Table:
    """The times of one workload; the first row is what the others are compared with.

    `goal` is how many times the best peer is to take as long as the first row; `bound` the seconds that the machine
    needs at least (see `roofline`).
    """

    title: str
    unit: str  # what one piece of work is
    clock: str
    rows: list[Timing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    goal: float | None = None
    bound: float | None = None

    @property
    def peers(self) -> list[Timing]:
        """The rows of others."""
        return [r for r in self.rows[1:] if not r.name.startswith(OURS)]

    @property
    def forced(self) -> dict[str, Timing]:
        """Our further rows by instruction set ("cortex avx2")."""
        ours = (r for r in self.rows[1:] if r.name.startswith(OURS))
        return {r.name.split()[-1]: r for r in ours}

    @property
    def best(self) -> Timing | None:
        """The fastest of the others."""
        return min(self.peers, key=lambda r: r.median, default=None)

    def __str__(self) -> str:
        scale, unit = _unit(self.rows[0].median)
        tails = self.rows[0].tail is not None
        columns = [f"{unit} per {self.unit}, {self.clock}"]
        columns += ["99th percentile" if tails else "least .. most", "times ours"]
        columns += ["of the bound"] * (self.bound is not None)
        lines = []
        for r in self.rows:
            cells = [digits(scale * r.median)]
            span = f"{digits(scale * r.least)} .. {digits(scale * r.most)}"
            cells.append(digits(scale * r.tail) if r.tail is not None else span)
            cells.append(f"{r.median / self.rows[0].median:.2f}")
            cells += [f"{self.bound / r.median:.0%}"] if self.bound is not None else []
            lines.append([r.name, *cells])
        notes = [*self.notes]
        if self.goal is not None and self.best is not None:
            ratio = self.best.median / self.rows[0].median
            notes.append(
                f"Best peer: {self.best.name}, {ratio:.2f} times ours (goal {self.goal:g})."
            )
        return "\n\n".join([f"### {self.title}", markdown(["", *columns], lines), *notes])

    def to_data(self) -> dict[str, Any]:
        """Return everything as plain data, seconds throughout."""
        return {"kind": "table", **asdict(self)}


@dataclass
class Grid:
    """Numbers of one unit by row and column; with `x`, the columns are places on an axis of that name."""

    title: str
    unit: str
    columns: Sequence[Any]
    rows: dict[str, list[float | None]]
    notes: list[str] = field(default_factory=list)
    x: str | None = None

    def __str__(self) -> str:
        head = [f"{self.x}, {self.unit}" if self.x else self.unit, *map(str, self.columns)]
        lines = [[n, *("-" if v is None else digits(v) for v in r)] for n, r in self.rows.items()]
        return "\n\n".join([f"### {self.title}", markdown(head, lines), *self.notes])

    def to_data(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {"kind": "grid", **asdict(self)}


Result = Table | Grid


def _unit(seconds: float) -> tuple[float, str]:
    if seconds >= 1:
        return 1, "s"
    return (1e3, "ms") if seconds >= 1e-3 else (1e6, "us")


def digits(number: float) -> str:
    """Return three significant digits, never as a power of ten."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def summary(tables: Sequence[Table]) -> str:
    """Return one line for each table that has a goal; beside, the ratios of further instruction sets."""
    isas = list(dict.fromkeys(isa for t in tables for isa in t.forced))
    lines = []
    for t in tables:
        if t.goal is None or t.best is None:
            continue
        scale, unit = _unit(t.rows[0].median)
        ratio = t.best.median / t.rows[0].median
        times = [f"{digits(scale * s)} {unit}" for s in (t.rows[0].median, t.best.median)]
        reached = f"{t.bound / t.rows[0].median:.0%}" if t.bound else ""
        name = f"{t.best.name}, {times[1]}"
        mark = f"**{ratio:.2f}**" if ratio >= t.goal else f"{ratio:.2f}"
        line = [t.title, times[0], name, mark, f"{t.goal:g}", reached]
        slower = [t.forced.get(isa) for isa in isas]
        lines.append([*line, *(f"{t.best.median / r.median:.2f}" if r else "" for r in slower)])
    head = ["", "cortex", "best peer", "times ours", "goal", "of the bound"]
    head += [f"times ours, {isa}" for isa in isas]
    return markdown(head, lines)


def machine() -> dict[str, Any]:
    """Return what the numbers depend on: commit, processor, cores, versions."""
    from cortex import info

    found = info.collect()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "processor": found["machine"]["processor"],
        "cores": found["machine"]["cores_usable"],
        "engine": found["engine"]["name"],
        "compiler": found["engine"]["compiler"],
        "threads": found["threads"]["count"],
        "python": platform.python_version(),
        "versions": {n: _version(n) for n in PEERS},
        "load": round(os.getloadavg()[0], 1),
    }


def commit() -> str | None:
    """Return the commit of the project, "+" behind it where its code differs, or None outside a repository."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + "+" * bool(
            git("status", "--porcelain", "--", "benchmarks/*.py", *CODE)
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def surroundings(path: Path, cores: str) -> str:
    """Return what stored results depended on as a Markdown table, several values where sections differ."""
    found: dict[str, list[str]] = {}
    for name, section in json.loads(path.read_text("utf-8"))["sections"].items():
        if name.endswith(cores):
            flat = {**section["machine"], **section["machine"]["versions"]}
            for key, value in flat.items():
                if value is not None and key != "versions":
                    found.setdefault(key, []).append(str(value))
    rows = []
    for key, values in found.items():
        numbers = all(v.replace(".", "", 1).isdigit() for v in values)
        different = sorted(set(values), key=float if numbers else str)
        spread = [different[0], different[-1]] if numbers and len(different) > 2 else different
        rows.append([key, (" .. " if numbers else ", ").join(spread)])
    return markdown([cores, ""], rows)


def fill(page: Path, name: str, text: str) -> None:
    """Put `text` between the markers of that name on a page.

    Raises:
        SystemExit: the page has no such markers.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = page.read_text("utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page}: expected the markers {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", "utf-8")


def store(path: Path, section: str, results: Sequence[Result], about: dict[str, Any]) -> None:
    """Put the results of one section into a JSON file; other sections stay as they are."""
    data = json.loads(path.read_text("utf-8")) if path.exists() else {"sections": {}}
    data["sections"][section] = {"machine": about, "results": [r.to_data() for r in results]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", "utf-8")


def load(path: Path) -> dict[str, list[Result]]:
    """Return the results of a JSON file by section."""
    found: dict[str, list[Result]] = {}
    for name, section in json.loads(path.read_text("utf-8"))["sections"].items():
        made = []
        for data in section["results"]:
            kind = data.pop("kind")
            if kind == "table":
                data["rows"] = [Timing(**r) for r in data["rows"]]
            made.append(Table(**data) if kind == "table" else Grid(**data))
        found[name] = made
    return found
