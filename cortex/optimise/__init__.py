"""Optimisation: optimisers, schedules and constraints, for vectors and for networks alike.

| module | what it has |
|---|---|
| `optimisers` | Sgd, Adagrad, Adadelta, RmsProp, Adam, AdamW, AmsGrad, Nadam, Lion |
| `schedules` | hyper-parameters that change with the step |
| `constraints` | max-norm, bounds, clipping of gradients |
| `trace` | an optimiser as one fused, compiled pass |
"""

from __future__ import annotations

from . import constraints, optimisers, schedules, trace

__all__ = ["constraints", "optimisers", "schedules", "trace"]
