"""Shapes of everything in a network, found by recording it once for a batch of two: no number is computed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cortex.build import Build
from cortex.compute.errors import CortexError, DescriptionError, ShapeError, near
from cortex.compute.program import Program, Value
from cortex.compute.spec import Spec
from cortex.layers.input import Input
from cortex.protocols import Layer, Parameter

from .forward import Forward, Unknown
from .graph import ordered_tasks, source
from .node import Node
from .references import parse

BATCH = 2  # tells outputs that grow with the batch from those that are [1, ...] whatever its size


@dataclass
class Shapes:
    """What is known about a network before a number is computed.

    `order` are the names of the nodes, each behind what it needs. `asked[node]` are the parameters that a node asks
    for, `owned` those of them that are its own, by full name. `outputs[node]` are the specs of its outputs for one
    example, `columns` the columns bound to parameters.
    """

    order: list[str] = field(default_factory=list)
    asked: dict[str, Mapping[str, Parameter]] = field(default_factory=dict)
    owned: dict[str, Parameter] = field(default_factory=dict)
    outputs: dict[str, tuple[Spec, ...]] = field(default_factory=dict)
    batched: dict[str, tuple[bool, ...]] = field(default_factory=dict)
    columns: dict[str, Spec] = field(default_factory=dict)


def infer(nodes: Sequence[Node], dtype: str, problems: list[str]) -> Shapes:
    """Return the shapes of a network; what does not fit is added to `problems`, one entry per fault."""
    tasks, cycles = ordered_tasks(nodes)
    problems += cycles
    found = Shapes()
    probe = _Probe({n.name: n for n in nodes}, dtype, found)
    for kind, name in tasks:
        try:
            if kind == "parameters":
                probe.ask(name)
            else:
                probe.record(name)
        except Unknown:
            continue  # the cause is among the problems already
        except CortexError as error:
            who = f"{name} ({type(probe.nodes[name].layer).__name__})"
            given = error.problems if isinstance(error, DescriptionError) else (str(error),)
            problems += [f"{who}: {g.removeprefix(f'in {name!r}: ')}" for g in given]
    found.columns = {c: v.spec for c, v in probe.forward.columns.items()}
    return found


class _Probe:
    def __init__(self, nodes: Mapping[str, Node], dtype: str, found: Shapes) -> None:
        self.nodes, self.dtype, self.found = nodes, dtype, found
        self.values: dict[str, Value] = {}
        self.forward = Forward(Build(Program(), dtype=dtype), nodes, self._own)

    def _own(self, name: str) -> Value:
        at = parse(name)
        if at.node not in self.found.asked:
            raise Unknown(at.node)
        if name not in self.values:
            if at.parameter in self.found.asked[at.node]:
                raise Unknown(name)  # shared in a circle
            names = self.found.asked[at.node]
            raise ShapeError(
                f"{at.node} has no parameter {at.parameter!r}{near(at.parameter or '', names)}"
            )
        return self.values[name]

    def ask(self, name: str) -> None:
        """Find out which parameters a node asks for, and declare its own."""
        n, program = self.nodes[name], self.forward.build.program
        if isinstance(n.layer, Input):
            specs = [n.layer.column(BATCH, self.dtype)]
        else:
            specs = [v.spec for v in self.forward.data(name)]
        _check_arity(n.layer, specs)
        asked = n.layer.parameters(*specs)
        for parameter in {**n.bindings, **n.parameter_attributes}:
            if parameter not in asked:
                raise ShapeError(
                    f"the layer has no parameter {parameter!r}{near(parameter, asked)}"
                )
        for parameter in n.parameter_attributes:
            if parameter in n.bindings:
                bound = n.bindings[parameter]
                raise ShapeError(
                    f"parameter {parameter!r} is bound to {bound!r} and has no attributes of its own; "
                    "give them to what it is bound to"
                )
        for parameter, p in asked.items():
            if parameter in n.bindings and not p.trainable:
                raise ShapeError(f"{parameter!r} is a statistic of the layer and cannot be bound")
        for parameter, p in asked.items():
            full = f"{name}.{parameter}"
            if source(self.nodes, name, parameter) == full:
                self.found.owned[full] = p
                self.values[full] = program.input(full, p.shape, self.dtype)
        self.found.asked[name] = asked

    def record(self, name: str) -> None:
        """Record a node and note the specs of its outputs for one example."""
        if name not in self.found.asked:
            raise Unknown(name)
        forward = self.forward
        with forward.build.program.scope(name):
            forward.record(name, self.found.asked[name], BATCH)
        specs = [v.spec for v in forward.outputs[name]]
        for s in specs:
            if not s.rank or s.shape[0] not in (1, BATCH):
                del forward.outputs[name]
                raise ShapeError(
                    f"axis 0 of every output is the batch; for a batch of {BATCH} the layer gives {s}"
                )
        self.found.outputs[name] = tuple(Spec(s.shape[1:], s.dtype) for s in specs)
        self.found.batched[name] = tuple(s.shape[0] == BATCH for s in specs)
        self.found.order.append(name)


def _check_arity(layer: Layer, specs: Sequence[Spec]) -> None:
    try:
        inspect.signature(layer.parameters).bind(*specs)
    except TypeError:
        names = list(inspect.signature(layer.parameters).parameters)
        raise ShapeError(
            f"expected {len(names)} input{'s' * (len(names) != 1)} ({', '.join(names)}), "
            f"given {len(specs)}: {', '.join(map(str, specs)) or 'none; name its parents'}"
        ) from None
