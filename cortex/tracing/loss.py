"""Losses, penalties, metrics and running sums of a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cortex.build import Build
from cortex.compute import math as m
from cortex.compute.errors import ShapeError
from cortex.compute.group import Share
from cortex.compute.ops.all_reduce import all_reduce_together
from cortex.compute.ops.map import convert, filled
from cortex.compute.ops.reduce import reduce_axes, reshape_to
from cortex.compute.program import Value
from cortex.compute.spec import Shape, Spec
from cortex.losses import L1Regulariser, L2Regulariser, reduce_terms
from cortex.parameters import Layout, Treatment, group
from cortex.protocols import Loss

from .forward import Traced, name_outputs, output_value, trace_forward

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
    share: Share | None = None,
) -> tuple[Traced, Value, Value | None]:
    """Record forward pass, losses, metrics and outputs.

    Returns what has been traced, the loss of the examples with the penalties of layers, and the penalty of
    attributes (l1, l2), which is no part of it: where `flat`, its gradient must be taken with respect to the flat
    buffers, which is one pass over each, else with respect to the parameters. With a `share`, the first of the two is
    what the examples of this process add to that of the whole batch, and so is its gradient; all outputs but those of
    the network are of the whole batch.
    """
    traced = trace_forward(network, batch, training, share)
    build, program = traced.build, traced.program
    weights = program.input(SAMPLE_WEIGHT, (batch,), network.dtype) if sample_weight else None
    targets: dict[str, Value] = {}
    parts: dict[str, Value] = {}
    sums: dict[str, Value] = {}
    trained = {o.output for o in objectives}
    # a loss of an inner node, such as centre loss, is no prediction to be judged
    judged = trained & set(network.outputs) or trained
    for o in objectives:
        if o.column not in targets:
            targets[o.column] = program.input(o.column, (batch, *o.target.shape), o.target.dtype)
        output, target = output_value(traced, o.output), targets[o.column]
        with program.scope(f"loss/{o.output}"):
            terms, present = o.loss.terms(
                build, output, target, **_loss_parameters(traced, o, output, target)
            )
            parts[f"loss.{o.output}"] = reduce_terms(build, terms, present, weights)
        for name, metric in (metrics or {}).items() if o.output in judged else ():
            key = f"metric.{name}" if len(judged) == 1 else f"metric.{name}.{o.output}"
            with program.scope(key):
                sums[key] = metric(build, output, target)
    if not parts:
        raise ShapeError("loss: expected the loss of at least one output, given none")
    if build.penalties:
        parts["loss.penalty"] = _penalty_of_layers(traced)
    data = _weighted(objectives, parts)
    seen, seen_parts = data, parts
    if build.share is not None:
        found = _over_all(traced, {**parts, **sums})
        seen_parts, sums = ({n: found[n] for n in group} for group in (parts, sums))
        seen = _weighted(objectives, seen_parts)
    attributes = _penalty(traced, flat)
    whole = seen if attributes is None else seen + attributes
    if attributes is not None:
        seen_parts["loss.penalty"] = _plus(seen_parts.get("loss.penalty"), attributes)
    program.output("loss", whole)
    named = {**(seen_parts if len(seen_parts) > 1 else {}), **sums}
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


def _weighted(objectives: Sequence[Objective], parts: Mapping[str, Value]) -> Value:
    """Return the weighted sum of the losses, with the penalty of layers."""
    total: Value | None = None
    for o in objectives:
        value = parts[f"loss.{o.output}"]
        total = _plus(total, value if o.weight == 1 else value * o.weight)
    if "loss.penalty" in parts:
        total = _plus(total, parts["loss.penalty"])
    return total  # type: ignore[return-value]


def _penalty_of_layers(traced: Traced) -> Value:
    """Return the sum of what layers added: a mean over examples, hence weighted by how many of them are here."""
    share, total = traced.build.share, None
    for p in traced.build.penalties:
        total = _plus(total, p)
    return total if share is None else total * (share.count / share.total)  # type: ignore[return-value, operator]


def _over_all(traced: Traced, shares: Mapping[str, Value]) -> dict[str, Value]:
    """Return the sums of 0-d values over all processes, in one message."""
    program = traced.program
    with program.scope("all processes"):
        wide = [convert(program, v, "float64") for v in shares.values()]
        sums = all_reduce_together(program, wide)
        return {
            n: convert(program, s, v.dtype) for (n, v), s in zip(shares.items(), sums, strict=True)
        }


def _accumulate(traced: Traced, scalars: Mapping[str, Value], weights: Value | None) -> None:
    """Add scalars to running sums; losses, which are means, count as often as there are examples in the batch."""
    program = traced.program
    if weights is None:
        examples = filled(program, float(traced.build.total(traced.batch)), (), "float64")
    else:
        local = reduce_axes(program, "sum", convert(program, weights, "float64"), None)
        examples = traced.build.across(local)
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
