"""Comparisons with stated tolerances, and one-call compilation of small programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..backend import Backend, Executable
from ..program import Program
from .check import Mismatch

# Relative to |wanted| + the largest |wanted|, because a sum of terms of both signs is only as exact
# as its terms are. float32 has a rounding error of 6e-8: sums of up to 1000 terms in any order, then
# an exp or a division, stay below 1e-5 on random data (NumPy itself reaches 2e-6). float64 likewise.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def close(
    what: str,
    got: Any,
    wanted: Any,
    tolerance: float | None = None,
    *,
    factor: float = 1.0,
    floor: float = 0.0,
) -> None:
    """Raise `Mismatch` unless `got` is `wanted` within the tolerance of got's dtype times `factor`.

    NaN equals NaN and an infinity itself. Integers and truth values must be equal. `floor` is the
    least size that wanted values count for, where terms cancel to nothing.
    """
    a, b = np.asarray(got), np.asarray(wanted)
    if a.shape != b.shape:
        raise Mismatch(f"{what}: expected shape {b.shape}, got {a.shape}")
    if a.dtype.kind != "f" and tolerance is None:
        equal(what, a, b)
        return
    limit = (TOLERANCE[a.dtype.name] if tolerance is None else tolerance) * factor
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        finite = np.abs(y[np.isfinite(y)])
        scale = np.abs(y) + max(finite.max() if finite.size else 0, floor)
        wrong = ~(same | (np.abs(x - y) <= limit * scale))
    if wrong.any():
        _raise(what, a, b, wrong, f"tolerance {limit:.1e} of |wanted| + max|wanted|")


def within(what: str, got: Any, wanted: Any, absolute: float) -> None:
    """Raise `Mismatch` unless every |got - wanted| is at most `absolute`: how goldens state theirs."""
    a, b = np.asarray(got, np.float64), np.asarray(wanted, np.float64)
    if a.shape != b.shape:
        raise Mismatch(f"{what}: expected shape {b.shape}, got {a.shape}")
    wrong = ~(np.abs(a - b) <= absolute)
    if wrong.any():
        _raise(what, a, b, wrong, f"absolute tolerance {absolute:.1e}")


def equal(what: str, got: Any, wanted: Any) -> None:
    """Raise `Mismatch` unless shapes and every element are equal; NaN equals NaN."""
    a, b = np.asarray(got), np.asarray(wanted)
    if a.shape != b.shape:
        raise Mismatch(f"{what}: expected shape {b.shape}, got {a.shape}")
    both_nan = (a != a) & (b != b)
    wrong = ~((a == b) | both_nan)
    if wrong.any():
        _raise(what, a, b, wrong, "they must be equal")


def _raise(what: str, a: np.ndarray, b: np.ndarray, wrong: np.ndarray, rule: str) -> None:
    lines = [f"{what}: {wrong.sum()} of {wrong.size} elements of {a.dtype}{list(a.shape)} differ"]
    for position in np.argwhere(wrong)[:5]:
        at = tuple(int(i) for i in position)
        lines.append(f"  at {at}: got {a[at]!r}, wanted {b[at]!r}")
    raise Mismatch("\n".join([*lines, f"  ({rule})"]))


def execute(
    backend: Backend, program: Program, inputs: Mapping[str, Any], runs: int = 1
) -> Executable:
    """Compile a program, write `inputs`, run it `runs` times and return the executable."""
    executable = backend.compile(program)
    for name, array in inputs.items():
        executable.write(name, array)
    for _ in range(runs):
        executable.run()
    return executable


def outputs(
    backend: Backend, program: Program, inputs: Mapping[str, Any], runs: int = 1
) -> dict[str, np.ndarray]:
    """Compile and run a program; return its outputs and the state it leaves, by name."""
    executable = execute(backend, program, inputs, runs)
    return {name: executable.read(name) for name in (*program.outputs, *program.state)}


def raises(what: str, kind: type[Exception], function: Any, *parts: str) -> None:
    """Raise `Mismatch` unless `function()` raises `kind` with every one of `parts` in its message."""
    try:
        function()
    except kind as error:
        lacks = [p for p in parts if p not in str(error)]
        if lacks:
            raise Mismatch(f"{what}: the message lacks {lacks}: {error}") from error
        return
    raise Mismatch(f"{what}: expected {kind.__name__}, but nothing was raised")
