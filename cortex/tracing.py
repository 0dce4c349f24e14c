"""From a network to programs: inference, evaluation, a training step, gradients.

A training program, in this order: every node's forward pass under its name; the loss of each output, a weighted mean of
terms over examples; the penalties; the gradient of it all, joined into one flat value per group of parameters; clipping;
the optimiser, one fused pass per group; max-norm constraints; the statistics. The names in a program:

| name | kind | what |
|---|---|---|
| columns of the network, of targets, `sample_weight` | input | batch axis first; written by the host |
| `parameters.<k>`; `conv1.weights` | state; view of it | see `cortex.parameters` |
| `norm1.running_mean` | state | a statistic |
| `loss.<output>.<name>` | state | a parameter of a loss, such as centres of classes |
| `optimiser.<k>.<name>`, `optimiser.<name>` | state | vectors per group; scalars (float64), advanced once per step |
| `random.seed`, `random.step` | state | where the program draws random numbers |
| `total.<name>` | state | running sums (float64), where asked for; the host writes 0 to begin anew |
| `loss` | output | what training makes smaller: weighted losses and penalties, 0-d |
| `loss.<output>`, `loss.penalty` | output | its parts, where there are several, before their weights |
| `softmax1`; `output` | output | outputs of the network; the only one also as `output` |
| `metric.<name>` | output | sums over the batch, such as `metric.correct` |
| `gradient.norm` | output | length of the gradient before clipping by norm |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex.build import Build
from cortex.compute import math as m
from cortex.compute.autodiff import gradients
from cortex.compute.errors import ShapeError
from cortex.compute.expression import symbol
from cortex.compute.ops import Map
from cortex.compute.ops.map import convert, filled
from cortex.compute.ops.reduce import reduce_axes, reshape_to
from cortex.compute.program import Program, Value
from cortex.compute.spec import Shape, Spec
from cortex.losses import L1Regulariser, L2Regulariser, reduce_terms
from cortex.network.forward import Forward
from cortex.optimise.constraints import clip_by_global_norm, clip_by_value, max_norm
from cortex.optimise.trace import PARAMETERS, Trace, trace
from cortex.parameters import Group, Layout, Treatment, group, layout
from cortex.protocols import Loss, Optimiser, Parameter

if TYPE_CHECKING:
    from cortex.network import Network

SAMPLE_WEIGHT = "sample_weight"
Metric = Callable[[Build, Value, Value], Value]


@dataclass(frozen=True)
class Objective:
    """The loss of one output: its weight, the column of its target and the target's spec for one example."""

    output: str
    loss: Loss
    weight: float
    column: str
    target: Spec


@dataclass(frozen=True)
class Clip:
    """Limits of the gradient: of the length of all of it together, and of each element, in this order."""

    norm: float | None = None
    value: float | None = None


@dataclass
class Traced:
    """A program and what its state must hold before the first run: `initial` parameters of losses, `numbers`."""

    network: Network
    program: Program
    layout: Layout
    forward: Forward
    build: Build
    batch: int
    initial: dict[str, Parameter] = field(default_factory=dict)
    numbers: dict[str, np.ndarray] = field(default_factory=dict)


def trace_forward(network: Network, batch: int, training: bool = False) -> Traced:
    """Record the forward pass of every node; nothing is named as output yet."""
    program = Program()
    build = Build(program, training, network.dtype)
    plan = layout(network)
    values = plan.declare(program, network.dtype)
    forward = Forward(build, network.by_name, values.__getitem__)
    still = inference_nodes(network) if training else frozenset(network.by_name)
    for name in network.shapes.order:
        build.training = name not in still
        with program.scope(name):
            forward.record(name, network.shapes.asked[name], batch)
    build.training = training
    return Traced(network, program, plan, forward, build, batch)


def output_value(traced: Traced, reference: str) -> Value:
    """Return the value of a reference to an output of a node."""
    name, _, number = reference.rpartition(":")
    return (
        traced.forward.outputs[name][int(number)] if name else traced.forward.outputs[reference][0]
    )


