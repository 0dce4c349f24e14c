"""What a network is trained for: which loss each output has, its weight, and the column that holds its targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex.build import Build
from cortex.compute.errors import ShapeError, near
from cortex.compute.program import Program
from cortex.compute.spec import Spec
from cortex.datasets import Column
from cortex.layers import LogSoftmax, Sequence, Softmax
from cortex.losses import (
    CategoricalCrossEntropy,
    CentreLoss,
    MeanSquaredError,
    NegativeLogLikelihood,
    SoftmaxCrossEntropy,
)
from cortex.network.references import parse
from cortex.protocols import Loss
from cortex.tracing import SAMPLE_WEIGHT, Objective

if TYPE_CHECKING:
    from cortex.network import Network

LossOf = Loss | Mapping[str, Loss | tuple[Loss, float]] | None
TargetOf = str | Mapping[str, str]
Columns = Mapping[str, Spec | Column] | None
OF_LABELS = (CategoricalCrossEntropy, CentreLoss, NegativeLogLikelihood, SoftmaxCrossEntropy)


def objectives(
    network: Network,
    loss: LossOf,
    target: TargetOf,
    columns: Columns,
    problems: list[str],
) -> list[Objective]:
    """Return the loss, weight and target of each output that has one; what is wrong is added to `problems`."""
    found = []
    for output, (one, weight) in _losses(network, loss, problems).items():
        column = _column(output, target, problems)
        if column in network.inputs or column == SAMPLE_WEIGHT:
            problems.append(
                f"target: {column!r} is an input of the network; targets have a column of their own"
            )
            continue
        given: Any = (columns or {}).get(column)
        spec = (
            Spec(tuple(given.shape), np.dtype(given.dtype).name)
            if given
            else target_spec(network, output, one)
        )
        found.append(Objective(output, one, weight, column, spec))
    known: dict[str, Spec] = {}
    for o in found:
        if known.setdefault(o.column, o.target) != o.target:
            problems.append(
                f"target: {o.column!r} would have to hold {known[o.column]} and, for {o.output}, {o.target}; "
                "say which by columns={name: spec}"
            )
    return found


def default_loss(network: Network, output: str) -> Loss:
    """Return the loss of an output by its layer: the cross-entropy of a softmax, else the mean squared error."""
    layer: Any = network[parse(output).node].layer
    while isinstance(layer, Sequence):
        layer = layer.layers[-1]
    if isinstance(layer, Softmax):
        return CategoricalCrossEntropy()
    return NegativeLogLikelihood() if isinstance(layer, LogSoftmax) else MeanSquaredError()


def target_spec(network: Network, output: str, loss: Loss) -> Spec:
    """Return the spec of one example's target where the data do not say: labels (int32), or like the output.

    A loss of another kind is tried: it gets targets like the output if it takes them, else labels.
    """
    spec = network.specs[output]
    labels = Spec(() if isinstance(loss, CentreLoss) else spec.shape[1:], "int32")
    if isinstance(loss, OF_LABELS) or (not _takes(loss, spec, spec) and _takes(loss, spec, labels)):
        return labels
    return spec


def is_labels(target: Spec, output: Spec, loss: Loss) -> bool:
    """Return whether targets are numbers of classes: integers without the axis of classes that the output has."""
    shape = () if isinstance(loss, CentreLoss) else output.shape[1:]
    return target.dtype.startswith(("int", "uint")) and output.rank > 0 and target.shape == shape


def the_output(network: Network, what: str, problems: list[str]) -> str:
    """Return the only output of a network; several are a problem."""
    if len(network.outputs) > 1:
        problems.append(
            f"{what}: the network has the outputs {', '.join(network.outputs)}; name one"
        )
    return network.outputs[0]


def _losses(network: Network, loss: LossOf, problems: list[str]) -> dict[str, tuple[Loss, float]]:
    outputs = network.outputs
    if loss is None:
        return {o: (default_loss(network, o), 1.0) for o in outputs}
    if not isinstance(loss, Mapping):
        loss = {the_output(network, "loss", problems): loss}
    found = {}
    for output, given in loss.items():
        one, weight = given if isinstance(given, tuple) and len(given) == 2 else (given, 1.0)
        if output not in network.specs:
            problems.append(
                f"loss: no output is named {output!r}{near(str(output), network.specs)}"
            )
        elif not hasattr(one, "terms") or isinstance(one, type):
            problems.append(
                f"loss of {output}: expected a loss such as MeanSquaredError(), given {one!r}"
            )
        elif not isinstance(weight, (int, float)) or isinstance(weight, bool):
            problems.append(f"loss of {output}: expected a number as weight, given {weight!r}")
        else:
            found[output] = (one, float(weight))
    if not loss:
        problems.append(
            f"loss: expected the loss of at least one output of {', '.join(outputs)}, given none"
        )
    return found


def _column(output: str, target: TargetOf, problems: list[str]) -> str:
    if isinstance(target, str):
        return target
    if output in target:
        return target[output]
    problems.append(f"target: no column is named for the output {output!r}{near(output, target)}")
    return output


def _takes(loss: Loss, output: Spec, target: Spec) -> bool:
    build = Build(Program(), dtype=output.dtype)
    values = [
        build.program.input(n, (2, *s.shape), s.dtype)
        for n, s in (("output", output), ("target", target))
    ]
    try:
        asked = loss.parameters(values[0].spec, values[1].spec)
        own = {n: build.program.input(n, p.shape, output.dtype) for n, p in asked.items()}
        loss.terms(build, *values, **own)
    except ShapeError:
        return False
    return True


def target_columns(network: Network, loss: LossOf) -> dict[str, str]:
    """Return a column of its own for the target of each output, named after it, for programs that no data enter."""
    names = loss if isinstance(loss, Mapping) else network.outputs
    return {name: f"target.{name}" for name in names}
