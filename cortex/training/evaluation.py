"""`evaluate`: the loss and the accuracy of a network on data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex.compute.backend import Backend
from cortex.compute.group import Group
from cortex.compute.registry import get_backend
from cortex.datasets import Dataset, as_dataset
from cortex.distributed import agreed, ending_together, group_of

from .columns import WEIGHT, match, objective
from .session import Session

if TYPE_CHECKING:
    from cortex.network import Network

BATCH = 256  # large enough for full speed, small enough to stay in the caches


def evaluate(
    network: Network,
    data: Any,
    *,
    loss: Any = None,
    target: str | Mapping[str, str] | None = None,
    batch_size: int = BATCH,
    backend: str | Backend | None = None,
    distributed: bool | Group = False,
) -> dict[str, float]:
    """Return the mean `loss` on `data` and, where targets are labels, the `accuracy` in 0..1.

    The arguments are those of `train`. Every example counts once, the last partial batch included. Processes that
    evaluate together (`distributed`) share out each batch, and all return the same.
    """
    from cortex.optimise import Sgd

    group = group_of(distributed)
    with agreed(group):
        examples = as_dataset(data)
        columns = match(tuple(network.inputs), tuple(examples.columns), target)
        aim = objective(network, examples, columns, loss, target)
    session = Session(
        network, columns, aim, Sgd(), batch_size, 0, get_backend(backend), group=group
    )
    with ending_together(group):
        return evaluate_in(session, examples, batch_size)


def evaluate_in(session: Session, data: Dataset, batch_size: int = BATCH) -> dict[str, float]:
    """Evaluate with the parameters in the memory of a session; nothing is copied."""
    loss, right, weight = 0.0, 0.0, 0.0
    for size, batch in session.shares(data, batch_size):
        arrays = session.columns.arrays(batch)
        judge = session.judge(size)
        for name, array in arrays.items():
            judge.write(name, array)
        judge.run()
        counts = np.array(arrays[WEIGHT].sum(dtype=np.float64) if WEIGHT in arrays else size, float)
        if session.group is not None and WEIGHT in arrays:
            session.group.all_reduce(counts)
        loss += float(judge.read("loss")) * float(counts)
        weight += float(counts)
        if session.objective.counts_labels:
            right += float(judge.read("metric.correct"))
    found = {"loss": loss / weight if weight else float("nan")}
    if session.objective.counts_labels:
        found["accuracy"] = right / max(1, len(data))
    return found
