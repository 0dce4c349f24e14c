"""Optimisation: optimisers, schedules and constraints, for vectors and for networks alike.

| module | what it has |
|---|---|
| `optimisers` | Sgd, Adagrad, Adadelta, RmsProp, Adam and its relatives; also reached as `cortex.optimise.Adam` |
| `descent` | a function studied step by step: `study`, `log`, `term`, `interactive`, ... |
| `functions` | what a function is; test functions; checks of gradients |
| `logs` | records of descents and of training as files |
| `schedules` | hyper-parameters that change with the step |
| `line_search` | how far to go in a direction: backtracking, strong Wolfe |
| `constraints` | max-norm, bounds, projections, clipping of gradients |
| `trace` | an optimiser as one fused, compiled pass |
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from . import optimisers, schedules
from .optimisers import (
    OPTIMISERS,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AmsGrad,
    ConjugateGradients,
    LBfgs,
    Lion,
    Nadam,
    NewtonSecant,
    RmsProp,
    Sgd,
)

# loaded on first use: training needs none of them
_MODULES = ("constraints", "descent", "functions", "line_search", "logs", "trace")

__all__ = [
    "OPTIMISERS", "Adadelta", "Adagrad", "Adam", "AdamW", "AmsGrad", "ConjugateGradients", "LBfgs", "Lion",
    "Nadam", "NewtonSecant", "RmsProp", "Sgd", "optimisers", "schedules", *_MODULES,
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
