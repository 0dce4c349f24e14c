"""The NumPy backend: the executable specification. Obvious, not fast, no planning."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import partial
from typing import Any

import numpy as np

from .backend import Capabilities, Memory, PlanReport, StepReport, check_dtypes
from .errors import BackendError
from .group import Group, check_programs
from .host import HostBuffers, HostMemory
from .ops import AllReduce, Scan
from .ops.all_reduce import sums_inside
from .passes.decompose import decompose
from .passes.simplify import remove_dead
from .program import Op, Program, Step, Value
from .reference import KERNELS, Kernel, run_steps


class NumpyExecutable:
    """A program run step by step with NumPy; float32 and float64 alike."""

    def __init__(
        self, program: Program, memory: HostMemory, kernels: Mapping[type[Op], Kernel] = KERNELS
    ) -> None:
        self.program, self.memory, self._kernels = program, memory, kernels
        self._buffers = HostBuffers(program, memory)
        self.write, self.read = self._buffers.write, self._buffers.read
        for name, value in program.outputs.items():
            self._buffers.outputs[name] = np.zeros(value.shape, value.dtype)
        values = [o for s in program.steps for o in s.outputs]
        self.report = PlanReport(
            "numpy",
            {
                "inputs": sum(v.spec.bytes for v in program.inputs.values()),
                "state": sum(v.spec.bytes for v in program.state.values()),
                "constants": sum(v.spec.bytes for v in program.constants),
                "activations": sum(v.spec.bytes for v in values),
            },
            tuple(
                StepReport(
                    type(s.op).__name__, s.label, "numpy", tuple(str(o.spec) for o in s.outputs)
                )
                for s in program.steps
            ),
        )

    def run(self) -> None:
        """Run once; updates take effect after every step has read the old state."""
        program, buffers = self.program, self._buffers
        place: dict[Value, Any] = dict(program.constants)
        place |= {v: buffers.inputs[n] for n, v in program.inputs.items()}
        place |= {v: buffers.state[n] for n, v in program.state.items()}
        with np.errstate(all="ignore"):  # as in native code: overflow is infinity, not a warning
            run_steps(program, place, self._kernels)
        for name, value in program.outputs.items():
            buffers.outputs[name] = np.array(place[value])
        fresh = {name: np.array(place[value]) for name, value in program.updates.items()}
        for name, array in fresh.items():
            buffers.state[name][...] = array


class NumpyBackend:
    """Every op in plain NumPy."""

    name = "numpy"
    capabilities = Capabilities(
        ("float32", "float64"), collectives=True, notes={"numpy": np.__version__}
    )

    _group: Group | None = None  # what `AllReduce` sums over; a backend of its own for each

    def joined(self, group: Group) -> NumpyBackend:
        """Return the backend that sums over a group."""
        backend = copy(self)
        backend._group = group
        return backend

    def compile(self, program: Program, memory: Memory | None = None) -> NumpyExecutable:
        """Return an executable that interprets the program, composites taken apart, without what nobody reads.

        Raises:
            BackendError: the memory is another backend's, or its state differs in shape or dtype.
        """
        if memory is not None and not isinstance(memory, HostMemory):
            raise BackendError(
                f"numpy: expected a memory of a host backend, given {type(memory).__name__}"
            )
        check_dtypes(program, self.name)
        kernels = KERNELS
        if self._group is not None:
            kernels = {**KERNELS, AllReduce: partial(_all_reduce, self._group)}

        def keep(
            step: Step,
        ) -> bool:  # a scan that sums is unrolled: its body is run without a group
            return type(step.op) in kernels and not (
                self._group is not None and isinstance(step.op, Scan) and sums_inside(step.op.body)
            )

        program = remove_dead(decompose(program, keep))
        if self._group is not None:
            check_programs(self._group, program)
        return NumpyExecutable(program, memory if memory is not None else HostMemory(), kernels)


def _all_reduce(group: Group, op: Op, x: np.ndarray) -> tuple[np.ndarray]:
    total = np.array(x, order="C")
    group.all_reduce(total)
    return (total,)


def available() -> tuple[bool, str]:
    """Return that NumPy always works."""
    return True, f"NumPy {np.__version__}"
