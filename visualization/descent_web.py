"""A descent as one web page: a slider over the steps, path and curves, the numbers of each step."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cortex.compute.errors import DescriptionError
from cortex.records import to_json

from .descent import CURVES, PATH_COLOURS, Log, contours, length, named_logs, path_of, present

TEMPLATE = Path(__file__).with_name("descent_web.html")
SHOWN = 2000  # steps that a page can show; longer logs are thinned
GRID = 81  # points along an axis under the contours


def descent_page(
    logs: Any, path: str | Path, function: Any = None, title: str = "Descent", description: str = ""
) -> Path:
    """Write one self-contained page (HTML) and return its path; it opens without a network.

    With two parameters and a function it shows the paths over contours; otherwise the parameters as
    bars. Beside them are the curves of value, gradient and step, below them all numbers of the step
    that the slider shows. `logs` is a log, a sequence of logs, or a mapping of names to logs; logs
    of more than 2,000 records are thinned, denser at the start.

    Raises:
        DescriptionError: there are no records, or a record has no `params`.
    """
    named = named_logs(logs)
    without = [
        f"{name or 'the log'}: its records have no entry 'params'"
        for name, log in named.items()
        if "params" not in log[0]
    ]
    if without:
        raise DescriptionError("descent_page", without)
    data: dict[str, Any] = {
        "curves": {key: CURVES[key] for key in present(named)},
        "logs": [
            _log(name, log, PATH_COLOURS[i % len(PATH_COLOURS)])
            for i, (name, log) in enumerate(named.items())
        ],
        "contours": None,
    }
    if function is not None and all(path_of(log).shape[1] == 2 for log in named.values()):
        data["contours"] = _contours(named, function)
    # "<" cannot end the script early, and the text stays valid JSON
    payload = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    page = TEMPLATE.read_text(encoding="utf-8")
    for mark, text in (
        ("{{title}}", html.escape(title)),
        ("{{description}}", html.escape(description)),
        ("{{data}}", payload),
    ):
        page = page.replace(mark, text)
    path = Path(path)
    path.write_text(page, encoding="utf-8")
    return path


def _log(name: str, log: Log, colour: str) -> dict[str, Any]:
    count = len(log)
    rows = np.arange(count)
    if count > SHOWN:
        rows = np.unique(np.round((count - 1) * np.linspace(0, 1, SHOWN) ** 1.5).astype(int))
    records = [log[int(k)] for k in rows]
    reason = getattr(log, "reason", None)
    return {
        "name": name,
        "colour": colour,
        "reason": reason.value if reason is not None else "",
        "steps": [int(r.get("step", k)) for k, r in zip(rows, records, strict=True)],
        "params": [to_json(np.asarray(r["params"])) for r in records],
        "lengths": {
            key: [_length(r.get(key)) for r in records] for key in CURVES if key in log[-1]
        },
        "more": [_more(r) for r in records] if count <= SHOWN else [],
    }


def _length(entry: Any) -> Any:
    if entry is None:
        return None
    return to_json(length(entry))


def _more(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the optimiser's own numbers of a record, for vectors of at most eight."""
    known = {*CURVES, "params", "optimiser", "initial_step", "step", "reason"}
    return {
        k: to_json(np.asarray(record[k]))
        for k in record
        if k not in known
        and isinstance(record[k], (int, float, np.ndarray, np.generic))
        and np.size(record[k]) <= 8
    }


def _contours(named: Mapping[str, Log], function: Any) -> dict[str, Any]:
    c = contours(named, function, GRID)
    finite = c.values[np.isfinite(c.values)]
    most = float(finite.max()) if finite.size else 0.0
    filled = np.nan_to_num(c.values, nan=most, posinf=most, neginf=most)
    return {
        "x": [float(c.xs[0]), float(c.xs[-1])],
        "y": [float(c.ys[0]), float(c.ys[-1])],
        "count": GRID,  # values row by row, from below
        "values": [float(f"{v:.5g}") for v in filled.reshape(-1)],
        "levels": c.levels.tolist(),
    }
