"""Steps to instructions, instructions to addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..backend import StepReport
from ..errors import BackendError
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


def lower(program: Program) -> Lowering:
    """Choose a provider for every step and return the instructions; nothing has an address yet."""
    from .providers import provide

    low = Lowering(program, Storage(program))
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


def prepared(low: Lowering) -> list[int]:
    """Return the numbers of the instructions that depend on constants and on state that no run changes.

    Their results (transformed kernels, folded scales) stay until somebody writes that state.
    """
    touched: dict[Root, list[int]] = {}  # by whom each root is written
    reads: list[set[Root]] = []
    for number, instruction in enumerate(low.instructions):
        reads.append({o.place.resolved[0] for o in instruction.inputs})
        for operand in instruction.outputs:
            touched.setdefault(operand.place.resolved[0], []).append(number)

    def steady(root: Root) -> bool:
        if root in touched:
            return root.kind == "arena" and chosen.issuperset(touched[root])
        return root.kind == "constant" or (
            root.kind == "state" and root.name not in low.program.updates
        )

    chosen = set(range(len(low.instructions)))
    while True:
        kept = {
            n
            for n in chosen
            if all(map(steady, reads[n]))
            and all(steady(o.place.resolved[0]) for o in low.instructions[n].outputs)
        }
        if kept == chosen:
            return sorted(kept)
        chosen = kept


def watched(low: Lowering, early: Sequence[int]) -> list[str]:
    """Return the names of the state that the `early` instructions (see `prepared`) read."""
    roots = {o.place.resolved[0] for n in early for o in low.instructions[n].inputs}
    return sorted({r.name for r in roots if r.kind == "state"})


def assign(low: Lowering, early: Sequence[int]) -> tuple[Arena, Arena]:
    """Give every root that lies in an arena its offset there (in `address`, until the arena has a base).

    Returns the arena of what the `early` instructions (see `prepared`) make and later ones read, and that of a run.
    """
    first = set(early)
    later = [n for n in range(len(low.instructions)) if n not in first]
    kept, run = _roots(low, early), _roots(low, later)
    shared = kept.keys() & run.keys()
    named = {low.storage.place[v].resolved[0] for v in low.program.outputs.values()}
    for roots, end in ((kept, len(early)), (run, len(later))):
        for root in roots.keys() & (named | shared):
            roots[root] = (roots[root][0], end)
    for root in shared:
        del run[root]
    for root in named - kept.keys() - run.keys():
        if root.kind == "arena":
            run[root] = (len(later), len(later))
    return _arena(kept), _arena(run)


def _roots(low: Lowering, numbers: Sequence[int]) -> dict[Root, tuple[int, int]]:
    """Return the first and last of these instructions that touches each root of an arena."""
    found: dict[Root, tuple[int, int]] = {}
    for position, number in enumerate(numbers):
        for operand in low.instructions[number].operands:
            root, _ = operand.place.resolved
            if root.kind == "arena":
                found[root] = (found.get(root, (position,))[0], position)
    return found


def _arena(roots: dict[Root, tuple[int, int]]) -> Arena:
    offsets, size = plan({r: Interval(r.bytes, *life) for r, life in roots.items()})
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
