"""The CPU backend: passes, lowering, memory, and one native call per run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Capabilities, Memory, PlanReport, check_dtypes
from ..errors import BackendError
from ..group import Group, check_programs
from ..host import HostBuffers, HostMemory, aligned
from ..options import full_name, option
from ..passes import (
    choose_layouts,
    decompose,
    fold_affine,
    fuse_chains,
    fuse_epilogues,
    fuse_maps,
    fuse_sums,
    simplify,
    updates_last,
)
from ..passes.memory import round_up
from ..plan.arena import Arena, assign_apart
from ..plan.prepared import prepared, watched
from ..plan.storage import isolate
from ..program import Program, Value
from ..spec import Spec
from ..threads import get_num_threads, set_num_threads
from .instruction import Instruction, Operand
from .interpreter import Interpreter
from .lowering import Lowering, lower
from .native import engine, native


@dataclass(frozen=True)
class Options:
    """How the CPU backend runs programs."""

    exact: bool = option(
        False,
        "no algorithm that rounds more than the plain sum does: no Winograd convolutions, and "
        "denormal numbers (below 1e-38 in float32) are kept, not taken for zero",
    )


class CpuExecutable:
    """A compiled program: an arena, flat state, and a list of instructions run by one call."""

    def __init__(
        self,
        program: Program,
        memory: HostMemory,
        options: Options,
        group: Group | None = None,
    ) -> None:
        self.memory, self._options = memory, options
        self._low = low = lower(program, options.exact, group)
        self._buffers = buffers = HostBuffers(program, memory)
        early = prepared(low)
        kept, arena = assign_apart(low, early)
        self._kept, self._arena = aligned(Spec((kept.size,), "uint8")), memory.arena(arena.size)
        for part, base in ((kept, self._kept), (arena, self._arena)):
            for root in part.roots:
                root.address += base.ctypes.data
        self._constants: dict[Value, np.ndarray] = {}
        self._place_named(low)
        for name, value in program.outputs.items():
            buffers.outputs[name] = array_at(low.operand(value))
        self._errors = np.full(len(low.checks), -1, np.int64)
        for k, (operand, _) in enumerate(low.checks):
            operand.place.root.address = self._errors[k:].ctypes.data
        first = set(early)
        self._later = [n for n in range(len(low.instructions)) if n not in first]
        self._prepare = self._build([low.instructions[n] for n in early])
        self._watched, self._updated = watched(low, early), tuple(program.updates)
        self._seen: list[int] | None = None  # versions of the watched state when that ran last
        self._executor = self._build([low.instructions[n] for n in self._later])
        if not self._watched:  # of constants alone
            self._make_ready()
        self.report = self._report(kept.size, arena)

    # Methods, not attributes bound to the parts: `compile(p).run` then keeps the memory of the plan alive.
    def write(self, name: str, array: Any) -> None:
        """Copy an array into an input, state or view; see `HostBuffers.write`.

        What fits an input as it is, all threads copy, in one call: after a step Python's own memory is out of the
        caches, and the batch of an MLP (0.8 MB) took 90 us of a step of 3.2 ms.
        """
        module, target = native(), self._buffers.inputs.get(name)
        if target is None or module is None or not module.copy(target, array):
            self._buffers.write(name, array)

    def read(self, name: str) -> np.ndarray:
        """Return a copy of an output, state, view or input; see `HostBuffers.read`."""
        return self._buffers.read(name)

    def run(self) -> None:
        """Run once.

        Raises:
            BackendError: an index has no row; the first one is named.
        """
        if self._watched:
            self._make_ready()
        self._executor.run()
        if self._updated:
            self.memory.versions.update(self._updated)
        if self._low.checks and self._errors.max() >= 0:
            k = int(np.argmax(self._errors >= 0))
            position = int(self._errors[k])
            self._errors[:] = -1
            raise self._low.checks[k][1](position)

    def _make_ready(self) -> None:
        """Compute anew what depends on state alone, where somebody changed state since."""
        now = [self.memory.versions[name] for name in self._watched]
        if self._seen != now:
            self._prepare.run()
            self._seen = now

    def _place_named(self, low: Lowering) -> None:
        program, buffers = low.program, self._buffers
        for group, arrays in ((program.inputs, buffers.inputs), (program.state, buffers.state)):
            for name, value in group.items():
                low.storage.place[value].root.address = arrays[name].ctypes.data
        for value, data in program.constants.items():
            self._constants[value] = aligned(value.spec)
            self._constants[value][...] = data
            low.storage.place[value].root.address = self._constants[value].ctypes.data

    def _build(self, instructions: Sequence[Instruction]) -> Any:
        module = native()
        executor: Any = Interpreter() if module is None else module.Executor(self._options.exact)
        for i in instructions:
            common = i.target, i.buffers, i.integers, i.reals, i.units, i.grain
            if i.kind == "python":
                executor.add_python(_bound(i))
            elif i.kind == "function":
                executor.add_function(*common)
            else:
                executor.add(*common, i.scratch)
            if i.stretches and module is not None:
                executor.set_stretches(len(executor) - 1, i.stretches)
        return executor

    def _report(self, kept: int, arena: Arena) -> PlanReport:
        program = self._low.program

        def total(values: Any) -> int:
            return sum(round_up(v.spec.bytes) for v in values)

        sizes = {
            "inputs": total(program.inputs.values()),
            "state": total(program.state.values()),
            "constants": total(program.constants),
            "prepared": kept,
            "activations": arena.size,
            "scratch": get_num_threads()
            * max((i.scratch for i in self._low.instructions), default=0),
        }
        return PlanReport(
            full_name("cpu", self._options), sizes, tuple(self._low.reports), arena.unplanned
        )

    def profile(self) -> list[tuple[str, str, float]]:
        """Run once; return (op, label, seconds) of each instruction; a step may take several."""
        self._make_ready()
        reports = [self._low.reports[self._low.owners[n]] for n in self._later]
        pairs = zip(reports, self._executor.profile(), strict=True)
        return [(r.op, r.label, seconds) for r, seconds in pairs]


def array_at(operand: Operand) -> np.ndarray:
    """Return the memory of an operand as an array; the executable keeps the memory alive."""
    import ctypes

    spec = operand.spec
    if spec.size == 0:
        return np.zeros(spec.shape, spec.dtype)
    raw = (ctypes.c_uint8 * spec.bytes).from_address(operand.place.address)
    return np.frombuffer(memoryview(raw), np.dtype(spec.dtype)).reshape(spec.shape)


def _bound(instruction: Instruction) -> Callable[[], None]:
    inputs = [array_at(o) for o in instruction.inputs]
    outputs = [array_at(o) for o in instruction.outputs]
    function: Any = instruction.target

    def call() -> None:
        with np.errstate(all="ignore"):  # as in native code: overflow is infinity, not a warning
            function(inputs, outputs)

    return call


class CpuBackend:
    """Programs on the processor: native kernels, Numba for fused expressions, NumPy for the rest.

    Keyword arguments are those of `Options`: `CpuBackend(exact=True)`.
    """

    _group: Group | None = None  # what `AllReduce` sums over; a backend of its own for each

    def __init__(self, **options: Any) -> None:
        self.options = Options(**options)

    @property
    def name(self) -> str:
        """Its name with its options."""
        return full_name("cpu", self.options)

    def joined(self, group: Group) -> CpuBackend:
        """Return the backend that sums over a group."""
        backend = copy(self)
        backend._group = group
        return backend

    @property
    def capabilities(self) -> Capabilities:
        """float32 and float64, on as many threads as the engine uses now."""
        module = native()
        threads = module.get_num_threads() if module is not None else 1
        return Capabilities(
            ("float32", "float64"), threads=threads, collectives=True, notes={"engine": engine()}
        )

    def set_num_threads(self, count: int) -> None:
        """Run on `count` threads from the next run on; without the native engine there is one.

        Raises:
            ValueError: the count is below 1 or above what the engine takes.
        """
        set_num_threads(count)

    def compile(self, program: Program, memory: Memory | None = None) -> CpuExecutable:
        """Rewrite, plan and compile a program.

        Raises:
            BackendError: the memory is another backend's, or its state differs in shape or dtype.
        """
        from .costs import CpuCosts
        from .providers import accepts_chain, accepts_epilogue, keep
        from .providers.sums import accepts_sums

        if memory is not None and not isinstance(memory, HostMemory):
            raise BackendError(
                f"cpu: expected a memory of a host backend, given {type(memory).__name__}"
            )
        check_dtypes(program, self.name)
        program = simplify(decompose(program, keep(self._group)))
        if native() is not None:
            program = choose_layouts(fold_affine(program), CpuCosts(self.options.exact))
            program = simplify(program)
        program = fuse_sums(simplify(fuse_maps(program)), accepts_sums)
        program = fuse_chains(fuse_epilogues(program, accepts_epilogue), accepts_chain)
        program = updates_last(isolate(program))
        if self._group is not None:
            check_programs(self._group, program)
        held = memory if memory is not None else HostMemory()
        return CpuExecutable(program, held, self.options, self._group)


def available() -> tuple[bool, str]:
    """Return that the CPU always works, and with which engine."""
    return True, engine()
