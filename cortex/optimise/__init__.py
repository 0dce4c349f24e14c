"""Optimisation: optimisers, schedules and constraints, for vectors and for networks alike.

| module | what it has |
|---|---|
| `optimisers` | Sgd, Adagrad, Adadelta, RmsProp, Adam, AdamW, AmsGrad, Nadam, Lion; also reached as `cortex.optimise.Adam` |
| `schedules` | hyper-parameters that change with the step |
| `constraints` | max-norm, bounds, clipping of gradients |
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
