"""Which steps can work on values in a layout, and as what op."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..layouts import BATCH_LANES, LANES, Layout
from ..ops import Concatenate, Map, Pad, Reduce, Slice
from ..ops.arranged import CARRIED, Arranged
from ..program import Op, Step
from ..spec import Shape


@dataclass(frozen=True)
class Lifted:
    """A step as it is in a layout."""

    op: Op
    inputs: tuple[
        Shape | None, ...
    ]  # None: comes in the layout; else it is dense, reshaped to this
    carried: bool  # whether the results lie in the layout; else they are dense, once reshaped
    masked: bool = False  # unused lanes of the inputs must be zero


@dataclass(frozen=True)
class Place:
    """A layout for a batch of images of so many axes (batch, channels and extents)."""

    layout: Layout
    batch: int
    rank: int

    def holds(self, shape: Shape) -> bool:
        """Whether dense values of this shape may lie in the layout."""
        return len(shape) == self.rank and shape[0] == self.batch

    def aligned(self, shape: Shape) -> Shape:
        """Return a shape with as many axes as images have, as broadcasting aligns it."""
        return (1,) * (self.rank - len(shape)) + shape

    @property
    def padded(self) -> bool:
        """Whether some lanes hold no example."""
        return self.layout is BATCH_LANES and self.batch % LANES != 0

    def axis(self, axis: int) -> int:
        """Return where a dense axis lies in the layout."""
        if self.layout is BATCH_LANES or axis == 0:
            return axis
        return self.rank - 1 if axis == 1 else axis - 1

    def entries(self, dense: tuple[int, ...], lanes: int) -> tuple[int, ...]:
        """Return one entry per axis, in the order of the layout; `lanes` is that of the axis of lanes."""
        if self.layout is BATCH_LANES:
            return (*dense, lanes)
        return (dense[0], *dense[2:], dense[1])


def lift(place: Place, step: Step) -> Lifted | None:
    """Return the step in the layout, or None where it has to stay dense."""
    rule = RULES.get(type(step.op))
    return rule(place, step) if rule is not None else None


def _map(place: Place, step: Step) -> Lifted | None:
    shape = step.outputs[0].shape
    if not isinstance(step.op, Map) or not place.holds(shape):
        return None
    inputs = tuple(_operand(place, v.shape) for v in step.inputs)
    return Lifted(replace(step.op, shape=place.layout.shape(shape)), inputs, True)


def _operand(place: Place, shape: Shape) -> Shape | None:
    """Return the shape of a map's operand that stays dense, or None for one that comes in the layout."""
    if all(n == 1 for n in shape):
        return ()
    aligned = place.aligned(shape)
    if place.layout is BATCH_LANES:
        return None if place.holds(aligned) else (*aligned, 1)
    if aligned[1] == 1 or all(n == 1 for n in aligned[2:]):
        return place.layout.shape(aligned)
    return None


def _reduce(place: Place, step: Step) -> Lifted | None:
    op, shape = step.op, step.inputs[0].shape
    if not isinstance(op, Reduce) or op.kind == "argmax" or not place.holds(shape):
        return None
    axes = {place.axis(a) for a in op.axes}
    whole = 0 in op.axes
    if place.layout is BATCH_LANES:
        if whole and place.padded and op.kind != "sum":
            return None
        axes |= {place.rank} if whole else set()
    elif not op.keep and 1 not in op.axes and set(op.axes) & {0, *range(2, place.rank)} != {
        *range(2, place.rank), *(set(op.axes) & {0})
    }:  # fmt: skip
        return None  # channels and some extents stay: their order differs
    carried = not whole if place.layout is BATCH_LANES else op.keep and not whole
    return Lifted(replace(op, axes=tuple(sorted(axes))), (None,), carried, whole and place.padded)


def _slice(place: Place, step: Step) -> Lifted | None:
    op, shape = step.op, step.inputs[0].shape
    kept = isinstance(op, Slice) and place.holds(shape) and place.holds(step.outputs[0].shape)
    if not isinstance(op, Slice) or not kept:
        return None
    start, stop = place.entries(op.start, 0), list(place.entries(op.stop, LANES))
    stop[0] = place.layout.shape(shape)[0]
    return Lifted(Slice(start, tuple(stop), place.entries(op.steps, 1)), (None,), True)


def _pad(place: Place, step: Step) -> Lifted | None:
    op, shape = step.op, step.inputs[0].shape
    if not isinstance(op, Pad) or not (place.holds(shape) and place.holds(step.outputs[0].shape)):
        return None
    low, high, between = (place.entries(e, 0) for e in (op.low, op.high, op.between))
    return Lifted(Pad(low, high, between, op.value), (None,), True)


def _concatenate(place: Place, step: Step) -> Lifted | None:
    op = step.op
    if not isinstance(op, Concatenate) or op.axis == 0:
        return None
    if not all(place.holds(v.shape) for v in step.inputs):
        return None
    return Lifted(Concatenate(place.axis(op.axis)), (None,) * len(step.inputs), True)


def _arranged(place: Place, step: Step) -> Lifted | None:
    carried, to_layout = CARRIED[type(step.op)]
    pairs = list(zip(step.inputs, carried, strict=False))
    if not all(place.holds(v.shape) for v, inside in pairs if inside):
        return None
    inputs = tuple(None if inside else v.shape for v, inside in pairs)
    return Lifted(Arranged(step.op, place.layout, place.batch), inputs, to_layout)


RULES: dict[type[Op], Callable[[Place, Step], Lifted | None]] = {
    Map: _map, Reduce: _reduce, Slice: _slice, Pad: _pad, Concatenate: _concatenate,
    **dict.fromkeys(CARRIED, _arranged),
}  # fmt: skip