def name_outputs(traced: Traced) -> None:
    """Name the outputs of the network as outputs of the program.

    Raises:
        ShapeError: an output is an input, whose name stands for the column.
    """
    names = traced.network.outputs
    for name in names:
        if name in traced.program.inputs:
            raise ShapeError(
                f"outputs: {name!r} is an input of the network; put an Identity() behind it and name that"
            )
        traced.program.output(name, output_value(traced, name))
    if len(names) == 1:
        traced.program.output("output", output_value(traced, names[0]))


def inference_nodes(network: Network) -> frozenset[str]:
    """Return the nodes that run in inference mode while a network is trained.

    These are the frozen prefix (frozen nodes that depend on nothing which is trained, and what they depend on) and
    every other frozen node that has statistics, so that nothing in it changes.
    """
    from cortex.network.editing import ancestors
    from cortex.network.graph import arguments, source
    from cortex.network.references import parse

    settled: set[str] = set()

    def is_settled(a: Any) -> bool:
        if not isinstance(a, str):
            return True
        at = parse(a)
        if not at.parameter:
            return at.node in settled
        found = source(network.by_name, at.node, at.parameter)
        if found != a:
            return is_settled(found)
        return bool(network.attributes(a).frozen) or not network.shapes.owned[a].trainable

    for name in network.shapes.order:
        own = [f"{name}.{p}" for p in network.shapes.asked[name] if p not in network[name].bindings]
        if all(map(is_settled, [*arguments(network[name]), *own])):
            settled.add(name)
    frozen = [name for name in network.shapes.order if network.is_frozen(name)]
    prefix = ancestors(network, [name for name in frozen if name in settled])
    with_statistics = [n for n in frozen if any(s.startswith(f"{n}.") for s in network.statistics)]
    return frozenset([*prefix, *with_statistics])


def trace_inference(network: Network, batch: int) -> Traced:
    """Return the program that gives the outputs of a network."""
    traced = trace_forward(network, batch)
    name_outputs(traced)
    return traced


def trace_loss(
    network: Network,
    batch: int,
    objectives: Sequence[Objective],
    *,
    training: bool,
    sample_weight: bool = False,
    metrics: Mapping[str, Metric] | None = None,
    totals: bool = False,
    flat: bool = True,
) -> tuple[Traced, Value, Value | None]:
    """Record forward pass, losses, metrics and outputs.

    Returns what has been traced, the loss of the examples with the penalties of layers, and the penalty of
    attributes (l1, l2), which is no part of it: where `flat`, its gradient must be taken with respect to the flat
    buffers, which is one pass over each, else with respect to the parameters.
    """
    traced = trace_forward(network, batch, training)
    build, program = traced.build, traced.program
    weights = program.input(SAMPLE_WEIGHT, (batch,), network.dtype) if sample_weight else None
    targets: dict[str, Value] = {}
    parts: dict[str, Value] = {}
    sums: dict[str, Value] = {}
    total: Value | None = None
    for o in objectives:
        if o.column not in targets:
            targets[o.column] = program.input(o.column, (batch, *o.target.shape), o.target.dtype)
        output, target = output_value(traced, o.output), targets[o.column]
        with program.scope(f"loss/{o.output}"):
            terms, present = o.loss.terms(
                build, output, target, **_loss_parameters(traced, o, output, target)
            )
            value = reduce_terms(build, terms, present, weights)
        parts[f"loss.{o.output}"] = value
        total = _plus(total, value if o.weight == 1 else value * o.weight)
        for name, metric in (metrics or {}).items():
            key = f"metric.{name}" if len(objectives) == 1 else f"metric.{name}.{o.output}"
            with program.scope(key):
                sums[key] = metric(build, output, target)
    if total is None:
        raise ShapeError("loss: expected the loss of at least one output, given none")
    penalty = None
    for p in build.penalties:
        penalty = _plus(penalty, p)
    data = _plus(total, penalty) if penalty is not None else total
    attributes = _penalty(traced, flat)
    whole = data if attributes is None else data + attributes
    if attributes is not None:
        penalty = _plus(penalty, attributes)
    if penalty is not None:
        parts["loss.penalty"] = penalty
    program.output("loss", whole)
    named = {**(parts if len(parts) > 1 else {}), **sums}
    for name, value in named.items():
        program.output(name, value)
    name_outputs(traced)
    if totals:
        _accumulate(traced, {"loss": whole, **named}, weights)
    return traced, data, attributes


