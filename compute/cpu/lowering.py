"""Steps to instructions, instructions to addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..backend import StepReport
from ..errors import BackendError
from ..group import Group
from ..passes.memory import Interval, plan, round_up
from ..program import Program, Step, Value
from ..spec import Spec
from .instruction import Instruction, Operand
from .storage import Place, Root, Storage, is_alias


@dataclass
class Lowering:
    """A program on its way to instructions; providers ask it for operands and temporaries."""

    program: Program
    storage: Storage
    instructions: list[Instruction] = field(default_factory=list)
    reports: list[StepReport] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)  # of each instruction, the report it belongs to
    checks: list[tuple[Operand, Callable[[int], Exception]]] = field(default_factory=list)
    group: Group | None = None  # what `AllReduce` sums over

    def operand(self, value: Value) -> Operand:
        """Return where a value lies."""
        return Operand(self.storage.place[value], value.spec)

    def operands(self, values: tuple[Value, ...]) -> tuple[Operand, ...]:
        """Return where values lie."""
        return tuple(map(self.operand, values))

    def temporary(self, shape: tuple[int, ...], dtype: str) -> Operand:
        """Return memory for the instructions of one step."""
        spec = Spec(shape, dtype)
        return Operand(Place(Root("arena", spec.bytes), 0), spec)

    def check(self, error: Callable[[int], Exception]) -> Operand:
        """Return an int64 that a kernel sets to a position where it finds an error; raised after the run."""
        operand = Operand(Place(Root("check", 8), 0), Spec((), "int64"))
        self.checks.append((operand, error))
        return operand

    def is_read(self, value: Value) -> bool:
        """Whether anything reads a value: a step, an output or an update."""
        named = (*self.program.outputs.values(), *self.program.updates.values())
        return value in named or any(value in s.inputs for s in self.program.steps)


def lower(program: Program, group: Group | None = None) -> Lowering:
    """Choose a provider for every step and return the instructions; nothing has an address yet."""
    from .providers import provide

    low = Lowering(program, Storage(program), group=group)
    for step in program.steps:
        if is_alias(step):
            continue
        if step.outputs and all(o.spec.size == 0 for o in step.outputs):
            continue
        _add(low, step, provide(low, step))
    for state, value in low.storage.copies:
        from .providers.movement import copy_whole

        _add(low, None, [copy_whole(low, low.operand(state), low.operand(value))])
    return low


def _add(low: Lowering, step: Step | None, made: list[Instruction]) -> None:
    low.instructions += made
    if made:
        name = type(step.op).__name__ if step else "copy to state"
        providers = "+".join(dict.fromkeys(i.provider for i in made))
        outputs = tuple(str(o.spec) for o in step.outputs) if step else ()
        low.owners += [len(low.reports)] * len(made)
        low.reports.append(StepReport(name, step.label if step else "", providers, outputs))


@dataclass
class Arena:
    """Where everything is, in bytes."""

    size: int
    unplanned: int
    roots: list[Root]


def assign(low: Lowering) -> Arena:
    """Give every root that lies in the arena its offset there (in `address`, until the arena has a base)."""
    roots: dict[Root, None] = {}
    for number, instruction in enumerate(low.instructions):
        for operand in instruction.operands:
            root, _ = operand.place.resolved
            if root.kind == "arena":
                roots[root] = None
                root.first, root.last = min(root.first, number), max(root.last, number)
    end = len(low.instructions)
    for value in low.program.outputs.values():
        root, _ = low.storage.place[value].resolved
        if root.kind == "arena":
            roots[root] = None
            root.first, root.last = min(root.first, end), end
    intervals = {r: Interval(r.bytes, r.first, r.last) for r in roots}
    offsets, size = plan(intervals)
    for root, offset in offsets.items():
        root.address = offset
    return Arena(size, sum(round_up(r.bytes) for r in roots), list(roots))


def check_supported(program: Program) -> None:
    """Raise `BackendError` for dtypes that the CPU backend does not know."""
    known = ("bool", "uint8", "int32", "int64", "uint64", "float32", "float64")
    for step in program.steps:
        for value in (*step.inputs, *step.outputs):
            if value.dtype not in known:
                raise BackendError(
                    f"cpu: {type(step.op).__name__} uses dtype {value.dtype}, known: {', '.join(known)}"
                )
