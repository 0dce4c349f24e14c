"""The forward pass of a network as a program, and which of its nodes run in inference mode while it trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex.build import Build
from cortex.compute.errors import ShapeError
from cortex.compute.group import Share
from cortex.compute.program import Program, Value
from cortex.network.forward import Forward
from cortex.parameters import Layout, layout
from cortex.protocols import Parameter

if TYPE_CHECKING:
    from cortex.network import Network


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


def trace_forward(
    network: Network, batch: int, training: bool = False, share: Share | None = None
) -> Traced:
    """Record the forward pass of every node; nothing is named as output yet. `batch` examples are here, see `Build`."""
    program = Program()
    build = Build(program, training, network.dtype, share=share)
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
