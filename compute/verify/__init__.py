"""The suite that proves a backend: plain functions of a backend, shipped with the package.

`run("numpy")` runs every check of `cortex.compute` and returns a `Result` for each; `checks()` gives
the checks themselves, for a test file of one's own. `docs/verification.md` shows both.

| module | what it checks |
|---|---|
| `operations`, `cases/`, `oracles` | every op against plain loops, its gradient, its decomposition |
| `golden_operations`, `golden/` | published and historical values |
| `scanning` | `Scan` against the unrolled program |
| `randomness` | Philox known answers, masks, moments |
| `updates` | states whose update reads what it overwrites |
| `memory` | state, views, aliasing, sharing by name |
| `host` | writing and reading, and the messages of their errors |
| `determinism` | bit-equal runs, whatever the number of threads |
| `report` | exact bytes, a provider for each step |
| `programs` | random programs and training steps against the reference |

To cover a new op, add a row to a table in `cases/`; to check anything else, write a function of a
backend under `@checking(CHECKS, "group/what")`. Other packages build their own `Check`s the same way
and pass them to `run(backend, checks=...)`.
"""

from __future__ import annotations

from .check import Check, Mismatch, Result, checking, checks, run, select
from .compare import close, equal, execute, outputs, raises, within
from .gradient import check_gradient

__all__ = [
    "Check", "Mismatch", "Result", "check_gradient", "checking", "checks", "close", "equal",
    "execute", "outputs", "raises", "run", "select", "within",
]  # fmt: skip
