"""Channels last: images [N, C, *S] are held [N, *S, C], kernels [O, C/groups, *K] as [O, *K, C/groups].

cuDNN turns any other order into this one through a buffer as large as the operand, in every call. The pass replays a
program and keeps a *twin* of a value, the same numbers channels-last, beside or instead of the value itself: a
convolution makes one, elementwise steps, pooling and reductions pass it on, and a transpose is recorded only where a
reader needs the other order. So chains of convolutions, activations and normalisations are transposed at their ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cortex.compute.layouts import to_first, to_last
from cortex.compute.ops import (
    BatchNormalisation,
    BatchNormalisationGradient,
    Map,
    Reduce,
    Reshape,
    Transpose,
)
from cortex.compute.passes.simplify import remove_dead
from cortex.compute.program import Op, Program, Step, Value, begin_copy, finish_copy
from cortex.compute.spec import Shape, Spec


def permuted(shape: Shape, axes: Sequence[int]) -> Shape:
    """Return a shape with its axes in another order."""
    return tuple(shape[a] for a in axes)


def turned(build: Program, value: Value, axes: Sequence[int]) -> Value:
    """Record a transpose, or a reshape where the order of the elements stays."""
    moved = [a for a in axes if value.shape[a] != 1]
    if moved == sorted(moved):
        return build.apply(Reshape(permuted(value.shape, axes)), value)
    return build.apply(Transpose(tuple(axes)), value)


@dataclass(frozen=True)
class ChannelsLast(Op):
    """`op` with all of its operands and results held channels-last."""

    op: Op

    def infer(self, *inputs: Spec) -> tuple[Spec, ...]:
        """The specs of the inner op, channels last."""
        first = [Spec(permuted(s.shape, to_first(s.rank)), s.dtype) for s in inputs]
        return tuple(
            Spec(permuted(s.shape, to_last(s.rank)), s.dtype) for s in self.op.infer(*first)
        )

    def decompose(self, build: Program, *inputs: Value) -> tuple[Value, ...]:
        """Transpose, apply, transpose back."""
        first = [build.apply(Transpose(to_first(v.spec.rank)), v) for v in inputs]
        found = build.apply(self.op, *first)
        results = found if isinstance(found, tuple) else (found,)
        return tuple(build.apply(Transpose(to_last(r.spec.rank)), r) for r in results)


def channels_last(
    program: Program, wanted: Callable[[Step], bool], allowed: Callable[[Step], bool]
) -> Program:
    """Return the program with the `wanted` steps channels-last, and the `allowed` ones where an operand is already."""
    if not any(wanted(step) for step in program.steps):
        return program
    new, place = begin_copy(program)
    copier = _Copier(new, place)
    for step in program.steps:
        new.label = step.label
        copier.replay(step, wanted, allowed)
    for value in (*program.outputs.values(), *program.updates.values()):
        copier.first(value)
    return remove_dead(finish_copy(program, new, place))


class _Copier:
    """Where old values are in the new program: as they were (`place`), channels-last (`twin`), or both."""

    def __init__(self, new: Program, place: dict[Value, Value]) -> None:
        self.new, self.place = new, place
        self.twin: dict[Value, Value] = {}

    def first(self, value: Value) -> Value:
        """Return a value in its own order."""
        if value not in self.place:
            twin = self.twin[value]
            self.place[value] = turned(self.new, twin, to_first(twin.spec.rank))
        return self.place[value]

    def last(self, value: Value) -> Value:
        """Return a value channels-last."""
        if value not in self.twin:
            self.twin[value] = turned(self.new, self.place[value], to_last(value.spec.rank))
        return self.twin[value]

    def replay(
        self, step: Step, wanted: Callable[[Step], bool], allowed: Callable[[Step], bool]
    ) -> None:
        """Record a step in the order that costs least."""
        if wanted(step) or (allowed(step) and any(v in self.twin for v in step.inputs)):
            result = self.new.apply(ChannelsLast(step.op), *map(self.last, step.inputs))
            results = result if isinstance(result, tuple) else (result,)
            self.twin.update(zip(step.outputs, results, strict=True))
        elif not (self._map(step) or self._reduce(step) or self._normalise(step)):
            outputs = tuple(Value(o.spec, self.new, o.name) for o in step.outputs)
            inputs = tuple(map(self.first, step.inputs))
            self.new.steps.append(Step(step.op, inputs, outputs, step.label))
            self.place.update(zip(step.outputs, outputs, strict=True))

    def _map(self, step: Step) -> bool:
        """Compute a map channels-last where one of its large operands is there in that order only."""
        op, shape = step.op, step.outputs[0].shape
        rank = len(shape)
        if not isinstance(op, Map) or rank < 3:
            return False
        large = [v for v in step.inputs if v.shape == shape]
        if not any(v in self.twin and v not in self.place for v in large):
            return False
        inputs = [self._spread(v, rank) for v in step.inputs]
        result = self.new.apply(
            Map(op.expressions, op.dtypes, permuted(shape, to_last(rank))), *inputs
        )
        results = result if isinstance(result, tuple) else (result,)
        self.twin.update(zip(step.outputs, results, strict=True))
        return True

    def _spread(self, value: Value, rank: int) -> Value:
        """Return an operand of a map so that it broadcasts against `rank` axes, channels last."""
        if value.spec.rank == rank:
            return self.last(value)
        source = self.first(value)
        full = self.new.apply(Reshape((1,) * (rank - value.spec.rank) + value.shape), source)
        return turned(self.new, full, to_last(rank))

    def _reduce(self, step: Step) -> bool:
        """Reduce a value that is there channels-last only, where what remains keeps its order."""
        op = step.op
        if not isinstance(op, Reduce):
            return False
        (x,) = step.inputs
        if x not in self.twin or x in self.place:
            return False
        rank = x.spec.rank
        order = to_last(rank)
        axes = tuple(sorted(order.index(a) for a in op.axes))
        remaining = [a for a in order if a not in op.axes]
        if op.keep:
            result = self.new.apply(Reduce(op.kind, axes, True), self.twin[x])
            self.twin[step.outputs[0]] = result
            return True
        if remaining != sorted(remaining):
            return False
        self.place[step.outputs[0]] = self.new.apply(Reduce(op.kind, axes), self.twin[x])
        return True

    def _normalise(self, step: Step) -> bool:
        """Take the statistics of every channel, or the gradient through them, where the channels are last."""
        op = step.op
        if not isinstance(op, (BatchNormalisation, BatchNormalisationGradient)):
            return False
        rank = step.outputs[0].spec.rank
        images = [v for v in step.inputs if v.spec.rank == rank]
        channels = [a for a in range(rank) if a not in op.axes]
        if channels != [1] or not any(v in self.twin and v not in self.place for v in images):
            return False
        last = replace(op, axes=tuple(range(rank - 1)))
        inputs = (self.last(v) if v in images else self.first(v) for v in step.inputs)
        image, *statistics = self.new.apply(last, *inputs)
        self.twin[step.outputs[0]] = image
        self.place.update(zip(step.outputs[1:], statistics, strict=True))
        return True