def trace_evaluation(
    network: Network, batch: int, objectives: Sequence[Objective], **options: Any
) -> Traced:
    """Return the program that gives losses, metrics and outputs and changes nothing but running sums."""
    return trace_loss(network, batch, objectives, training=False, **options)[0]


def trace_training(
    network: Network,
    batch: int,
    objectives: Sequence[Objective],
    optimiser: Optimiser,
    *,
    clip: Clip | None = None,
    **options: Any,
) -> Traced:
    """Return the program of one training step; see the module for what it does."""
    traced, loss, penalty = trace_loss(network, batch, objectives, training=True, **options)
    program, forward = traced.program, traced.forward
    groups = [g for g in traced.layout.groups if g.is_trained]
    if not groups:
        raise ShapeError(
            "training_step: every parameter is frozen, there is nothing to train; unfreeze some"
        )
    views = [forward.own(slot.name) for g in groups for slot in g.slots]
    flats = [program.state[g.state] for g in groups]
    found = iter(gradients(program, loss, views))
    with program.scope("gradient"):
        joined = [g.join(program, [next(found) for _ in g.slots]) for g in groups]
    if penalty is not None:
        extra = gradients(program, penalty, flats)
        for k, g in enumerate(groups):
            if g.treatment.l1 or g.treatment.l2:
                joined[k] = joined[k] + extra[k]
    with program.scope("clip"):
        joined = _clipped(traced, joined, clip or Clip())
    with program.scope("optimiser"):
        steps = _optimise(traced, optimiser, groups, joined)
    for g, new in zip(groups, steps, strict=True):
        with program.scope("max_norm"):
            program.update(g.state, _constrained(program, g, new))
    for statistic, value in traced.build.statistics.items():
        program.update(statistic.name, value)
    return traced


def _loss_parameters(
    traced: Traced, o: Objective, output: Value, target: Value
) -> dict[str, Value]:
    values = {}
    trained: list[tuple[str, Shape]] = []
    for name, parameter in o.loss.parameters(output.spec, target.spec).items():
        full = f"loss.{o.output}.{name}"
        traced.initial[full] = parameter
        if parameter.trainable:
            trained.append((name, parameter.shape))
        else:
            values[name] = traced.program.persistent(full, parameter.shape, traced.network.dtype)
    if trained:
        own = group(
            f"parameters.loss.{o.output}",
            Treatment(),
            [(f"loss.{o.output}.{n}", s) for n, s in trained],
        )
        added = Layout((own,), {}).declare(traced.program, traced.network.dtype)
        traced.layout = Layout((*traced.layout.groups, own), traced.layout.statistics)
        known, before = added.__getitem__, traced.forward.own
        traced.forward.own = lambda name: known(name) if name in added else before(name)
        values |= {n: added[f"loss.{o.output}.{n}"] for n, _ in trained}
    return values


def _penalty(traced: Traced, flat: bool) -> Value | None:
    total: Value | None = None
    for g in traced.layout.groups:
        if g.treatment.frozen:
            continue  # a constant
        values = (
            [traced.program.state[g.state]]
            if flat
            else [traced.forward.own(s.name) for s in g.slots]
        )
        with traced.program.scope("penalty"):
            for regulariser, factor in (
                (L1Regulariser, g.treatment.l1),
                (L2Regulariser, g.treatment.l2),
            ):
                for value in values if factor else ():
                    total = _plus(total, regulariser(factor).penalty(traced.build, value))
    return total


def _clipped(traced: Traced, joined: list[Value], clip: Clip) -> list[Value]:
    if clip.norm is not None:
        shorter, norm = clip_by_global_norm(traced.program, joined, clip.norm)
        traced.program.output("gradient.norm", norm)
        joined = list(shorter)
    if clip.value is not None:
        joined = [clip_by_value(traced.program, g, clip.value) for g in joined]
    return joined


