"""An optimiser as compiled passes: one over its scalars, one fused pass over all vectors.

The same `update` that computes with arrays is called with symbols. Whatever depends on the state's
scalars alone, such as the bias corrections and the schedule of Adam, is taken out of the pass over
the vectors: it becomes a *coefficient*, computed once per step in float64 and read by the pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from cortex.compute.errors import DescriptionError, near
from cortex.compute.expression import Expression, node, symbol, wrap
from cortex.compute.ops.map import Map
from cortex.compute.program import Program, Value
from cortex.optimise.schedules import Scaled, Schedule
from cortex.protocols import Optimiser

PARAMETERS, GRADIENT = "parameters", "gradient"


@dataclass(frozen=True)
class Trace:
    """The expressions of one step.

    `scalar_updates` (one per name in `scalars`) and `coefficients` are functions of the scalars:
    symbol i stands for scalars[i]. `vector_updates` give the new content of `outputs`; there symbol
    i stands for inputs[i]: the parameters, the gradient, the state's vectors, then the
    coefficients.
    """

    scalars: tuple[str, ...]
    vectors: tuple[str, ...]
    scalar_updates: tuple[Expression, ...]
    coefficients: tuple[Expression, ...]
    vector_updates: tuple[Expression, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the operands of the pass over the vectors."""
        numbered = (f"coefficient{i}" for i in range(len(self.coefficients)))
        return (PARAMETERS, GRADIENT, *self.vectors, *numbered)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the results of the pass over the vectors."""
        return (PARAMETERS, *self.vectors)


def trace(optimiser: Optimiser) -> Trace:
    """Return the expressions of one step of an optimiser.

    Raises:
        DescriptionError: the update returns other state entries than `initialise`, the new value of
            a scalar depends on a vector, or the optimiser is a solver, which has no update.
    """
    if not hasattr(optimiser, "update"):
        problem = (
            "it searches along lines and so needs the function itself; it drives `cortex.optimise.descent`, "
            "training needs an optimiser that works on gradients alone, such as Adam or Sgd"
        )
        raise DescriptionError(type(optimiser).__name__, [problem])
    state = optimiser.initialise(1)
    scalars = tuple(name for name, entry in state.items() if not entry.ndim)
    vectors = tuple(name for name, entry in state.items() if entry.ndim)
    names = (*scalars, PARAMETERS, GRADIENT, *vectors)
    symbols = {name: symbol(i) for i, name in enumerate(names)}
    old = {name: symbols[name] for name in state}
    moved, new = optimiser.update(old, symbols[PARAMETERS], symbols[GRADIENT])
    _check(optimiser, scalars, state, new)
    hoisted: dict[Expression, Expression] = {}
    results = [wrap(moved), *(wrap(new[name]) for name in vectors)]
    return Trace(
        scalars,
        vectors,
        tuple(wrap(new[name]) for name in scalars),
        coefficients=_coefficients(results, len(scalars), 2 + len(vectors), hoisted),
        vector_updates=tuple(_rebuilt(e, len(scalars), hoisted, {}) for e in results),
    )


def record(
    program: Program,
    optimiser: Optimiser,
    parameters: Value,
    gradient: Value,
    state: Mapping[str, Value],
) -> tuple[Value, dict[str, Value]]:
    """Record one step into a program and return the new parameters and the new state.

    Parameters, gradient and the state's vectors have one shape and float dtype; the state's scalars
    are 0-d float64, whatever the vectors are. This is two `Map`s: one over scalars, one over
    vectors.

    Raises:
        DescriptionError: a state entry of the optimiser is missing in `state`; or see `trace`.
    """
    t = trace(optimiser)
    missing = [f"no state entry {n!r} is given" for n in (*t.scalars, *t.vectors) if n not in state]
    if missing:
        raise DescriptionError(type(optimiser).__name__, missing)
    dtypes = ("float64",) * len(t.scalars) + (parameters.dtype,) * len(t.coefficients)
    small = Map((*t.scalar_updates, *t.coefficients), dtypes)
    values = _results(program, small, [state[name] for name in t.scalars])
    coefficients = values[len(t.scalars) :]
    large = Map(t.vector_updates, (parameters.dtype,) * len(t.vector_updates))
    operands = [parameters, gradient, *(state[name] for name in t.vectors), *coefficients]
    moved, *vectors = _results(program, large, operands)
    new = dict(zip((*t.scalars, *t.vectors), (*values[: len(t.scalars)], *vectors), strict=True))
    return moved, new


def with_step_factor(optimiser: Optimiser, factor: float) -> Optimiser:
    """Return the optimiser with its step size times `factor`: a parameter's learning-rate factor.

    Raises:
        DescriptionError: the optimiser has no field `step_size`.
    """
    if factor == 1:
        return optimiser
    given: Any = optimiser
    names = [f.name for f in fields(given)]
    if "step_size" not in names:
        problem = f"a learning-rate factor needs a field 'step_size'{near('step_size', names)}"
        raise DescriptionError(type(optimiser).__name__, [problem])
    size: float | Schedule = given.step_size
    scaled = Scaled(size, factor) if callable(size) else size * factor
    changed: Optimiser = replace(given, step_size=scaled)
    return changed


def _check(optimiser: Optimiser, scalars: tuple[str, ...], old: Any, new: Any) -> None:
    problems = [
        f"update: the state entry {name!r} of initialise is missing{near(name, new)}"
        for name in old
        if name not in new
    ]
    problems += [
        f"update: the state entry {name!r} is not in what initialise returns{near(name, old)}"
        for name in new
        if name not in old
    ]
    problems += [
        f"update: the new value of the scalar {name!r} must depend on scalars alone"
        for name in scalars
        if name in new and any(i >= len(scalars) for i in wrap(new[name]).symbols)
    ]
    if problems:
        raise DescriptionError(type(optimiser).__name__, problems)


def _coefficients(
    results: list[Expression], scalars: int, inputs: int, hoisted: dict[Expression, Expression]
) -> tuple[Expression, ...]:
    """Find the largest parts that depend on scalars alone;

    fill `hoisted` with what stands for them.
    """
    found: list[Expression] = []
    seen: set[Expression] = set()

    def visit(e: Expression) -> None:
        if e in seen or not e.symbols:
            return
        seen.add(e)
        if max(e.symbols) < scalars:
            # Coefficients are floats: a truth value becomes 1 or 0.
            number = symbol(inputs + len(found))
            found.append(node("where", e, 1, 0) if e.is_bool else e)
            hoisted[e] = number > 0.5 if e.is_bool else number
        elif e.op != "symbol":
            for argument in e.args:
                visit(argument)

    for e in results:
        visit(e)
    return tuple(found)


def _rebuilt(
    e: Expression,
    scalars: int,
    hoisted: Mapping[Expression, Expression],
    memo: dict[Expression, Expression],
) -> Expression:
    """Return `e` over the vectors' own symbols and the coefficients."""
    if e in hoisted:
        return hoisted[e]
    if e.op == "symbol":
        return symbol(e.args[0] - scalars)
    if not e.symbols:
        return e
    if e not in memo:
        memo[e] = node(e.op, *(_rebuilt(a, scalars, hoisted, memo) for a in e.args))
    return memo[e]


def _results(program: Program, op: Map, inputs: list[Value]) -> tuple[Value, ...]:
    results = program.apply(op, *inputs)
    return results if isinstance(results, tuple) else (results,)
