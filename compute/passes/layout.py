"""The layout pass: which values lie in another layout than the dense one, for the least time in all.

Every step that can be lifted takes either form, at the costs that the backend names; where a value passes between a
step that is lifted and one that is not, it is reordered once. The cheapest choice for the whole program is a minimum
cut of the graph of its steps (compute/passes/cut.py), so reorders are as few as they can be for what they save.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..layouts import BATCH_LANES, CHANNELS_LAST, LANES, Layout
from ..math import where
from ..ops import Convolution, ConvolutionInputGradient, ConvolutionKernelGradient
from ..ops.reduce import reshape_to
from ..program import Op, Program, Step, Value, begin_copy, finish_copy
from ..spec import Spec
from .cut import INFINITE, Graph
from .lifting import Lifted, Place, lift

TICKS = 1e12  # of a second: costs become integers
CONVOLUTIONS = (Convolution, ConvolutionInputGradient, ConvolutionKernelGradient)


class Costs(Protocol):
    """What a backend says of time, in seconds."""

    def dense(self, op: Op, inputs: Sequence[Spec], outputs: Sequence[Spec]) -> float:
        """Return the time of a step on dense values."""
        ...

    def lifted(self, op: Op, inputs: Sequence[Spec], outputs: Sequence[Spec]) -> float | None:
        """Return the time of a step in a layout, or None where it does not run there."""
        ...

    def reorder(self, value: Spec, layout: Layout) -> float:
        """Return the time to bring a value into a layout, or back."""
        ...


def choose_layouts(program: Program, costs: Costs) -> Program:
    """Return the program with convolutions, and what lies between them, in the layout that takes the least time."""
    best: tuple[float, Place | None, dict[Step, Lifted]] = (0.0, None, {})
    for place in _places(program):
        saved, chosen = _choose(program, place, costs)
        if saved > best[0]:
            best = (saved, place, chosen)
    _, found, chosen = best
    return program if found is None else _rewrite(program, found, chosen)


def _places(program: Program) -> list[Place]:
    """Return the layouts to try: for the batch and rank of most convolutions."""
    kinds = Counter(
        (s.inputs[0].shape[0], s.inputs[0].spec.rank)
        for s in program.steps
        if isinstance(s.op, CONVOLUTIONS)
    )
    if not kinds:
        return []
    batch, rank = kinds.most_common(1)[0][0]
    if batch == 0:
        return []
    layouts = (BATCH_LANES, CHANNELS_LAST) if batch > 1 else (CHANNELS_LAST,)
    return [Place(layout, batch, rank) for layout in layouts]


def _choose(program: Program, place: Place, costs: Costs) -> tuple[float, dict[Step, Lifted]]:
    """Return the seconds that the best choice saves, and the steps that it lifts."""
    graph, options, dense_total = Graph(), {}, 0.0
    for step in program.steps:
        lifted = lift(place, step)
        if lifted is None:
            continue
        inside = _specs_inside(place, step, lifted)
        time = costs.lifted(lifted.op, *inside)
        if time is None:
            continue
        options[step] = lifted
        dense = costs.dense(step.op, [v.spec for v in step.inputs], [v.spec for v in step.outputs])
        dense_total += dense
        graph.connect("dense", step, _ticks(time))
        graph.connect(step, "lifted", _ticks(dense))
    _connect_values(program, place, costs, graph, options)
    total, side = graph.cut("dense", "lifted")
    return dense_total - total / TICKS, {s: o for s, o in options.items() if s in side}


def _ticks(seconds: float) -> int:
    return round(seconds * TICKS)


def _specs_inside(place: Place, step: Step, lifted: Lifted) -> tuple[list[Spec], list[Spec]]:
    inputs = [
        Spec(place.layout.shape(place.aligned(v.shape)) if shape is None else shape, v.dtype)
        for v, shape in zip(step.inputs, lifted.inputs, strict=True)
    ]
    return inputs, list(lifted.op.infer(*inputs))


def _connect_values(
    program: Program, place: Place, costs: Costs, graph: Graph, options: dict[Step, Lifted]
) -> None:
    """Charge each value one reorder in a direction in which somebody needs it."""
    producer = {o: s for s in program.steps for o in s.outputs}
    consumers: dict[Value, list[Step | None]] = {}
    for step in program.steps:
        kept = options[step].inputs if step in options else (None,) * len(step.inputs)
        for value, shape in dict(zip(step.inputs, kept, strict=True)).items():
            if step not in options or shape is None:
                consumers.setdefault(value, []).append(step if step in options else None)
            else:
                consumers.setdefault(value, []).append(None)
    for value in (*program.outputs.values(), *program.updates.values()):
        consumers.setdefault(value, []).append(None)
    for value, users in consumers.items():
        source = producer.get(value)
        inside = source in options and options[source].carried
        start = source if inside else "dense"
        price = _ticks(costs.reorder(value.spec, place.layout))
        takers = [u for u in users if u is not None]
        if takers:
            graph.connect(start, ("arrange", value), price)
        for user in takers:
            graph.connect(("arrange", value), user, INFINITE)
            if inside:
                graph.connect(user, ("restore", value), INFINITE)
        if inside and None in users:
            graph.connect("dense", ("restore", value), INFINITE)
        if inside:
            graph.connect(("restore", value), start, price)


@dataclass
class _Copy:
    """A program on its way into a layout: where each old value is, dense and in the layout."""

    place: Place
    new: Program
    dense: dict[Value, Value]
    inside: dict[Value, Value] = field(default_factory=dict)
    zeroed: dict[Value, Value] = field(default_factory=dict)

    def as_dense(self, value: Value) -> Value:
        if value not in self.dense:
            layout, batch = self.place.layout, self.place.batch
            self.dense[value] = layout.restore(self.new, self.inside[value], batch)
        return self.dense[value]

    def as_inside(self, value: Value) -> Value:
        if value not in self.inside:
            dense = reshape_to(self.new, self.dense[value], self.place.aligned(value.shape))
            self.inside[value] = self.place.layout.arrange(self.new, dense)
        return self.inside[value]

    def without_rest(self, value: Value) -> Value:
        """Return a value in lanes with zeros in the lanes that hold no example."""
        if value not in self.zeroed:
            x = self.as_inside(value)
            used = np.arange(x.shape[0] * LANES).reshape(
                x.shape[0], *(1,) * (x.spec.rank - 2), LANES
            )
            mask = self.new.constant(used < self.place.batch)
            self.zeroed[value] = where(mask, x, 0.0)
        return self.zeroed[value]


def _rewrite(program: Program, place: Place, chosen: dict[Step, Lifted]) -> Program:
    new, known = begin_copy(program)
    copy = _Copy(place, new, known)
    for step in program.steps:
        new.label = step.label
        lifted = chosen.get(step)
        if lifted is None:
            inputs = tuple(copy.as_dense(v) for v in step.inputs)
            outputs = tuple(Value(o.spec, new, o.name) for o in step.outputs)
            new.steps.append(Step(step.op, inputs, outputs, step.label))
            copy.dense.update(zip(step.outputs, outputs, strict=True))
            continue
        take = copy.without_rest if lifted.masked else copy.as_inside
        given = [
            take(v) if shape is None else reshape_to(new, copy.as_dense(v), shape)
            for v, shape in zip(step.inputs, lifted.inputs, strict=True)
        ]
        made = new.apply(lifted.op, *given)
        for old, result in zip(
            step.outputs, made if isinstance(made, tuple) else (made,), strict=True
        ):
            if lifted.carried:
                copy.inside[old] = result
            else:
                copy.dense[old] = reshape_to(new, result, old.shape)
    for value in (*program.outputs.values(), *program.updates.values()):
        copy.as_dense(value)
    return finish_copy(program, new, copy.dense)
