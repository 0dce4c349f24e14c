"""Sums of maps in one pass: what is only added up is never written, and sums of the same values share a pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..expression import Expression, substitute, symbol
from ..ops import Map, Reduce
from ..ops.reduce import reshape_to
from ..ops.summed import SummedMap
from ..program import Program, Step, Value, count_uses, rewrite
from .simplify import remove_dead

Accepts = Callable[[SummedMap, Sequence[Value]], bool]
MAX_INPUTS = 12


@dataclass
class _Sum:
    """Reductions that one pass makes: for each its expression over the common inputs."""

    first: int  # the position of the earliest
    axes: tuple[int, ...]
    like: Value
    inputs: list[Value] = field(default_factory=list)
    members: dict[Step, Expression] = field(default_factory=dict)

    def place(self, inputs: Sequence[Value], e: Expression) -> Expression:
        """Return an expression over `inputs` as one over the common inputs, which grow."""
        self.inputs += [v for v in dict.fromkeys(inputs) if v not in self.inputs]
        return substitute(e, [symbol(self.inputs.index(v)) for v in inputs])


def fuse_sums(program: Program, accepts: Accepts) -> Program:
    """Return the program with sums over the same axes of maps of the same values taken together."""
    groups = _groups(program)
    chosen = {s: g for g in groups if _pays(g) and accepts(_op(g), g.inputs) for s in g.members}
    made: dict[Step, Value] = {}
    place: dict[Value, Value] = {}

    def replace(new: Program, step: Step, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        place.update(zip(step.inputs, inputs, strict=True))
        group = chosen.get(step)
        if group is None:
            return None
        if step not in made:
            results = new.apply(_op(group), *(place[v] for v in group.inputs))
            results = results if isinstance(results, tuple) else (results,)
            made.update(zip(group.members, results, strict=True))
        return (reshape_to(new, made[step], step.outputs[0].shape),)

    def track(new: Program, step: Step, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        results = replace(new, step, inputs)
        if results is None:
            results = tuple(Value(o.spec, new, o.name) for o in step.outputs)
            new.steps.append(Step(step.op, inputs, tuple(results), step.label))
        place.update(zip(step.outputs, results, strict=True))
        return results

    return remove_dead(rewrite(program, track))


def _op(group: _Sum) -> SummedMap:
    return SummedMap(tuple(group.members.values()), group.like.dtype, group.like.shape, group.axes)


def _pays(group: _Sum) -> bool:
    """Whether a pass is saved: a plain sum of one value is a reduction already."""
    return len(group.inputs) <= MAX_INPUTS and (
        len(group.members) > 1 or any(e.op != "symbol" for e in group.members.values())
    )


def _groups(program: Program) -> list[_Sum]:
    """Collect sums over equal axes and extents that share an input and do not depend on one another."""
    born = {o: n for n, s in enumerate(program.steps) for o in s.outputs}
    producer = {o: s for s in program.steps for o in s.outputs}
    uses = count_uses(program)
    groups: list[_Sum] = []
    for number, step in enumerate(program.steps):
        if not isinstance(step.op, Reduce) or step.op.kind != "sum":
            continue
        x = step.inputs[0]
        if not x.spec.is_float:
            continue
        inputs, e = _source(x, producer.get(x), uses)
        for group in groups:
            same = group.axes == step.op.axes and group.like.spec == x.spec
            whole = [v for v in inputs if v.shape == x.shape]
            shared = any(v in group.inputs for v in whole)
            if same and shared and all(born.get(v, -1) < group.first for v in inputs):
                break
        else:
            group = _Sum(number, step.op.axes, x)
            groups.append(group)
        group.members[step] = group.place(inputs, e)
    return groups


def _source(
    x: Value, step: Step | None, uses: Mapping[Value, int]
) -> tuple[Sequence[Value], Expression]:
    """Return what a summed value is made of: the expression of its map, where nobody else reads that."""
    op = step.op if step is not None else None
    if step is not None and isinstance(op, Map) and len(step.outputs) == 1 and uses[x] == 1:
        if op.computes_in(v.dtype for v in step.inputs) == x.dtype:
            return step.inputs, op.expressions[0]
    return (x,), symbol(0)
