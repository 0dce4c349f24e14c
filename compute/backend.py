"""What a backend is: the whole interface between a program and a machine.

A backend compiles a `Program` once and returns an `Executable`; nothing else crosses. Third parties register one under
the entry point group `cortex.backends`; nothing here changes for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .errors import BackendError
from .program import Program
from .spec import HALVES


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do, as values: nothing is discovered by an exception halfway through a run."""

    dtypes: tuple[str, ...]
    graph_capture: bool = False
    deterministic: bool = True
    threads: int = 1
    collectives: bool = False  # sums over processes: has `joined`, see `cortex.compute.group`
    loss_scale: float | str | None = None  # what its gradients want, see `cortex.tracing.scaling`
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StepReport:
    """One step of a compiled program: what runs, for which layer, and who provides it."""

    op: str
    label: str
    provider: str
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanReport:
    """What a compiled program occupies (exact bytes by kind) and how each of its steps runs."""

    backend: str
    bytes: Mapping[str, int]
    steps: tuple[StepReport, ...]
    unplanned_bytes: int = 0  # what activations would take without sharing memory

    @property
    def total(self) -> int:
        """Bytes of everything together."""
        return sum(self.bytes.values())

    def providers(self) -> dict[str, int]:
        """Return how many steps each provider runs."""
        count: dict[str, int] = {}
        for step in self.steps:
            count[step.provider] = count.get(step.provider, 0) + 1
        return count

    def __str__(self) -> str:
        lines = [f"{self.backend}: {self.total:,} bytes"]
        lines += [f"  {kind:<12} {size:>14,}" for kind, size in self.bytes.items()]
        if self.unplanned_bytes:
            lines.append(
                f"  activations reduced from {self.unplanned_bytes:,} bytes by sharing memory"
            )
        width = max((len(s.provider) for s in self.steps), default=0)
        for i, s in enumerate(self.steps):
            lines.append(
                f"  {i:>3} {s.provider:<{width}} {s.op}" + (f"  [{s.label}]" if s.label else "")
            )
        return "\n".join(lines)


class Memory(Protocol):
    """Named persistent buffers of one backend; executables compiled with the same memory share state by name.

    Whoever runs these executables one at a time may say so by setting `one_at_a_time`: a backend may then let those
    that are compiled later use the same memory for activations.
    """

    one_at_a_time: bool

    def names(self) -> tuple[str, ...]:
        """Return the names of the buffers held."""
        ...


@runtime_checkable
class Executable(Protocol):
    """A compiled program; it owns its plan and shares parameter memory with its siblings."""

    @property
    def memory(self) -> Memory:
        """The persistent buffers, to be shared with siblings."""
        ...

    @property
    def report(self) -> PlanReport:
        """Exact bytes by kind, and who runs each step."""
        ...

    def write(self, name: str, array: Any) -> None:
        """Copy a host array into an input, state or view; shape and dtype must fit."""
        ...

    def run(self) -> None:
        """Run once: one call, no allocation, no synchronisation."""
        ...

    def read(self, name: str) -> np.ndarray:
        """Return a copy of an output, input, state or view; the only place that waits for a device."""
        ...


class Backend(Protocol):
    """A machine that runs programs."""

    @property
    def name(self) -> str:
        """What people call it, with its options: `cortex.compute.options.full_name`."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    def compile(self, program: Program, memory: Memory | None = None) -> Executable:
        """Plan and compile a program; state whose name is in `memory` already is shared, not cleared.

        Raises:
            BackendError: the program needs what the capabilities exclude, or state differs from that in `memory`.
        """
        ...


def check_dtypes(program: Program, backend: str) -> None:
    """Raise `BackendError` where a program names a dtype that only values inside a backend have."""
    sources = (*program.inputs.values(), *program.state.values(), *program.constants)
    given = [(v.name or "a constant", v) for v in sources]
    given += [(type(s.op).__name__, v) for s in program.steps for v in s.outputs]
    for what, value in given:
        if value.dtype in HALVES:
            raise BackendError(
                f"{backend}: {what} has dtype {value.dtype}, which programs do not have; make it float32 and leave "
                f'it to a backend to hold results in 16 bits: CudaBackend(precision="{value.dtype}")'
            )
