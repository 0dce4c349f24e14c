"""L-BFGS and conjugate gradients against SciPy's L-BFGS-B, on the problems of Moré, Garbow and Hillstrom.

    python -P benchmarks/minimisers.py [--markdown]
    python -P benchmarks/minimisers.py --overhead

For each problem: how many values of the function each method computes, from the standard start, until one of them is
as low as the target. The target is a known local minimum f*, the one nearest to SciPy's result: f* (1 + 1e-6), or 1e-8
where f* is 0. So what counts is the way, not the test at its end; all methods run far beyond it, SciPy with tolerances
of 1e-20. Each value comes with a gradient, or without one in a trial that is refused. "-": the target was never
reached in 5,000 values.

`--overhead` measures instead what a record costs: microseconds of a step of SGD for four parameters, bare and in
`descent.steps` without observers.
"""

from __future__ import annotations

import sys
import timeit
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from cortex.optimise import ConjugateGradients, LBfgs, Sgd, descent
from cortex.optimise.functions import Problem, Vector, classics, de_jong

LIMIT = 5000  # values of the function
METHODS = {"L-BFGS": LBfgs(), "CG": ConjugateGradients()}


@dataclass
class Watched:
    """A problem that remembers every value computed."""

    problem: Problem
    values: list[float] = field(default_factory=list)

    def value(self, params: Vector) -> float:
        """Return the value."""
        self.values.append(self.problem.value(params))
        return self.values[-1]

    def gradient(self, params: Vector) -> Vector:
        """Return the gradient."""
        return self.problem.gradient(params)


@dataclass(frozen=True)
class Row:
    """One problem: the target, and the values computed by SciPy and by each of ours until it was reached."""

    problem: Problem
    minimum: float
    scipy: int | None
    ours: dict[str, int | None]
    lowest: dict[str, float]


def scipy_values(problem: Problem) -> list[float]:
    """Return the values that SciPy's L-BFGS-B computes, in order."""
    from scipy.optimize import minimize

    watched = Watched(problem)
    options = {"maxiter": LIMIT, "maxfun": LIMIT, "ftol": 1e-20, "gtol": 1e-12, "maxcor": 10}
    with np.errstate(all="ignore"):
        minimize(
            watched.value,
            np.array(problem.start),
            jac=watched.gradient,
            method="L-BFGS-B",
            options=options,
        )
    return watched.values


def our_values(problem: Problem, solver: Any) -> list[float]:
    """Return the values that one of our solvers computes, in order."""
    watched = Watched(problem)
    with np.errstate(all="ignore"):
        descent.study(watched, solver, problem.start, lambda r: len(watched.values) >= LIMIT)
    return watched.values


def reached(values: Sequence[float], target: float) -> int | None:
    """Return how many values were computed until one was as low as the target."""
    found = np.flatnonzero(np.array(values) <= target)
    return int(found[0]) + 1 if len(found) else None


def compare(problem: Problem) -> Row:
    """Run every method on one problem."""
    theirs = scipy_values(problem)
    ours = {name: our_values(problem, solver) for name, solver in METHODS.items()}
    lowest = min(theirs)
    near = min(problem.minima, key=lambda f: abs(f - lowest))
    # the paper prints six digits: where a run ends at that minimum, it knows it better
    ends = [min(v) for v in (theirs, *ours.values()) if abs(min(v) - near) <= 1e-5 * near]
    minimum = min(ends, default=near) if near else 0.0
    target = minimum * (1 + 1e-6) if minimum else 1e-8
    found = {name: reached(values, target) for name, values in ours.items()}
    return Row(
        problem, minimum, reached(theirs, target), found, {n: min(v) for n, v in ours.items()}
    )


def ratios(rows: Sequence[Row], method: str) -> list[float]:
    """Return our values over SciPy's on the problems that SciPy solves; infinite where we do not."""
    return [(row.ours[method] or np.inf) / row.scipy for row in rows if row.scipy]


def overhead(count: int = 20_000, times: int = 7) -> tuple[float, float]:
    """Return microseconds per step of the bare arithmetic, and of `descent.steps`."""
    start, sgd = np.array([1.0, 2.0, 3.0, 4.0]), Sgd(1e-3)

    def bare() -> None:
        params, state = start, sgd.initialise(4)
        for _ in range(count):
            params, state = sgd.update(state, params, de_jong.gradient(params))

    def watched() -> None:
        for _ in islice(descent.steps(de_jong, sgd, start), count + 1):
            pass

    least = [min(timeit.repeat(run, number=1, repeat=times)) for run in (bare, watched)]
    return least[0] / count * 1e6, least[1] / count * 1e6


def main(arguments: Sequence[str]) -> None:
    """Print the table and the medians."""
    if "--overhead" in arguments:
        bare, watched = overhead()
        print(
            f"bare {bare:.2f}, steps {watched:.2f}, difference {watched - bare:.2f} microseconds a step"
        )
        return
    import scipy

    rows = [compare(problem) for problem in classics().values()]
    line = (
        "| {:27} | {:>2} | {:>12} | {:>6} | {:>6} | {:>6} |"
        if "--markdown" in arguments
        else "{:27} {:>2} {:>12} {:>6} {:>6} {:>6}"
    )
    print(line.format("problem", "n", "f*", "SciPy", *METHODS))
    if "--markdown" in arguments:
        print("|---|---|---|---|---|---|")
    for row in rows:
        counts = [c or "-" for c in (row.scipy, *row.ours.values())]
        print(line.format(row.problem.name, len(row.problem.start), f"{row.minimum:.6g}", *counts))
    print(
        f"\nSciPy {scipy.__version__}; {sum(r.scipy is not None for r in rows)} of {len(rows)} problems solved by it"
    )
    for method in METHODS:
        found = np.array(ratios(rows, method))
        print(
            f"{method}: solves {int(np.isfinite(found).sum())} of these, and "
            f"{sum(r.ours[method] is not None for r in rows)} in all; values over SciPy's: median "
            f"{np.median(found):.2f}, worst {found.max():.2f}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
