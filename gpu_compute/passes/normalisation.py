"""Batch normalisation by cuDNN: one graph each way, with the relu and the shortcut that follow it.

cuDNN keeps one bit of each result, whether it is positive. So the gradient of the relu goes into the graph that reads
it, and what lies between normalisation and relu is never written.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from cortex.compute import math as m
from cortex.compute.expression import symbol
from cortex.compute.layouts import to_first
from cortex.compute.ops import BatchNormalisation, BatchNormalisationGradient
from cortex.compute.passes.simplify import remove_dead
from cortex.compute.program import Program, Step, Value, begin_copy, count_uses, finish_copy

from ..libraries import dnn
from .gates import GATES, computes
from .graph import DnnGraph
from .layout import permuted

Accepts = Callable[[dnn.Description], bool]

X, Y = symbol(0), symbol(1)
SUMS = (X + Y, Y + X)
RELUS = (m.maximum(X, 0), m.maximum(X, 0.0))


def normalise(program: Program, held: str, accepts: Accepts) -> Program:
    """Return the program with batch normalisations of channels-last images as graphs that the library accepts.

    `held` is the dtype in which images of float32 will lie in memory.
    """
    if not any(_is_ours(step) for step in program.steps):
        return program
    new, place = begin_copy(program)
    copier = _Copier(program, new, place, held, accepts)
    for step in program.steps:
        new.label = step.label
        copier.replay(step)
    return remove_dead(finish_copy(program, new, place))


@dataclass(frozen=True)
class _End:
    """What follows a normalisation and goes into its graph: the result to write instead, and what is added before."""

    result: Value
    relu: bool = False
    residual: tuple[Value, ...] = ()
    steps: tuple[Step, ...] = ()


@dataclass
class _Copier:
    """Where old values are in the new program (`place`), and what its graphs leave to others."""

    old: Program
    new: Program
    place: dict[Value, Value]
    held: str
    accepts: Accepts
    done: set[Step] = field(default_factory=set)  # their work is part of a graph
    inverse: dict[Value, Value] = field(default_factory=dict)  # 1 / deviation, by the old variance
    mask: dict[Value, Value] = field(default_factory=dict)  # by the old result of a relu
    gated: dict[Value, tuple[Value, Value]] = field(default_factory=dict)  # cotangent and mask

    def __post_init__(self) -> None:
        self.uses = count_uses(self.old)
        self.readers: dict[Value, list[Step]] = defaultdict(list)
        for step in self.old.steps:
            for value in step.inputs:
                self.readers[value].append(step)

    def replay(self, step: Step) -> None:
        """Record a step, where no graph does its work."""
        if step in self.done or self._forward(step) or self._gate(step) or self._backward(step):
            return
        outputs = tuple(Value(o.spec, self.new, o.name) for o in step.outputs)
        inputs = tuple(self.place[v] for v in step.inputs)
        self.new.steps.append(Step(step.op, inputs, outputs, step.label))
        self.place.update(zip(step.outputs, outputs, strict=True))

    def _forward(self, step: Step) -> bool:
        """Record a graph for a normalisation: with its end where the library has one for both, else alone."""
        if not isinstance(step.op, BatchNormalisation) or not _is_ours(step):
            return False
        for end in (self._end(step.outputs[0]), _End(step.outputs[0])):
            # Without weight of the old running values, the new ones are mean and unbiased variance of the batch.
            description = dnn.BatchNormTraining(
                *self._image(step), momentum=0.0, residual=bool(end.residual), relu=end.relu
            )
            if self.accepts(description):
                self._record(step, description, end)
                return True
        return False

    def _record(self, step: Step, description: dnn.BatchNormTraining, end: _End) -> None:
        x, scale, bias = (self.place[v] for v in step.inputs)
        any_finite = (bias, scale)  # in the place of the old running values
        rest = (self.place[v] for v in end.residual)
        made = self.new.apply(DnnGraph(description), x, scale, bias, *any_finite, *rest)
        y, mean, inverse, _, unbiased, *mask = made
        _, old_mean, old_variance = step.outputs
        count = x.spec.size // scale.spec.size
        self.place |= {end.result: y, old_mean: mean}
        self.place[old_variance] = unbiased * ((count - 1) / count)
        self.inverse[old_variance] = inverse
        if mask:
            self.mask[end.result] = mask[0]
        self.done.update(end.steps)

    def _end(self, y: Value) -> _End:
        """Return the relu that alone reads a value, or reads its sum with a value that is there already."""
        step = self._only_reader(y)
        residual: tuple[Value, ...] = ()
        steps: tuple[Step, ...] = ()
        if step and computes(step, SUMS):
            residual, steps = tuple(v for v in step.inputs if v is not y), (step,)
            step = self._only_reader(step.outputs[0])
        there = all(v in self.place and v.spec == y.spec for v in residual)
        if step is None or not there or not computes(step, RELUS):
            return _End(y)
        return _End(step.outputs[0], True, residual, (*steps, step))

    def _only_reader(self, value: Value) -> Step | None:
        return self.readers[value][0] if self.uses[value] == len(self.readers[value]) == 1 else None

    def _gate(self, step: Step) -> bool:
        """Leave the gradient of a relu to the graph that is the first to read it."""
        gate = step.outputs[0]
        if not computes(step, GATES) or not self.readers[gate]:
            return False
        (c, result), reader = step.inputs, self.readers[gate][0]
        if result not in self.mask or c.spec != gate.spec or gate is not reader.inputs[0]:
            return False
        if not isinstance(reader.op, BatchNormalisationGradient) or not _is_ours(reader):
            return False
        if not self.accepts(self._backward_description(reader, True)):
            return False
        self.gated[gate] = (self.place[c], self.mask[result])
        return True

    def _backward(self, step: Step) -> bool:
        """Record a graph for the gradient of a normalisation."""
        if not isinstance(step.op, BatchNormalisationGradient) or not _is_ours(step):
            return False
        dy, x, scale, mean, variance = step.inputs
        description = self._backward_description(step, dy in self.gated)
        if not self.accepts(description):
            return False
        c, *mask = self.gated[dy] if dy in self.gated else (self.place[dy],)
        if variance not in self.inverse:
            self.inverse[variance] = 1 / m.sqrt(self.place[variance] + step.op.epsilon)
        statistics = (self.place[scale], self.place[mean], self.inverse[variance])
        made = self.new.apply(DnnGraph(description), c, self.place[x], *statistics, *mask)
        self.place.update(zip((*step.outputs, dy), made, strict=False))
        return True

    def _backward_description(self, step: Step, relu: bool) -> dnn.BatchNormBackward:
        """Describe a gradient; where others read the gradient of the relu too, the graph writes it for them."""
        shared = relu and self.uses[step.inputs[0]] > 1
        return dnn.BatchNormBackward(*self._image(step), residual=shared, relu=relu)

    def _image(self, step: Step) -> tuple[tuple[int, ...], float, str]:
        """Return what descriptions begin with: logical shape, epsilon and dtype."""
        shape = step.outputs[0].shape
        epsilon: float = step.op.epsilon  # type: ignore[attr-defined]
        return permuted(shape, to_first(len(shape))), epsilon, self.held


def _is_ours(step: Step) -> bool:
    """Whether a step normalises the channels of images that are held channels-last, or carries its gradient."""
    op = step.op
    if not isinstance(op, (BatchNormalisation, BatchNormalisationGradient)):
        return False
    image = step.outputs[0].spec
    several = image.size > math.prod(step.outputs[1].shape)
    last = image.rank > 2 and op.axes == tuple(range(image.rank - 1))
    return last and several and image.dtype == "float32"
