"""Training: a generator of lazy records, and what runs it to the end.

| to | use | in |
|---|---|---|
| train, step by step, watching | `train` (a generator of records) | `loop` |
| train to the end | `fit` (returns a `Result`) | `fit` |
| measure | `evaluate` | `evaluation` |
| keep and resume | `save_checkpoint`, `load_checkpoint` | `checkpoint` |
"""

from __future__ import annotations

from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .evaluation import evaluate
from .fit import Result, fit
from .loop import train

__all__ = ["Checkpoint", "Result", "evaluate", "fit", "load_checkpoint", "save_checkpoint", "train"]
