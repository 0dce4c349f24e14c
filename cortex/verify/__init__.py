"""The suite that proves that networks learn on a backend; shipped with the package.

`cortex.compute.verify` proves what `cortex.compute` is made of; this adds, through the same kind of
`Check`, what it may not import: layers, losses, optimisers, training to an accuracy.

    from cortex import verify

    results = verify.run("cpu", quick=True)  # both suites
    failed = [r for r in results if not r.passed]

| module | what it checks |
|---|---|
| `rows`, `layers` | every layer: as data, shapes, numbers, gradients, a step of training |
| `layer_goldens`, `dropout` | historical values of layers; what dropout does to sums |
| `losses`, `loss_goldens` | every loss: as data, numbers, gradients, missing targets |
| `optimisers`, `optimiser_goldens` | every optimiser, traced against eager; historical logs |
| `fits` | small problems: XOR, corn yields, toy fits, autoencoder, credit default |
| `batches` | every example counts once, whatever the size of the last batch |
| `runs` | equal bits from equal seeds, resuming, saving, the state of the optimiser |
| `treatment` | frozen parts, learning-rate factors, norms, penalties, clipping |
| `plan` | exact bytes, as announced; no allocation in a second run |
| `digits` | MNIST: a few hundred, and all of it (tag "slow": minutes) |

To cover a new layer, loss or optimiser, add a row to its table; for one of your own, make the checks
with `layers.checks_of`, `losses.checks_of` or `optimisers.checks_of`. To check anything else, write a
function of a backend under `@checking(CHECKS, "group/what")`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from cortex.compute import verify as compute
from cortex.compute.backend import Backend
from cortex.compute.verify import Check, Mismatch, Result, checking, select

__all__ = ["Check", "Mismatch", "Result", "checking", "checks", "run"]

# Where the checks are: each module holds a list `CHECKS`.
MODULES = (
    "layers",
    "layer_goldens",
    "dropout",
    "losses",
    "loss_goldens",
    "optimisers",
    "optimiser_goldens",
    "batches",
    "treatment",
    "plan",
    "runs",
    "fits",
    "digits",
)


def checks(quick: bool = False, filter: str | None = None) -> list[Check]:
    """Return the checks of networks: all or the quick ones, whose name contains `filter`.

    Raises:
        ValueError: no name contains the filter; the message names the nearest group.
    """
    found = [c for name in MODULES for c in import_module(f"{__name__}.{name}").CHECKS]
    return select(found, quick, filter)


def run(
    backend: str | Backend,
    quick: bool = False,
    filter: str | None = None,
    progress: Callable[[Result, int, int], None] | None = None,
) -> list[Result]:
    """Run the checks of `cortex.compute` and those of networks, and return a result for each.

    The arguments are those of `cortex.compute.verify.run`; a failure does not stop the rest.

    Raises:
        BackendError: the backend is unknown or does not work here.
        ValueError: no check's name contains `filter`.
    """
    return compute.run(backend, quick, filter, [*compute.checks(), *checks()], progress)
