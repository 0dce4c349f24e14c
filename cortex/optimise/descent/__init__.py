"""Gradient descent that can be watched: every step is a record, and nothing in it is computed unread.

    from cortex.optimise import Adam, descent, functions

    descent.study(
        functions.axis_parallel_hyper_ellipsoid, Adam(), [1, 2, 3, 4],
        descent.term(out=[descent.limit_gradient(1e-10)]),
    )

| to | use |
|---|---|
| go through the steps yourself | `steps` |
| run to an end: result, only the reason, all records | `study`, `do_study`, `log` |
| put a stopping rule together, with output | `term` and its transforms |
| watch logs again, or side by side | `review` |
| count the work | `run_test`, `run_tests`, `profile` |
| choose each step by hand | `interactive` |
| keep logs | `cortex.optimise.logs` |
"""

from __future__ import annotations

from .interactive import interactive
from .point import Point
from .rules import (
    count_steps,
    limit_evaluations,
    limit_gradient,
    limit_params,
    limit_steps,
    limit_time,
    limit_value,
    not_finite,
    output,
    outputf,
    pause,
    plateau,
    skip_initial,
    slow_steps,
    stagger,
    stdout,
)
from .steps import Running, steps
from .study import Result, do_study, log, study
from .term import review, term
from .testing import Profile, Test, profile, run_test, run_tests

__all__ = [
    "Point", "Profile", "Result", "Running", "Test", "count_steps", "do_study", "interactive",
    "limit_evaluations", "limit_gradient", "limit_params", "limit_steps", "limit_time",
    "limit_value", "log", "not_finite", "output", "outputf", "pause", "plateau", "profile",
    "review", "run_test", "run_tests", "skip_initial", "slow_steps", "stagger", "stdout", "steps",
    "study", "term",
]  # fmt: skip
