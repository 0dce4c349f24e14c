"""Optimisation: optimisers, schedules and constraints, for vectors and for networks alike.

| module | what it has |
|---|---|
| `optimisers` | Sgd, Adagrad, Adadelta, RmsProp, Adam and its relatives; also reached as `cortex.optimise.Adam` |
| `descent` | a function studied step by step: `study`, `log`, `term`, `interactive`, ... |
| `functions` | what a function is; test functions; checks of gradients |
| `logs` | records of descents and of training as files |
| `schedules` | hyper-parameters that change with the step |
| `constraints` | max-norm, bounds, projections, clipping of gradients |
| `trace` | an optimiser as one fused, compiled pass |
"""

from __future__ import annotations

from . import optimisers, schedules
from .optimisers import (
    OPTIMISERS,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AmsGrad,
    Lion,
    Nadam,
    RmsProp,
    Sgd,
)

__all__ = [
    "OPTIMISERS", "Adadelta", "Adagrad", "Adam", "AdamW", "AmsGrad", "Lion", "Nadam", "RmsProp", "Sgd", "optimisers",
    "schedules",
]  # fmt: skip