def _optimise(
    traced: Traced, optimiser: Optimiser, groups: Sequence[Group], joined: Sequence[Value]
) -> list[Value]:
    """Record the optimiser: one pass over its scalars, one over each group; return the groups' new content."""
    program, dtype = traced.program, traced.network.dtype
    t = trace(optimiser)
    start = optimiser.initialise(1)
    scalars = [program.persistent(f"optimiser.{n}", (), "float64") for n in t.scalars]
    traced.numbers |= {f"optimiser.{n}": np.asarray(start[n], "float64") for n in t.scalars}
    small: tuple[Value, ...] = ()
    if t.scalar_updates or t.coefficients:
        dtypes = ("float64",) * len(t.scalars) + (dtype,) * len(t.coefficients)
        small = _several(program.apply(Map((*t.scalar_updates, *t.coefficients), dtypes), *scalars))
    for name, value in zip(t.scalars, small, strict=False):
        program.update(f"optimiser.{name}", value)
    moved = []
    for g, gradient in zip(groups, joined, strict=True):
        number = g.state.removeprefix("parameters.")
        names = {n: f"optimiser.{number}.{n}" for n in t.vectors}
        state = [program.persistent(full, (g.size,), dtype) for full in names.values()]
        initial = optimiser.initialise(g.size)
        traced.numbers |= {full: np.asarray(initial[n], dtype) for n, full in names.items()}
        op = Map(_expressions(t, g.treatment.learning_rate_factor), (dtype,) * (1 + len(t.vectors)))
        operands = [program.state[g.state], gradient, *state, *small[len(t.scalars) :]]
        new, *vectors = _several(program.apply(op, *operands))
        for full, value in zip(names.values(), vectors, strict=True):
            program.update(full, value)
        moved.append(new)
    return moved


def _expressions(t: Trace, factor: float) -> tuple[Any, ...]:
    """Return the updates of a pass over vectors, the step of the parameters scaled by `factor`."""
    found = dict(zip(t.outputs, t.vector_updates, strict=True))
    old = symbol(t.inputs.index(PARAMETERS))
    if factor != 1:
        found[PARAMETERS] = old + factor * (found[PARAMETERS] - old)
    return tuple(found.values())


def _constrained(program: Program, g: Group, flat: Value) -> Value:
    limit = g.treatment.max_norm
    if limit is None:
        return flat
    pieces = []
    for slot, piece in zip(g.slots, g.pieces(program, flat), strict=True):
        rows = piece if len(slot.shape) > 1 else reshape_to(program, piece, (1, slot.size))
        pieces.append(reshape_to(program, max_norm(program, rows, limit), slot.shape))
    return g.join(program, pieces)


def _accumulate(traced: Traced, scalars: Mapping[str, Value], weights: Value | None) -> None:
    """Add scalars to running sums; losses, which are means, count as often as there are examples in the batch."""
    program = traced.program
    if weights is None:
        examples = filled(program, float(traced.batch), (), "float64")
    else:
        examples = reduce_axes(program, "sum", convert(program, weights, "float64"), None)
    for name, value in {**scalars, "examples": examples}.items():
        wide = convert(program, value, "float64")
        add = wide * examples if name.startswith("loss") else wide
        old = program.persistent(f"total.{name}", (), "float64")
        program.update(f"total.{name}", old + add)


def correct(build: Build, output: Value, target: Value) -> Value:
    """Return how many classes are predicted right: [N, K, ...] against labels [N, ...] or distributions [N, K, ...].

    A label below 0 is missing and never right.
    """
    guess = reduce_axes(build.program, "argmax", output, 1)
    if target.shape == output.shape:
        target = reduce_axes(build.program, "argmax", target, 1)
    right = m.equal(
        guess, reshape_to(build.program, convert(build.program, target, "int32"), guess.shape)
    )
    return reduce_axes(build.program, "sum", convert(build.program, right, "float64"), None)


METRICS: dict[str, Metric] = {"correct": correct}


def _plus(a: Value | None, b: Value) -> Value:
    return b if a is None else a + b


def _several(results: Any) -> tuple[Value, ...]:
    return results if isinstance(results, tuple) else (results,)
