"""`CudaExecutable`: a compiled program at fixed addresses, captured at its first run and replayed from then on."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cortex.compute.backend import PlanReport
from cortex.compute.errors import BackendError
from cortex.compute.group import Group
from cortex.compute.options import full_name
from cortex.compute.passes.memory import round_up
from cortex.compute.plan.arena import Arena, assign, largest
from cortex.compute.plan.storage import Operand
from cortex.compute.program import Program
from cortex.compute.spec import Spec

from .device import Block, Device, Graph, Libraries, out_of_memory
from .lowering import lower
from .memory import DeviceBuffers, DeviceMemory, Region, fetch
from .options import Options

UNTOUCHED = -1  # what an error counter holds while nothing is wrong


class CudaExecutable:
    """A compiled program: an arena, named buffers and a list of launches, all at addresses that never change."""

    runs_many = True  # `run` takes a count

    def __init__(
        self,
        program: Program,
        memory: DeviceMemory,
        options: Options,
        libraries: Libraries,
        group: Group | None = None,
    ) -> None:
        self.memory, self.options = memory, options
        self.device: Device = memory.device
        self._low = low = lower(program, self.device, options, libraries, group)
        self._arena_plan = arena = assign(low)
        self._graphs: dict[int, Graph] = {}
        self._warm = False
        self.report = self._report(arena)
        self._refuse_if_too_large(arena)
        self._own = self._place_own()
        self._arena = memory.arena(arena.size)
        for root in arena.roots:
            root.address += self._arena.address
        for name, value in program.state.items():
            low.storage.place[value].root.address = self._buffers.state[name].address
        for name, value in program.outputs.items():
            operand = low.operand(value)
            address = operand.place.address if value.spec.size else 0
            self._buffers.outputs[name] = Region(address, value.spec)
        self._calls = self._prepare(arena)

    def write(self, name: str, array: Any) -> None:
        """Copy an array into an input, state or view; see `DeviceBuffers.write`."""
        self._buffers.write(name, array)

    def read(self, name: str) -> np.ndarray:
        """Return a copy of an output, state, view or input, after waiting for the device.

        Raises:
            ShapeError: there is nothing of that name.
            BackendError: a kernel of the runs before found an index without a row; the first one is named.
        """
        self.check()
        return self._buffers.read(name)

    def run(self, count: int = 1) -> None:
        """Enqueue the program `count` times and return at once.

        The first run warms up (on a copy of the state) and captures; later ones replay, `steps_per_launch` at a time.
        """
        if not self.options.capture or self.options.debug:
            for _ in range(count):
                self._enqueue()
            return
        if not self._warm:
            self._warm_up()
        size = self.options.steps_per_launch
        for steps, times in ((size, count // size), (1, count % size)):
            for _ in range(times):
                self.device.replay(self._graph(steps))

    def check(self) -> None:
        """Wait for the device and raise what kernels found wrong since the last check.

        Raises:
            BackendError: an index has no row; the first one is named.
        """
        if not self._low.checks:
            return
        found = fetch(self.device, self._errors)
        if found.max() < 0:
            return
        number = int(np.argmax(found >= 0))
        self._clear_errors()
        raise self._low.checks[number][1](int(found[number]))

    @property
    def launches(self) -> int:
        """Number of launches of one run."""
        return len(self._low.instructions)

    def _place_own(self) -> Block:
        """Lay inputs, constants and error counters out in one block, and give their roots addresses."""
        low, program = self._low, self._low.program
        values = [*program.inputs.values(), *program.constants]
        size = sum(round_up(v.spec.bytes) for v in values) + round_up(8 * len(low.checks))
        block = self.device.allocate(size)
        at, regions = block.address, {}
        for value in values:
            low.storage.place[value].root.address = at
            regions[value] = Region(at, value.spec)
            at += round_up(value.spec.bytes)
        inputs = {n: regions[v] for n, v in program.inputs.items()}
        self._buffers = DeviceBuffers(program, self.memory, inputs)
        for value in program.inputs.values():
            if value.spec.size:
                self.device.clear(regions[value].address, value.spec.bytes)
        for value, data in program.constants.items():
            if data.size:
                self.device.upload(regions[value].address, np.ascontiguousarray(data))
        self._errors = Region(at, Spec((len(low.checks),), "int64"))
        for k, (operand, _) in enumerate(low.checks):
            operand.place.root.address = at + 8 * k
        self._clear_errors()
        return block

    def _clear_errors(self) -> None:
        if self._low.checks:
            untouched = np.full(len(self._low.checks), UNTOUCHED, np.int64)
            self.device.upload(self._errors.address, untouched)

    def _prepare(self, arena: Arena) -> list[Callable[[], None]]:
        """Return what one run enqueues: the launches and, where the device poisons, the end of each value's life."""
        instructions = self._low.instructions
        calls = list(self.device.prepare([i.bound() for i in instructions]))
        if not self.device.poisons:
            return calls
        result: list[Callable[[], None]] = []
        for number, call in enumerate(calls):
            born = [r for r in arena.roots if r.first == number]
            dead = [r for r in arena.roots if r.last == number]
            result += [self._poison(r.address, r.bytes) for r in born]
            result.append(call)
            result += [self._poison(r.address, r.bytes) for r in dead]
        return result

    def _poison(self, address: int, size: int) -> Callable[[], None]:
        return lambda: self.device.poison(address, size)

    def _enqueue(self) -> None:
        if self.options.debug:
            return self._run_and_look()
        for call in self._calls:
            call()

    def _run_and_look(self) -> None:
        """Run launch by launch and raise at the first that gives a NaN."""
        low = self._low
        calls = self.device.prepare([i.bound() for i in low.instructions])
        for number, (call, instruction) in enumerate(zip(calls, low.instructions, strict=True)):
            call()
            for operand in instruction.writes:
                if operand.spec.is_float and operand.spec.size:
                    self._refuse_nan(number, operand)
        self.check()

    def _refuse_nan(self, number: int, operand: Operand) -> None:
        array = fetch(self.device, Region(operand.place.address, operand.spec))
        if np.isnan(array).any():
            self.check()  # a bad label or index explains a NaN better
            report = self._low.reports[self._low.owners[number]]
            where = f" of {report.label!r}" if report.label else ""
            at = tuple(int(i) for i in np.argwhere(np.isnan(array))[0])
            raise BackendError(
                f"{report.op}{where} ({report.provider}): NaN at {at} of {operand.spec}, the first result of this run "
                "that holds one; look at what it reads, or lower the learning rate"
            )

    def _graph(self, steps: int) -> Graph:
        if steps not in self._graphs:
            try:
                self._graphs[steps] = self._captured(steps)
            except BackendError:
                raise
            except Exception as error:  # CuPy and the libraries raise what they like
                raise BackendError(
                    f"the step could not be captured as a graph: {type(error).__name__}: {error}; "
                    "the backend 'cuda:capture=false' runs it launch by launch"
                ) from error
        return self._graphs[steps]

    def _captured(self, steps: int) -> Graph:
        with _without_collection():
            self.device.begin_capture()
            try:
                for _ in range(steps):
                    self._enqueue()
            finally:
                graph = self.device.end_capture()
        return graph

    def _warm_up(self) -> None:
        """Run once outside a graph, so that everything is loaded and planned, and put the state back."""
        changed = [self._buffers.state[name] for name in self._low.program.updates]
        before = [fetch(self.device, region) for region in changed]
        self._enqueue()
        for region, array in zip(changed, before, strict=True):
            if array.size:
                self.device.upload(region.address, array)
        self._clear_errors()
        self._warm = True

    def _report(self, arena: Arena) -> PlanReport:
        program = self._low.program

        def total(values: Any) -> int:
            return sum(round_up(v.spec.bytes) for v in values)

        sizes = {
            "inputs": total(program.inputs.values()),
            "state": total(program.state.values()),
            "constants": total(program.constants),
            "activations": arena.size,
            "scratch": round_up(8 * len(self._low.checks)),
        }
        name = full_name(self.device.name, self.options)
        return PlanReport(name, sizes, tuple(self._low.reports), arena.unplanned)

    def _refuse_if_too_large(self, arena: Arena) -> None:
        """Compare what must still be allocated with what the device has, before anything is allocated."""
        program, memory, sizes = self._low.program, self.memory, self.report.bytes
        state = {n: v.spec for n, v in program.state.items()}
        memory.check(state)
        new = {n: round_up(s.bytes) for n, s in memory.missing(state).items()}
        needed = sizes["inputs"] + sizes["constants"] + sizes["scratch"] + sum(new.values())
        needed += memory.arena_shortage(arena.size)
        free = self.device.free_memory()
        if needed <= free:
            return
        parts = [(f"state {n}", size) for n, size in new.items()]
        parts += [(f"input {n}", v.spec.bytes) for n, v in program.inputs.items()]
        parts += [(self._named(r), r.bytes) for r in largest(arena.roots)]
        parts.sort(key=lambda p: -p[1])
        raise out_of_memory(needed, free, self.device.properties.name, parts[:3])

    def _named(self, root: Any) -> str:
        """Say what a piece of the arena holds: the step that writes it first."""
        low = self._low
        report = low.reports[low.owners[min(root.first, len(low.owners) - 1)]]
        outputs = f" {', '.join(report.outputs)}" if report.outputs else ""
        return f"{report.label or report.op}{outputs}"


@contextmanager
def _without_collection() -> Iterator[None]:
    """Keep the collector away: a handle that it destroys inside a capture poisons later launches."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
