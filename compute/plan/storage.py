"""Which value lives where: roots of memory, aliases into them, results written straight to where they belong.

A root is a piece of memory of its own: an input, a state buffer, a constant or a range of the arena. A value has a
place: a root and an offset in bytes. Reshapes and contiguous slices are aliases; the pieces of a contiguous
concatenation and the new value of a state are computed in place, unless somebody still reads what lies there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..ops import AllReduce, Concatenate, Map, Reshape, Slice
from ..passes.memory import ALIGNMENT
from ..program import Program, Step, Value, begin_copy, finish_copy
from ..spec import ITEM_BYTES, Spec

FOREVER = 1 << 60


@dataclass(eq=False)
class Root:
    """Memory of its own; `base` is set when it became part of another root."""

    kind: str  # input, state, constant, arena
    bytes: int
    name: str = ""
    base: Root | None = None
    shift: int = 0
    first: int = FOREVER  # the first and the last instruction that touches it
    last: int = -1
    address: int = 0
    rest: int = 0  # instructions after the last one until the memory may be used again

    def resolve(self) -> tuple[Root, int]:
        """Return the root that this one finally lies in, and the offset there."""
        root, shift = self, 0
        while root.base is not None:
            shift += root.shift
            root = root.base
        return root, shift


@dataclass(frozen=True)
class Place:
    """A position inside a root, in bytes."""

    root: Root
    offset: int

    @property
    def resolved(self) -> tuple[Root, int]:
        """The final root and the offset there."""
        root, shift = self.root.resolve()
        return root, shift + self.offset

    @property
    def address(self) -> int:
        """The address in memory, once the roots have theirs."""
        root, offset = self.resolved
        return root.address + offset


@dataclass(frozen=True)
class Operand:
    """A place, and the spec of what lies there."""

    place: Place
    spec: Spec

    @property
    def alignment(self) -> int:
        """Bytes of which the address is a multiple, whatever address its root gets: 64, or less inside a root."""
        _, offset = self.place.resolved
        return math.gcd(ALIGNMENT, offset)

    def moved(self, elements: int) -> Operand:
        """Return the operand that starts some elements further on."""
        shift = elements * ITEM_BYTES[self.spec.dtype]
        return Operand(Place(self.place.root, self.place.offset + shift), self.spec)


@dataclass
class Storage:
    """The places of all values of a program."""

    program: Program
    place: dict[Value, Place] = field(default_factory=dict)
    copies: list[tuple[Value, Value]] = field(
        default_factory=list
    )  # state <- value, at the end of a run

    def __post_init__(self) -> None:
        program = self.program
        for kind, group in (("input", program.inputs), ("state", program.state)):
            for name, value in group.items():
                self.place[value] = Place(Root(kind, value.spec.bytes, name), 0)
        for value in program.constants:
            self.place[value] = Place(Root("constant", value.spec.bytes), 0)
        for step in program.steps:
            for value in step.outputs:
                self.place[value] = self._alias(step) or Place(Root("arena", value.spec.bytes), 0)
        for step in reversed(program.steps):
            if is_joined(step):
                self._bind_pieces(step)
        for name, value in program.updates.items():
            if not self._bind_update(program.state[name], value):
                self.copies.append((program.state[name], value))
        self._in_place()

    def same(self, a: Value, b: Value) -> bool:
        """Whether two values lie at the same place."""
        return self.place[a].resolved == self.place[b].resolved

    def _alias(self, step: Step) -> Place | None:
        if is_alias(step):
            source = self.place[step.inputs[0]]
            return Place(source.root, source.offset + alias_offset(step))
        return None

    def _bind_pieces(self, step: Step) -> None:
        """Let the pieces of a concatenation be computed inside the result."""
        whole, offset = self.place[step.outputs[0]], 0
        for piece in step.inputs:
            place = self.place[piece]
            if self._is_free(place, piece) and whole.offset == 0 and step.inputs.count(piece) == 1:
                place.root.base, place.root.shift = whole.root, offset
            offset += piece.spec.bytes

    def _is_free(self, place: Place, value: Value) -> bool:
        root = place.root
        return (
            root.kind == "arena" and root.base is None and place.offset == 0 and root.bytes == value.spec.bytes
            and value.spec.size > 0
        )  # fmt: skip

    def _bind_update(self, state: Value, value: Value) -> bool:
        """Let the new value of a state be written over the old one, where no reader of the old comes later."""
        place, target = self.place[value], self.place[state]
        if place.root is target.root or not self._is_free(place, value):
            return False
        reads = list(self._touches(target.root, reading=True))
        for w, start, stop, written in self._touches(place.root, reading=False):
            for r, first, last, read in reads:
                if r < w or last <= start or stop <= first:
                    continue
                step = self.program.steps[w]
                exact = (first, last) == (start, stop) and isinstance(step.op, Map) and r == w
                if not (exact and read.shape == written.shape):
                    return False
        place.root.base, place.root.shift = target.root, 0
        return True

    def _touches(self, root: Root, reading: bool) -> Iterator[tuple[int, int, int, Value]]:
        """Yield (step, first byte, last byte, value) for each read or write of a root by a step that does work."""
        final, base = root.resolve()
        for number, step in enumerate(self.program.steps):
            if is_alias(step):
                continue
            for value in step.inputs if reading else step.outputs:
                found, offset = self.place[value].resolved
                if found is final:
                    yield number, offset - base, offset - base + value.spec.bytes, value

    def _in_place(self) -> None:
        """Let a map, or a sum over processes, write over an input that dies with it."""
        last = self.last_uses()
        for number, step in enumerate(self.program.steps):
            if not isinstance(step.op, (Map, AllReduce)):
                continue
            for out in step.outputs:
                place = self.place[out]
                if not self._is_free(place, out):
                    continue
                for value in step.inputs:
                    root, offset = self.place[value].resolved
                    fits = value.spec == out.spec and root.bytes == out.spec.bytes and offset == 0
                    taken = any(
                        o is not out and self.place[o].resolved[0] is root for o in step.outputs
                    )
                    # another part of the same memory, or in another shape, would be read too late
                    moved = any(
                        self.place[v].resolved[0] is root
                        and (v.spec != out.spec or self.place[v].resolved[1] != offset)
                        for v in step.inputs
                    )
                    free = root.kind == "arena" and last[root] == number and not taken
                    if fits and free and not moved:
                        last[root] = max(number, last.pop(place.root, number))
                        place.root.base, place.root.shift = root, 0
                        break

    def last_uses(self) -> dict[Root, int]:
        """Return the number of the last step that touches each final root; results to keep live forever."""
        last: dict[Root, int] = {}
        for number, step in enumerate(self.program.steps):
            for value in (*step.inputs, *step.outputs):
                last[self.place[value].resolved[0]] = number
        for value in (*self.program.outputs.values(), *self.program.updates.values()):
            last[self.place[value].resolved[0]] = FOREVER
        return last


def is_alias(step: Step) -> bool:
    """Whether a step needs no work: its output is a contiguous range of its input."""
    if isinstance(step.op, Reshape):
        return True
    if not isinstance(step.op, Slice) or any(s != 1 for s in step.op.steps):
        return False
    # contiguous: after the first axis longer than 1 that is cut, nothing else is cut
    shape, out = step.inputs[0].shape, step.outputs[0].shape
    cut = [i for i in range(len(shape)) if out[i] != shape[i]]
    return not cut or math.prod(out[: max(cut)]) == 1


def alias_offset(step: Step) -> int:
    """Return the offset in bytes of an alias inside its input."""
    if isinstance(step.op, Reshape):
        return 0
    shape, spec = step.inputs[0].shape, step.inputs[0].spec
    stride, offset = 1, 0
    for n, start in zip(reversed(shape), reversed(step.op.start), strict=True):  # type: ignore[attr-defined]
        offset += start * stride
        stride *= n
    return offset * (spec.bytes // max(1, spec.size))


def is_joined(step: Step) -> bool:
    """Whether a concatenation is contiguous, so that its pieces can be computed in place."""
    if not isinstance(step.op, Concatenate):
        return False
    return math.prod(step.outputs[0].shape[: step.op.axis]) == 1


def isolate(program: Program) -> Program:
    """Copy, at the start, what is named as output or update but is an input, state or constant itself.

    Updates are made in place, so a result that is old content must be saved before it is overwritten.
    """
    from ..expression import symbol

    origin: dict[Value, Value] = {
        v: v for v in (*program.inputs.values(), *program.state.values(), *program.constants)
    }
    for step in program.steps:
        if is_alias(step) and step.inputs[0] in origin:
            origin[step.outputs[0]] = origin[step.inputs[0]]
    named = {**program.outputs, **{f"update of {n}": v for n, v in program.updates.items()}}
    if not any(v in origin for v in named.values()):
        return program
    new, place = begin_copy(program)
    saved: dict[Value, Value] = {}
    for value in named.values():
        source = origin.get(value)
        if source is not None and source not in saved:
            saved[source] = new.apply(
                Map((symbol(0),), (source.dtype,), source.shape), place[source]
            )
    for step in program.steps:
        outputs = tuple(Value(o.spec, new, o.name) for o in step.outputs)
        new.steps.append(Step(step.op, tuple(place[v] for v in step.inputs), outputs, step.label))
        place.update(zip(step.outputs, outputs, strict=True))
    finish = dict(place)
    for value in named.values():
        if value in origin:
            finish[value] = _saved_view(new, program, value, saved)
    return finish_copy(program, new, finish)


def _saved_view(new: Program, program: Program, value: Value, saved: dict[Value, Value]) -> Value:
    """Repeat the aliases that lead to `value` on the saved copy of where they start."""
    if value in saved:
        return saved[value]
    step = next(s for s in program.steps if value in s.outputs)
    result: Value = new.apply(step.op, _saved_view(new, program, step.inputs[0], saved))
    return result
