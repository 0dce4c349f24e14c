"""Data sets that live where the program runs: rows are gathered by a permutation inside the step.

    backend = Resident(get_backend("cuda"), rows=60_000)
    step = cortex.training_step(network, optimiser=Adam(), batch_size=64, backend=backend)
    step.executable.write("data.image", images)     # once; and "data.label"
    step.executable.write("data.order", permutation)     # once an epoch, with "data.cursor" 0
    repeat(step.executable, 937)

A batch is then no input but state: the rows `data.order[cursor : cursor + batch]` of each column, and the cursor moves
on with each run. Nothing comes from the host between two runs, so a backend may launch many at once. These are ordinary
ops; it works on every backend. A last, smaller batch is another executable over the same memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .backend import Backend, Capabilities, Executable, Memory
from .errors import ShapeError
from .ops import Gather
from .program import Program, Step, Value, finish_copy

ORDER, CURSOR = "data.order", "data.cursor"


def resident(program: Program, rows: int) -> Program:
    """Return the program with every input taken from `rows` rows that lie in the state.

    State is added: `data.<input>` [rows, ...], `data.order` (int32 [rows]) and `data.cursor` (int64, 0-d).

    Raises:
        ShapeError: the inputs have no common batch axis, or a batch is larger than `rows`.
    """
    sizes = {v.shape[0] if v.shape else 0 for v in program.inputs.values()}
    if len(sizes) != 1 or not 0 < (batch := sizes.pop()) <= rows:
        shapes = ", ".join(f"{n} {v.shape}" for n, v in program.inputs.items())
        raise ShapeError(
            f"resident: expected inputs with one batch axis of at most {rows} rows, given {shapes or 'none'}"
        )
    new = Program(views=dict(program.views), random_count=program.random_count)
    place: dict[Value, Value] = {}
    for name, value in program.state.items():
        place[value] = new.persistent(name, value.shape, value.dtype)
    for value, data in program.constants.items():
        place[value] = new.constant(data)
    cursor = new.persistent(CURSOR, (), "int64")
    order = new.persistent(ORDER, (rows,), "int32")
    index = new.apply(Gather(), order, cursor + new.constant(np.arange(batch)))
    for name, value in program.inputs.items():
        column = new.persistent(f"data.{name}", (rows, *value.shape[1:]), value.dtype)
        place[value] = new.apply(Gather(), column, index)
    for step in program.steps:
        outputs = tuple(Value(o.spec, new, o.name) for o in step.outputs)
        new.steps.append(Step(step.op, tuple(place[v] for v in step.inputs), outputs, step.label))
        place.update(zip(step.outputs, outputs, strict=True))
    finish_copy(program, new, place)
    new.update(CURSOR, cursor + batch)
    return new


class Resident:
    """A backend whose programs take their inputs from data that lies in its memory; see the module."""

    def __init__(self, backend: Backend, rows: int) -> None:
        self.backend, self.rows = backend, rows

    @property
    def name(self) -> str:
        """That of the backend it stands on."""
        return self.backend.name

    @property
    def capabilities(self) -> Capabilities:
        """Those of the backend it stands on."""
        return self.backend.capabilities

    def compile(self, program: Program, memory: Memory | None = None) -> Executable:
        """Compile a program with its inputs in the state.

        Raises:
            ShapeError: see `resident`.
            BackendError: the backend refuses it.
        """
        return self.backend.compile(resident(program, self.rows), memory)


def repeat(executable: Any, count: int) -> None:
    """Run an executable `count` times: by one call where it takes a count, as the CUDA backend's does."""
    if getattr(executable, "runs_many", False):
        executable.run(count)
        return
    for _ in range(count):
        executable.run()
