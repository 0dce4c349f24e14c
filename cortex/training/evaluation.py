"""`evaluate`: the loss and the accuracy of a network on data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex.compute.backend import Backend
from cortex.datasets import Dataset, as_dataset

from .columns import Columns, match

if TYPE_CHECKING:
    from cortex.network import Network

    from .session import Session


def evaluate(
    network: Network,
    data: Any,
    *,
    loss: Any = None,
    target: str | Mapping[str, str] | None = None,
    batch_size: int = 256,
    backend: str | Backend | None = None,
) -> dict[str, float]:
    """Return the mean `loss` on `data` and, where targets are labels, the `accuracy` in 0..1.

    The arguments are those of `train`. Every example counts once, the last partial batch included.
    """
    examples = as_dataset(data)
    columns = match(tuple(network.inputs), tuple(examples.columns), target)
    return _measure(network, examples, columns, loss, target, batch_size, backend, None)


def evaluate_in(session: Session, data: Dataset, batch_size: int) -> dict[str, float]:
    """Evaluate with the parameters in the memory of a running session; nothing is copied."""
    options = session.options
    return _measure(
        session.network, data, session.columns, options["loss"], options["target"], batch_size, session.backend,
        session.memory,
    )  # fmt: skip


def _measure(
    network: Network, data: Dataset, columns: Columns, loss: Any, target: Any, batch_size: int, backend: Any, memory: Any
) -> dict[str, float]:  # fmt: skip
    from cortex.executables import evaluation

    made: dict[int, Any] = {}
    total, count, right = 0.0, 0, None
    for batch in data.batches(batch_size):
        arrays = columns.arrays(batch)
        size = len(next(iter(arrays.values())))
        if size not in made:
            made[size] = evaluation(
                network,
                loss=loss,
                target=target or columns.targets[0],
                batch_size=size,
                backend=backend,
                memory=memory,
            )
            memory = made[size].memory
        executable = made[size]
        for name, array in arrays.items():
            executable.write(name, array)
        executable.run()
        total += float(executable.read("loss")) * size
        count += size
        labels = batch[columns.targets[0]]
        if len(network.outputs) == 1 and labels.dtype.kind in "iu":
            guess = np.argmax(executable.read("output"), axis=1)
            right = (right or 0) + int((guess == labels.reshape(guess.shape)).sum()) / max(
                1, guess[0].size
            )
    result = {"loss": total / max(1, count)}
    if right is not None:
        result["accuracy"] = right / max(1, count)
    return result
