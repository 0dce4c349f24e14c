"""Steps to instructions of a backend's own kind; nothing has an address yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from ..backend import StepReport
from ..group import Group
from ..program import Program, Step, Value
from ..spec import Spec
from .storage import Operand, Place, Root, Storage, is_alias


class HasOperands(Protocol):
    """What an instruction of any backend shows: the memory that it touches, and who provides it."""

    @property
    def operands(self) -> tuple[Operand, ...]:
        """All operands, read or written."""
        ...

    @property
    def provider(self) -> str:
        """Who runs it."""
        ...


Instruction = TypeVar("Instruction", bound=HasOperands)
Self = TypeVar("Self", bound="Lowering[Any]")


@dataclass
class Lowering(Generic[Instruction]):
    """A program on its way to instructions; providers ask it for operands and temporaries."""

    program: Program
    storage: Storage
    group: Group | None = None  # what `AllReduce` sums over
    exact: bool = False  # no algorithm that trades rounding for speed (Winograd's convolutions)
    instructions: list[Instruction] = field(default_factory=list)
    reports: list[StepReport] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)  # of each instruction, the report it belongs to
    checks: list[tuple[Operand, Callable[[int], Exception]]] = field(default_factory=list)

    def operand(self, value: Value) -> Operand:
        """Return where a value lies."""
        return Operand(self.storage.place[value], value.spec)

    def operands(self, values: tuple[Value, ...]) -> tuple[Operand, ...]:
        """Return where values lie."""
        return tuple(map(self.operand, values))

    def temporary(self, shape: tuple[int, ...], dtype: str, rest: int = 0) -> Operand:
        """Return memory for the instructions of one step, that the next `rest` instructions do not use either."""
        spec = Spec(shape, dtype)
        return Operand(Place(Root("arena", spec.bytes, rest=rest), 0), spec)

    def check(self, error: Callable[[int], Exception]) -> Operand:
        """Return an int64 that a kernel sets to a position where it finds an error; raised after the run."""
        operand = Operand(Place(Root("check", 8), 0), Spec((), "int64"))
        self.checks.append((operand, error))
        return operand

    def is_read(self, value: Value) -> bool:
        """Whether anything reads a value: a step, an output or an update."""
        named = (*self.program.outputs.values(), *self.program.updates.values())
        return value in named or any(value in s.inputs for s in self.program.steps)

    def add(self, step: Step | None, made: list[Instruction]) -> None:
        """Append the instructions of a step (None: of copies to state) and report who runs them."""
        self.instructions += made
        if made:
            name = type(step.op).__name__ if step else "copy to state"
            providers = "+".join(dict.fromkeys(i.provider for i in made))
            outputs = tuple(str(o.spec) for o in step.outputs) if step else ()
            self.owners += [len(self.reports)] * len(made)
            self.reports.append(StepReport(name, step.label if step else "", providers, outputs))


def fill(
    low: Self,
    provide: Callable[[Self, Step], list[Any]],
    copy_whole: Callable[[Self, Operand, Operand], Any],
) -> Self:
    """Ask `provide` for the instructions of every step that does work, and copy what is no update in place."""
    for step in low.program.steps:
        if is_alias(step):
            continue
        if step.outputs and all(o.spec.size == 0 for o in step.outputs):
            continue
        low.add(step, provide(low, step))
    for state, value in low.storage.copies:
        low.add(None, [copy_whole(low, low.operand(state), low.operand(value))])
    return low
