"""`NetworkExecutable`: a compiled program of a network, with the first content of its state written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex.compute.backend import Backend, Executable, Memory, PlanReport
from cortex.compute.errors import ShapeError, near, nearest
from cortex.compute.group import Group, in_group
from cortex.compute.registry import get_backend
from cortex.compute.spec import Shape, Spec
from cortex.network import Network
from cortex.network.weights import Drawn
from cortex.objectives import is_labels
from cortex.tracing import Objective, Traced


@dataclass(frozen=True)
class Labels:
    """An integer column whose entries are classes below `classes`; entries below 0 are missing."""

    classes: int
    output: str


class NetworkExecutable:
    """A compiled program of a network (an `Executable`) that knows its columns, layout and network."""

    def __init__(
        self, traced: Traced, executable: Executable, labels: Mapping[str, Labels]
    ) -> None:
        self.network, self.layout, self.program = traced.network, traced.layout, traced.program
        self.batch_size = traced.batch
        self.executable = executable
        self.run: Callable[[], None] = executable.run
        self._labels = labels

    @property
    def memory(self) -> Memory:
        """The persistent buffers; give them to other executables of the same network."""
        return self.executable.memory

    @property
    def report(self) -> PlanReport:
        """Exact bytes by kind, and who runs each step."""
        return self.executable.report

    @property
    def columns(self) -> dict[str, Spec]:
        """What the host writes before a run, by name, batch axis included."""
        return {name: value.spec for name, value in self.program.inputs.items()}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what can be read after a run besides state."""
        return tuple(self.program.outputs)

    def write(self, name: str, array: Any) -> None:
        """Copy a host array into a column, state or parameter.

        Raises:
            ShapeError: an unknown name, a shape or dtype that does not fit, or a label that is no class.
        """
        if name in self._labels:
            _check_labels(name, np.asarray(array), self._labels[name])
        try:
            self.executable.write(name, array)
        except ShapeError as error:
            raise self._explained(name, np.asarray(array).shape) or error from None

    def _explained(self, name: str, given: Shape) -> ShapeError | None:
        """Return in the terms of networks why an executable did not take an array, or None where it says all."""
        program = self.program
        column = program.inputs.get(name)
        if column is None and name not in program.state and name not in program.views:
            known = [*program.inputs, *program.views, *self.layout.statistics]
            close = nearest(name, program.inputs) or near(name, known)
            return ShapeError(f"write: no column or parameter is named {name!r}{close}")
        expected = () if column is None else column.spec.shape
        if expected and given and expected[1:] == given[1:] and expected[:1] != given[:1]:
            return ShapeError(
                f"write {name!r}: expected a batch of {expected[0]}, given {given[0]}; a batch of another size "
                "needs an executable of its own, made with the same memory"
            )
        return None

    def read(self, name: str) -> np.ndarray:
        """Return a copy of an output, state, parameter or column, after waiting for the device.

        Raises:
            ShapeError: there is nothing of that name.
        """
        return self.executable.read(name)


def compiled(
    traced: Traced,
    backend: str | Backend | None = None,
    memory: Memory | None = None,
    seed: int = 0,
    aims: Sequence[Objective] = (),
    group: Group | None = None,
) -> NetworkExecutable:
    """Compile a traced program; fill all state that `memory` does not hold yet (see `cortex.executables`)."""
    held = set(memory.names()) if memory is not None else set()
    executable = in_group(get_backend(backend), group).compile(traced.program, memory)
    made = NetworkExecutable(traced, executable, _labels(traced.network, aims))
    _fill(traced, executable, held, seed)
    share_state(made, group, [name for name in traced.program.state if name not in held])
    return made


def share_state(
    executable: NetworkExecutable, group: Group | None, names: Iterable[str] | None = None
) -> None:
    """Give all processes of a group the state (of these names; None: all) that process 0 has."""
    if group is None or group.size == 1:
        return
    for name in sorted(executable.program.state if names is None else names):  # as all others do
        array = executable.read(name)
        group.broadcast(array)
        executable.executable.write(name, array)


def _fill(traced: Traced, executable: Executable, held: set[str], seed: int) -> None:
    """Write the first content of all state that the memory did not hold before, one array at a time.

    Weights that the network has not drawn yet are drawn straight into the memory, not kept a second time.
    """
    network, program = traced.network, traced.program
    missing = set(program.state) - held
    for name, array in traced.numbers.items():
        if name in missing and array.any():
            executable.write(name, array)
    if "random.seed" in missing:
        executable.write("random.seed", np.asarray(seed, np.uint64))
    first = dict(network.sources)
    for name, parameter in traced.initial.items():
        first[name] = Drawn(parameter.initialiser, network.seed, name, parameter.shape)
    for name, source in first.items():
        if (program.views[name].state if name in program.views else name) in missing:
            array = source.array(network.dtype) if isinstance(source, Drawn) else source
            executable.write(name, array)


def _labels(network: Network, aims: Sequence[Objective]) -> dict[str, Labels]:
    found: dict[str, Labels] = {}
    for o in aims:
        output = network.specs[o.output]
        classes = getattr(o.loss, "classes", output.shape[0] if output.rank else 0)
        known = found.get(o.column)
        if is_labels(o.target, output, o.loss) and (known is None or classes < known.classes):
            found[o.column] = Labels(classes, o.output)
    return found


def _check_labels(name: str, given: np.ndarray, labels: Labels) -> None:
    if given.size and given.dtype.kind in "iu" and int(given.max()) >= labels.classes:
        where = tuple(int(i) for i in np.unravel_index(int(given.argmax()), given.shape))
        raise ShapeError(
            f"write {name!r}: labels for the output {labels.output!r} lie in "
            f"0..{labels.classes - 1} (below 0: missing), "
            f"given {given.max()} at {where[0] if len(where) == 1 else where}"
        )


def batch_size_problems(batch_size: Any) -> list[str]:
    """Return what is wrong with a batch size, in words."""
    if (
        isinstance(batch_size, (int, np.integer))
        and not isinstance(batch_size, bool)
        and batch_size >= 1
    ):
        return []
    return [f"batch_size: expected an integer >= 1, given {batch_size!r}"]
