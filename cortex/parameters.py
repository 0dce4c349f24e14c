"""The flat layout of a network's parameters: what a program's state looks like.

Trainable parameters with equal attributes (learning-rate factor, frozen, l1, l2, max-norm) form a group; group
k is one flat state buffer `parameters.<k>`, and each parameter a view of it under its own name, `conv1.weights`.
Views start at multiples of 16 elements (64 bytes in float32: a cache line, an AVX-512 register); what lies
between is zero and stays zero. Statistics are state of their own. The layout depends on the network alone, so
every program traced from it (training, evaluation, inference, gradients, for any batch size) finds its
parameters in the same memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from cortex.compute.ops import Concatenate, Reshape, Slice
from cortex.compute.ops.map import filled
from cortex.compute.ops.reduce import reshape_to
from cortex.compute.program import Program, Value
from cortex.compute.spec import Shape

if TYPE_CHECKING:
    from cortex.network import Network

ALIGNMENT = 16


@dataclass(frozen=True)
class Treatment:
    """What parameters of one group have in common; see `cortex.network.Attributes`."""

    learning_rate_factor: float = 1.0
    frozen: bool = False
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float | None = None


@dataclass(frozen=True)
class Slot:
    """Where one parameter lies in the buffer of its group, in elements."""

    name: str
    shape: Shape
    offset: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class Group:
    """One flat buffer: the state `state` of `size` elements."""

    state: str
    treatment: Treatment
    slots: tuple[Slot, ...]

    @property
    def size(self) -> int:
        """Number of elements, those between the parameters included."""
        return _aligned(self.slots[-1].offset + self.slots[-1].size)

    @property
    def is_trained(self) -> bool:
        """Whether training changes anything in it."""
        return not self.treatment.frozen and self.treatment.learning_rate_factor != 0

    def pieces(self, program: Program, flat: Value) -> list[Value]:
        """Return the parameters inside a value that has the layout of this group, each in its own shape."""
        found = []
        for slot in self.slots:
            piece = flat
            if slot.size != flat.spec.size:
                piece = program.apply(Slice((slot.offset,), (slot.offset + slot.size,)), flat)
            found.append(reshape_to(program, piece, slot.shape))
        return found

    def join(self, program: Program, pieces: Sequence[Value]) -> Value:
        """Return one flat value of one piece per parameter, with zeros between them."""
        parts: list[Value] = []
        end = 0
        ends = [*(slot.offset for slot in self.slots[1:]), self.size]
        for slot, piece, following in zip(self.slots, pieces, ends, strict=True):
            parts.append(
                program.apply(Reshape((slot.size,)), piece) if len(slot.shape) != 1 else piece
            )
            end = slot.offset + slot.size
            if following > end:
                parts.append(filled(program, 0.0, (following - end,), piece.dtype))
        joined: Value = program.apply(Concatenate(0), *parts) if len(parts) > 1 else parts[0]
        return joined


@dataclass(frozen=True)
class Layout:
    """The groups of a network's trainable parameters, and its statistics by name."""

    groups: tuple[Group, ...]
    statistics: Mapping[str, Shape]

    def declare(self, program: Program, dtype: str) -> dict[str, Value]:
        """Declare everything as state of a program; return the value of each parameter and statistic by name."""
        values: dict[str, Value] = {}
        for group in self.groups:
            program.persistent(group.state, (group.size,), dtype)
            for slot in group.slots:
                values[slot.name] = program.view(slot.name, group.state, slot.offset, slot.shape)
        for name, shape in self.statistics.items():
            values[name] = program.persistent(name, shape, dtype)
        return values


def layout(network: Network) -> Layout:
    """Return the layout of a network's parameters."""
    members: dict[Treatment, list[tuple[str, Shape]]] = {}
    statistics = {}
    for name, parameter in network.shapes.owned.items():
        if parameter.trainable:
            members.setdefault(treatment(network, name), []).append((name, parameter.shape))
        else:
            statistics[name] = parameter.shape
    groups = tuple(
        group(f"parameters.{k}", t, shapes) for k, (t, shapes) in enumerate(members.items())
    )
    return Layout(groups, statistics)


def treatment(network: Network, parameter: str) -> Treatment:
    """Return how a parameter is treated in training, with the defaults filled in."""
    a = network.attributes(parameter)
    factor = 1.0 if a.learning_rate_factor is None else float(a.learning_rate_factor)
    return Treatment(factor, bool(a.frozen), float(a.l1 or 0), float(a.l2 or 0), a.max_norm)


def group(state: str, treated: Treatment, members: Sequence[tuple[str, Shape]]) -> Group:
    """Return a group with its members one behind the other."""
    slots, offset = [], 0
    for name, shape in members:
        slots.append(Slot(name, tuple(shape), offset))
        offset = _aligned(offset + prod(shape))
    return Group(state, treated, tuple(slots))


def _aligned(n: int) -> int:
    return -(-n // ALIGNMENT) * ALIGNMENT
