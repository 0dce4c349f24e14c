"""Which column of a data set goes where: inputs by name, targets, weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cortex.compute.errors import DescriptionError, near
from cortex.compute.spec import Spec
from cortex.datasets import Dataset

if TYPE_CHECKING:
    from cortex.network import Network

    from .session import Objective

TARGETS = ("label", "target", "y")
WEIGHT = "sample_weight"


@dataclass(frozen=True)
class Columns:
    """Network inputs and target columns by the names they have in the data set."""

    inputs: Mapping[str, str]
    targets: tuple[str, ...]
    weight: str | None = None

    def arrays(self, batch: Mapping[str, Any], training: bool = True) -> dict[str, Any]:
        """Return what to write into an executable for one batch."""
        wanted = {name: batch[column] for name, column in self.inputs.items()}
        if training:
            wanted |= {t: batch[t] for t in self.targets}
            if self.weight is not None:
                wanted[WEIGHT] = batch[self.weight]
        return wanted


def match(
    inputs: tuple[str, ...],
    columns: tuple[str, ...],
    target: str | Mapping[str, str] | None = None,
    needs_target: bool = True,
) -> Columns:
    """Find the columns of a network's inputs and targets.

    An input takes the column of its name; a single input takes the single column that is left. The target defaults
    to the column `label`, `target` or `y`.

    Raises:
        DescriptionError: a column is missing or the choice is not clear; all problems at once.
    """
    problems = []
    if target is None:
        found = [c for c in TARGETS if c in columns]
        targets = tuple(found[:1])
        if needs_target and not targets:
            problems.append(
                f"no target: expected a column named {', '.join(TARGETS)} or the argument `target`"
            )
    else:
        targets = (target,) if isinstance(target, str) else tuple(dict.fromkeys(target.values()))
        problems += [
            f"target column {t!r} is missing{near(t, columns)}" for t in targets if t not in columns
        ]
    weight = WEIGHT if WEIGHT in columns else None
    chosen = {name: name for name in inputs if name in columns}
    missing = [name for name in inputs if name not in chosen]
    left = [
        c
        for c in columns
        if c not in targets and c != weight and c not in chosen and c not in TARGETS
    ]
    if len(missing) == 1 and len(left) == 1:
        chosen[missing[0]] = left[0]
    else:
        problems += [f"input {name!r} has no column{near(name, columns)}" for name in missing]
    if problems:
        raise DescriptionError(f"data with columns {', '.join(columns)}", problems)
    return Columns({name: chosen[name] for name in inputs}, targets, weight)


def objective(
    network: Network,
    data: Dataset,
    columns: Columns,
    loss: Any,
    target: str | Mapping[str, str] | None,
) -> Objective:
    """Return what a network is trained for on these data.

    Without a loss, an output whose target column holds integer labels gets the softmax cross-entropy, also where it
    does not end in a softmax: it then gives logits. Other outputs get what `training_step` chooses.
    """
    from cortex.losses import MeanSquaredError, SoftmaxCrossEntropy
    from cortex.objectives import default_loss

    from .session import Objective

    aim = dict(target) if isinstance(target, Mapping) else columns.targets[0]
    held = {c: data.columns[c] for c in columns.targets}
    labels = {
        c: Spec(h.shape, h.dtype.name if h.dtype.name in ("uint8", "int32", "int64") else "int32")
        for c, h in held.items()
        if h.dtype.kind in "iu"
    }
    column_of = {o: aim[o] if isinstance(aim, dict) and o in aim else aim for o in network.outputs}

    def is_classes(output: str) -> bool:
        column = column_of[output]
        shape = network.specs[output].shape
        several = bool(shape) and shape[0] > 1
        return (
            isinstance(column, str)
            and column in labels
            and several
            and labels[column].shape == shape[1:]
        )

    def is_number(
        output: str,
    ) -> bool:  # a target like the output, but for extents of 1: [] against [1]
        column, shape = column_of[output], network.specs[output].shape
        return isinstance(column, str) and [n for n in held[column].shape if n != 1] == [
            n for n in shape if n != 1
        ]

    if loss is None:
        plain = {o: default_loss(network, o) for o in network.outputs}
        loss = {
            o: SoftmaxCrossEntropy() if isinstance(x, MeanSquaredError) and is_classes(o) else x
            for o, x in plain.items()
        }
    single = len(network.outputs) == 1
    known = {
        c: s
        for c, s in labels.items()
        if any(is_classes(o) for o in network.outputs if column_of[o] == c)
    }
    known |= {
        c: Spec(h.shape, network.dtype)
        for c, h in held.items()
        if c not in known and any(is_number(o) for o in network.outputs if column_of[o] == c)
    }
    return Objective(loss, aim, known, single and is_classes(network.outputs[0]))
