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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex.compute.autodiff import gradients as record_gradients
from cortex.compute.backend import Backend, Executable, Memory, PlanReport
from cortex.compute.errors import DescriptionError, ShapeError, near
from cortex.compute.program import Program, Value
from cortex.compute.registry import get_backend
from cortex.compute.spec import Spec
from cortex.network import Network
from cortex.network.references import parse
from cortex.network.weights import Drawn
from cortex.objectives import Columns, LossOf, TargetOf, objectives, the_output
from cortex.parameters import Layout
from cortex.protocols import Optimiser
from cortex.tracing import (
    METRICS,
    Clip,
    Metric,
    Objective,
    Traced,
    name_outputs,
    output_value,
    trace_evaluation,
    trace_forward,
    trace_inference,
    trace_training,
)

__all__ = ["NetworkExecutable", "evaluation", "gradients", "inference", "parameters_of", "training_step"]


@dataclass(frozen=True)
class Labels:
    """An integer column whose entries are classes below `classes`; entries below 0 are missing."""

    classes: int
    output: str


class NetworkExecutable:
    """A compiled program of a network (an `Executable`) that knows its columns, layout and network."""

    def __init__(
        self, traced: Traced, executable: Executable, batch_size: int, labels: Mapping[str, Labels]
    ) -> None:
        self.network, self.layout, self.program = traced.network, traced.layout, traced.program
        self.batch_size = batch_size
        self.executable = executable
        self.run: Callable[[], None] = executable.run
        self._labels = labels

    @property
    def memory(self) -> Memory:
        """The persistent buffers; give them to other executables of the same network."""
        return self.executable.memory

    @property
    def report(self) -> PlanReport:
        """Exact bytes by kind, and who runs each step."""
        return self.executable.report

    @property
    def columns(self) -> dict[str, Spec]:
        """What the host writes before a run, by name, batch axis included."""
        return {name: value.spec for name, value in self.program.inputs.items()}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what can be read after a run besides state."""
        return tuple(self.program.outputs)

    def write(self, name: str, array: Any) -> None:
        """Copy a host array into a column, state or parameter.

        Raises:
            ShapeError: an unknown name, a shape or dtype that does not fit, or a label that is no class.
        """
        program = self.program
        if name not in program.inputs and name not in program.state and name not in program.views:
            close = near(name, program.inputs)
            if not close.startswith("; did"):
                close = near(name, [*program.inputs, *program.views, *self.layout.statistics])
            raise ShapeError(f"write: no column or parameter is named {name!r}{close}")
        given = np.asarray(array)
        spec = program.inputs[name].spec if name in program.inputs else None
        if spec is not None and spec.shape[1:] == given.shape[1:] and given.ndim and spec.shape[:1] != given.shape[:1]:
            raise ShapeError(
                f"write {name!r}: expected a batch of {spec.shape[0]}, given {given.shape[0]}; a batch of another size "
                "needs an executable of its own, made with the same memory"
            )
        if name in self._labels:
            _check_labels(name, given, self._labels[name])
        self.executable.write(name, given)

    def read(self, name: str) -> np.ndarray:
        """Return a copy of an output, state, parameter or column, after waiting for the device.

        Raises:
            ShapeError: there is nothing of that name.
        """
        return self.executable.read(name)


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
    backend: str | Backend | None = None,
    memory: Memory | None = None,
    seed: int = 0,
    dtype: str | None = None,
) -> NetworkExecutable:
    """Return the executable of one training step; see `cortex.tracing` for the names of what it reads and writes.

    `loss` is a loss, or maps outputs to losses or (loss, weight) pairs; None chooses by the output: the cross-entropy
    of a softmax, else the mean squared error. `target` is the column of the targets, or maps outputs to columns.
    `columns` says what one example of a target column is (a `Spec`, or the `columns` of a data set); without it labels are int32 and other targets have
    the spec of their output. `sample_weight` adds the input of that name, a weight per example. `metrics` names sums
    to output ("correct") or maps names to functions (build, output, target) -> 0-d value; `totals` keeps running sums
    of losses and metrics. `clip` limits the length of the whole gradient; `Clip` says more. `backend` None is the
    default one. `dtype` converts the network first.

    Raises:
        DescriptionError: everything wrong with the arguments, at once.
        ShapeError: a target does not fit its loss, or nothing is left to train.
    """
    network = network if dtype is None else network.with_dtype(dtype)
    problems = _argument_problems(batch_size)
    if not (hasattr(optimiser, "initialise") and hasattr(optimiser, "update")) or isinstance(optimiser, type):
        problems.append(f"optimiser: expected an optimiser such as Adam(), given {optimiser!r}")
    limits = _clip(clip, problems)
    wanted = _metrics(metrics, problems)
    aims = objectives(network, loss, target, columns, problems)
    if problems:
        raise DescriptionError("training_step", problems)
    traced = trace_training(
        network, batch_size, aims, optimiser,
        clip=limits, sample_weight=sample_weight, metrics=wanted, totals=totals,
    )  # fmt: skip
    return _compiled(traced, batch_size, backend, memory, seed, aims)


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
) -> NetworkExecutable:
    """Return the executable that gives losses, metrics and outputs in inference mode; arguments as in `training_step`.

    Raises:
        DescriptionError: everything wrong with the arguments, at once.
        ShapeError: a target does not fit its loss.
    """
    problems = _argument_problems(batch_size)
    wanted = _metrics(metrics, problems)
    aims = objectives(network, loss, target, columns, problems)
    if problems:
        raise DescriptionError("evaluation", problems)
    traced = trace_evaluation(
        network, batch_size, aims, sample_weight=sample_weight, metrics=wanted, totals=totals
    )
    return _compiled(traced, batch_size, backend, memory, seed, aims)


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
    problems = _argument_problems(batch_size)
    if problems:
        raise DescriptionError("inference", problems)
    return _compiled(trace_inference(network, batch_size), batch_size, backend, memory, seed)


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
    problems = _argument_problems(batch_size)
    names = [wrt] if isinstance(wrt, str) else list(wrt)
    aims: list[Objective] = []
    if of == "loss":
        aims = objectives(network, loss, target, columns, problems)
    else:
        of = of if of is not None else the_output(network, "of", problems)
        if of not in network.specs:
            problems.append(f"of: no output is named {of!r}{near(of, network.specs)}")
    known = [*network.specs, *_parameter_names(network), *network.shapes.columns]
    problems += [f"wrt: nothing is named {name!r}{near(name, known)}" for name in names if name not in known]
    if problems:
        raise DescriptionError("gradients", problems)
    if of == "loss":
        from cortex.tracing import trace_loss

        traced, value, penalty = trace_loss(network, batch_size, aims, training=training)
        value = value if penalty is None else value + penalty
    else:
        traced = trace_forward(network, batch_size, training)
        value = output_value(traced, of)
        name_outputs(traced)
        if of not in traced.program.outputs:
            traced.program.output(of, value)
    start = traced.program.input("cotangent", value.shape, value.dtype) if cotangent else None
    variables = [_variable(traced, name) for name in names]
    for name, v in zip(names, variables, strict=True):
        if not v.spec.is_float:
            problem = f"wrt: {name!r} holds {v.spec}, and only floats have gradients; name a node behind it"
            raise DescriptionError("gradients", [problem])
    found = record_gradients(traced.program, value, variables, start)
    for name, gradient in zip(names, found, strict=True):
        traced.program.output(f"gradient.{name}", gradient)
    return _compiled(traced, batch_size, backend, memory, seed, aims)


def parameters_of(executable: NetworkExecutable, network: Network | None = None) -> Network:
    """Return the network (None: the executable's own) with the parameters as they are in an executable's memory."""
    network = executable.network if network is None else network
    return network.with_parameters({name: executable.read(name) for name in network.parameter_specs})


def _compiled(
    traced: Traced,
    batch_size: int,
    backend: str | Backend | None,
    memory: Memory | None,
    seed: int,
    aims: Sequence[Objective] = (),
) -> NetworkExecutable:
    held = set(memory.names()) if memory is not None else set()
    executable = get_backend(backend).compile(traced.program, memory)
    made = NetworkExecutable(traced, executable, batch_size, _labels(traced.network, aims))
    _fill(traced, executable, held, seed)
    return made


def _fill(traced: Traced, executable: Executable, held: set[str], seed: int) -> None:
    """Write the first content of all state that the memory did not hold before."""
    network, program = traced.network, traced.program
    missing = set(program.state) - held
    arrays = {n: a for n, a in traced.numbers.items() if n in missing and a.any()}
    if "random.seed" in missing:
        arrays["random.seed"] = np.asarray(seed, np.uint64)
    first = dict(network.sources)
    for name, parameter in traced.initial.items():
        first[name] = Drawn(parameter.initialiser, network.seed, name, parameter.shape)
    for name, source in first.items():
        state = program.views[name].state if name in program.views else name
        if state in missing:
            known = network.array(name) if name in network.sources else None
            arrays[name] = known if known is not None else source.array(network.dtype)  # type: ignore[union-attr]
    for name, array in arrays.items():
        executable.write(name, array)


def _labels(network: Network, aims: Sequence[Objective]) -> dict[str, Labels]:
    found = {}
    for o in aims:
        output = network.specs[o.output]
        if o.target.dtype.startswith(("int", "uint")) and output.rank and o.target.shape == output.shape[1:]:
            found[o.column] = Labels(output.shape[0], o.output)
    return found


def _check_labels(name: str, given: np.ndarray, labels: Labels) -> None:
    if given.size and given.dtype.kind in "iu" and int(given.max()) >= labels.classes:
        where = tuple(int(i) for i in np.unravel_index(int(given.argmax()), given.shape))
        raise ShapeError(
            f"write {name!r}: labels for the output {labels.output!r} lie in 0..{labels.classes - 1} (below 0: missing), "
            f"given {given.max()} at {where[0] if len(where) == 1 else where}"
        )


def _variable(traced: Traced, name: str) -> Value:
    program: Program = traced.program
    if name in program.inputs and program.inputs[name].spec.is_float:
        return program.inputs[name]
    if parse(name).parameter:
        return traced.forward.used[name]
    return output_value(traced, name)


def _parameter_names(network: Network) -> list[str]:
    return [f"{n}.{p}" for n, asked in network.shapes.asked.items() for p in asked]


def _argument_problems(batch_size: Any) -> list[str]:
    if isinstance(batch_size, (int, np.integer)) and not isinstance(batch_size, bool) and batch_size >= 1:
        return []
    return [f"batch_size: expected an integer >= 1, given {batch_size!r}"]


def _clip(clip: float | Clip | None, problems: list[str]) -> Clip:
    limits = clip if isinstance(clip, Clip) else Clip(norm=clip)
    for name, limit in (("norm", limits.norm), ("value", limits.value)):
        number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
        if limit is not None and not (number and np.isfinite(limit) and limit > 0):
            problems.append(f"clip: expected a {name} > 0, given {limit!r}")
    return limits


def _metrics(metrics: Sequence[str] | Mapping[str, Metric], problems: list[str]) -> dict[str, Metric]:
    if isinstance(metrics, Mapping):
        return dict(metrics)
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    problems += [f"metrics: none is named {n!r}{near(str(n), METRICS)}" for n in names if n not in METRICS]
    return {n: METRICS[n] for n in names if n in METRICS}
