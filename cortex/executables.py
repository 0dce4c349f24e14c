"""Executables of a network: a training step, an evaluation, inference, gradients, for people who drive their own loop.

    step = cortex.training_step(network, optimiser=Adam(), batch_size=32)
    for batch in data.batches(32):
        step.write("image", batch["image"])
        step.write("label", batch["label"])
        step.run()
    print(step.read("loss"), step.read("linear1.weights"))
    trained = parameters_of(step, network)

What an executable can read and write is listed in `cortex.tracing`. Executables of one network share state by name when
they are made with one `memory`: whatever it holds already stays (so an evaluation sees the weights that a training step
made), what it does not hold is made and filled: parameters from the network, the optimiser's state from its beginning,
`random.seed` from `seed`. A batch of another size is another executable over the same memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cortex.compiled import NetworkExecutable, batch_size_problems, compiled
from cortex.compute.backend import Backend, Memory
from cortex.compute.errors import DescriptionError, near
from cortex.compute.group import Group, Share, share_of
from cortex.compute.registry import get_backend
from cortex.network import Network
from cortex.objectives import Columns, LossOf, TargetOf, objectives, the_output
from cortex.prediction import predict
from cortex.protocols import Optimiser
from cortex.tracing import (
    METRICS,
    Clip,
    LossScale,
    LossScaleOf,
    Metric,
    Objective,
    loss_scale_of,
    trace_evaluation,
    trace_gradients,
    trace_inference,
    trace_training,
)

__all__ = [
    "Clip", "LossScale", "NetworkExecutable", "evaluation", "gradients", "inference", "parameters_of", "predict",
    "training_step",
]  # fmt: skip


def training_step(
    network: Network,
    *,
    optimiser: Optimiser,
    batch_size: int,
    loss: LossOf = None,
    target: TargetOf = "label",
    columns: Columns = None,
    sample_weight: bool = False,
    metrics: Sequence[str] | Mapping[str, Metric] = (),
    totals: bool = False,
    clip: float | Clip | None = None,
    loss_scale: LossScaleOf = None,
    backend: str | Backend | None = None,
    memory: Memory | None = None,
    seed: int = 0,
    dtype: str | None = None,
    group: Group | None = None,
) -> NetworkExecutable:
    """Return the executable of one training step; see `cortex.tracing` for the names of what it reads and writes.

    `loss` is a loss, or maps outputs to losses or (loss, weight) pairs; None chooses by the output: the
    cross-entropy of a softmax, else the mean squared error. `target` is the column of the targets, or maps
    outputs to columns. `columns` says what one example of a target column is (a `Spec`, or the `columns` of
    a data set); without it labels are int32 and other targets are like their output. `sample_weight` adds
    the input of that name, a weight per example. `metrics` names sums to output ("correct") or maps names to
    functions (build, output, target) -> 0-d value; `totals` keeps running sums of losses and metrics. `clip`
    limits the length of the whole gradient; `Clip` says more. `loss_scale` is "dynamic", a number, or a `LossScale`;
    None is what the backend wants: nothing where it computes gradients in 32 bits or more. `backend` is a backend or a
    name, with options as in "cpu:exact"; None is the default one. `dtype` converts the network first.

    With a `group` of several processes, `batch_size` is that of all together. Each makes this call and writes its
    own examples, `share_of(group, batch_size)`; state, losses and metrics are then those of the whole batch, the
    same bits in every process, and new state begins as that of process 0.

    Raises:
        DescriptionError: everything wrong with the arguments, at once.
        ShapeError: a target does not fit its loss, or nothing is left to train.
    """
    network = network if dtype is None else network.with_dtype(dtype)
    problems = batch_size_problems(batch_size)
    if not (hasattr(optimiser, "initialise") and hasattr(optimiser, "update")) or isinstance(
        optimiser, type
    ):
        problems.append(f"optimiser: expected an optimiser such as Adam(), given {optimiser!r}")
    limits = _clip(clip, problems)
    scale = loss_scale_of(loss_scale, get_backend(backend).capabilities, problems)
    wanted = _metrics(metrics, problems)
    aims = objectives(network, loss, target, columns, problems)
    if problems:
        raise DescriptionError("training_step", problems)
    share = _share(group, batch_size)
    traced = trace_training(
        network, share.count if share else batch_size, aims, optimiser, share=share,
        clip=limits, loss_scale=scale, sample_weight=sample_weight, metrics=wanted, totals=totals,
    )  # fmt: skip
    return compiled(traced, backend, memory, seed, aims, group)


def evaluation(
    network: Network,
    *,
    batch_size: int,
    loss: LossOf = None,
    target: TargetOf = "label",
    columns: Columns = None,
    sample_weight: bool = False,
    metrics: Sequence[str] | Mapping[str, Metric] = (),
    totals: bool = False,
    backend: str | Backend | None = None,
    memory: Memory | None = None,
    seed: int = 0,
    group: Group | None = None,
) -> NetworkExecutable:
    """Return the executable that gives losses, metrics and outputs in inference mode; arguments as in `training_step`.

    Raises:
        DescriptionError: everything wrong with the arguments, at once.
        ShapeError: a target does not fit its loss.
    """
    problems = batch_size_problems(batch_size)
    wanted = _metrics(metrics, problems)
    aims = objectives(network, loss, target, columns, problems)
    if problems:
        raise DescriptionError("evaluation", problems)
    share = _share(group, batch_size)
    traced = trace_evaluation(
        network, share.count if share else batch_size, aims, share=share,
        sample_weight=sample_weight, metrics=wanted, totals=totals,
    )  # fmt: skip
    return compiled(traced, backend, memory, seed, aims, group)


def inference(
    network: Network,
    *,
    batch_size: int,
    backend: str | Backend | None = None,
    memory: Memory | None = None,
    seed: int = 0,
) -> NetworkExecutable:
    """Return the executable with one output per output of the network, by name; a single one also as `output`.

    Raises:
        DescriptionError: the batch size is no positive integer.
    """
    problems = batch_size_problems(batch_size)
    if problems:
        raise DescriptionError("inference", problems)
    return compiled(trace_inference(network, batch_size), backend, memory, seed)


def gradients(
    network: Network,
    *,
    wrt: str | Sequence[str],
    batch_size: int,
    of: str | None = None,
    loss: LossOf = None,
    target: TargetOf = "label",
    columns: Columns = None,
    cotangent: bool = False,
    training: bool = False,
    backend: str | Backend | None = None,
    memory: Memory | None = None,
    seed: int = 0,
) -> NetworkExecutable:
    """Return an executable whose outputs `gradient.<name>` are the gradients of `of` with respect to each of `wrt`.

    `of` is an output of any node (None: the network's only one), differentiated as the sum of its elements, or
    weighted by the input `cotangent`, in its shape, where that is asked for; or it is "loss". `wrt` names inputs,
    outputs of nodes ("conv1"), parameters ("conv1.weights") and columns. An input of bytes has no gradient; its value
    as floats, behind scale and offset, stands for it. The values themselves are outputs too: the network's, and `of`.

    Raises:
        DescriptionError: everything wrong with the arguments, at once.
        NotDifferentiable: an op on the way has no gradient.
    """
    problems = batch_size_problems(batch_size)
    names = [wrt] if isinstance(wrt, str) else list(wrt)
    aims: list[Objective] = []
    if of == "loss":
        aims = objectives(network, loss, target, columns, problems)
    else:
        of = of if of is not None else the_output(network, "of", problems)
        if of not in network.specs:
            problems.append(f"of: no output is named {of!r}{near(of, network.specs)}")
    known = [*network.specs, *_parameter_names(network), *network.shapes.columns]
    problems += [
        f"wrt: nothing is named {name!r}{near(name, known)}" for name in names if name not in known
    ]
    if problems:
        raise DescriptionError("gradients", problems)
    traced = trace_gradients(
        network, batch_size, of, names, objectives=aims, cotangent=cotangent, training=training
    )
    return compiled(traced, backend, memory, seed, aims)


def parameters_of(executable: NetworkExecutable, network: Network | None = None) -> Network:
    """Return the network (None: the executable's own) with the parameters as they are in an executable's memory."""
    network = executable.network if network is None else network
    return network.with_parameters(
        {name: executable.read(name) for name in network.parameter_specs}
    )


def _share(group: Group | None, batch_size: int) -> Share | None:
    return None if group is None or group.size == 1 else share_of(group, batch_size)


def _parameter_names(network: Network) -> list[str]:
    return [f"{n}.{p}" for n, asked in network.shapes.asked.items() for p in asked]


def _clip(clip: float | Clip | None, problems: list[str]) -> Clip:
    limits = clip if isinstance(clip, Clip) else Clip(norm=clip)
    for name, limit in (("norm", limits.norm), ("value", limits.value)):
        number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
        if limit is not None and not (number and np.isfinite(limit) and limit > 0):
            problems.append(f"clip: expected a {name} > 0, given {limit!r}")
    return limits


def _metrics(
    metrics: Sequence[str] | Mapping[str, Metric], problems: list[str]
) -> dict[str, Metric]:
    if isinstance(metrics, Mapping):
        return dict(metrics)
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    problems += [
        f"metrics: none is named {n!r}{near(str(n), METRICS)}" for n in names if n not in METRICS
    ]
    return {n: METRICS[n] for n in names if n in METRICS}
