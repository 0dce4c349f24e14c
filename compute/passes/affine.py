"""Folding scales and shifts behind a convolution into its kernels and one bias: batch normalisation in inference.

y = a (w * x + b) + c with `a`, `b` and `c` per channel is (a w) * x + (a b + c). That pays where the folded kernels are
computed once: where w, a, b and c depend on constants and on state that the program does not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..expression import Expression, constant, derivative, substitute, symbol
from ..ops import Convolution, Map
from ..ops.reduce import reshape_to
from ..program import Program, Step, Value, count_uses, rewrite
from .simplify import remove_dead


@dataclass(frozen=True)
class _Affine:
    """slope (w * x) + offset; the two are values of the new program, per channel."""

    op: Convolution
    x: Value
    w: Value
    slope: Value | None
    offset: Value | None


def fold_affine(program: Program) -> Program:
    """Return the program with per-channel scales and shifts of convolutions folded into kernels and biases."""
    steady = _steady(program)
    uses = count_uses(program)
    known: dict[Value, _Affine] = {}  # by values of the old program

    def replace(new: Program, step: Step, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        if isinstance(step.op, Convolution) and step.inputs[1] in steady:
            known[step.outputs[0]] = _Affine(step.op, inputs[0], inputs[1], None, None)
        found = _continued(new, step, inputs, known, steady, uses)
        if found is None:
            return None
        known[step.outputs[0]] = found
        return None if found.slope is None else (_folded(new, found, found.slope),)

    return remove_dead(rewrite(program, replace))


def _steady(program: Program) -> set[Value]:
    """Return the values that no run changes."""
    found = {v for n, v in program.state.items() if n not in program.updates} | set(
        program.constants
    )
    for step in program.steps:
        if step.inputs and found.issuperset(step.inputs):
            found.update(step.outputs)
    return found


def _continued(
    new: Program,
    step: Step,
    inputs: tuple[Value, ...],
    known: dict[Value, _Affine],
    steady: set[Value],
    uses: Mapping[Value, int],
) -> _Affine | None:
    """Return a map's result as an affine function of a convolution, or None where it is not."""
    op, out = step.op, step.outputs[0]
    carriers = [i for i, v in enumerate(step.inputs) if v in known]
    if not isinstance(op, Map) or len(step.outputs) != 1 or len(carriers) != 1:
        return None
    i = carriers[0]
    rest = [v for k, v in enumerate(step.inputs) if k != i]
    per_channel = all(v in steady and _per_channel(v, out) for v in rest)
    if uses[step.inputs[i]] != 1 or step.inputs[i].spec != out.spec or not per_channel:
        return None
    if not _is_affine(op.expressions[0], i):
        return None
    slope = derivative(op.expressions[0], i)
    before, offset = known[step.inputs[i]], substitute(op.expressions[0], _without(i, len(inputs)))
    a = None if slope is constant(1) else _value(new, slope, inputs, out)
    c = _value(new, offset, inputs, out)
    if before.offset is not None:
        c = before.offset + c if a is None else a * before.offset + c
    if before.slope is not None:
        a = before.slope if a is None else a * before.slope
    return _Affine(before.op, before.x, before.w, a, c)


def _per_channel(v: Value, out: Value) -> bool:
    aligned = (1,) * (out.spec.rank - v.spec.rank) + v.shape
    return v.dtype == out.dtype and all(n == 1 for k, n in enumerate(aligned) if k != 1)


def _without(i: int, count: int) -> list[Expression]:
    return [constant(0) if k == i else symbol(k) for k in range(count)]


def _value(new: Program, e: Expression, inputs: tuple[Value, ...], out: Value) -> Value:
    """Record an expression over the inputs of a map, of the shape [C, 1, ..]."""
    used = sorted(e.symbols)
    table = [symbol(used.index(k)) if k in used else constant(0) for k in range(len(inputs))]
    shape = (out.shape[1], *(1,) * (out.spec.rank - 2))
    given = [reshape_to(new, inputs[k], _last_axes(inputs[k], len(shape))) for k in used]
    return new.apply(Map((substitute(e, table),), (out.dtype,), shape), *given)


def _last_axes(v: Value, rank: int) -> tuple[int, ...]:
    return v.shape[max(0, v.spec.rank - rank) :]


def _is_affine(e: Expression, index: int) -> bool:
    """Whether an expression is made of a symbol by adding and by multiplying with what does not contain it.

    A constant derivative is not enough: that of floor(x) is 0.
    """
    if index not in e.symbols or e.op == "symbol":
        return True
    inside = [index in a.symbols for a in e.args]
    linear = {
        "add": True,
        "sub": True,
        "neg": True,
        "mul": sum(inside) == 1,
        "div": inside == [True, False],
    }
    return linear.get(e.op, False) and all(_is_affine(a, index) for a in e.args)


def _folded(new: Program, found: _Affine, slope: Value) -> Value:
    w = found.w * reshape_to(new, slope, (*slope.shape, 1))
    y = new.apply(found.op, found.x, w)
    return y if found.offset is None else y + found.offset
