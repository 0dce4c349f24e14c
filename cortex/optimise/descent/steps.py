"""`steps`: a descent as a lazy iterator of records, the base of everything else here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cortex.compute.errors import DescriptionError
from cortex.optimise import functions
from cortex.optimise.functions import Vector
from cortex.records import Lazy, Record

from .point import Counted, Point

Projection = Callable[[Vector], Vector]


@dataclass(frozen=True)
class Running:
    """An optimiser in the middle of a descent; given to `steps`, it goes on from there."""

    optimiser: Any
    state: Mapping[str, Any]
    step: int


@dataclass(frozen=True)
class Plain:
    """A bare function (params, gradient) -> params as an optimiser without state."""

    function: Callable[[Vector, Vector], Any]

    def initialise(self, count: int) -> Mapping[str, Any]:
        """Return nothing."""
        return {}

    def update(self, state: Any, parameters: Vector, gradient: Vector) -> tuple[Vector, Any]:
        """Return the parameters after a step.

        Raises:
            DescriptionError: the function gave anything but a vector of the same length.
        """
        moved = self.function(parameters, gradient)
        if not isinstance(moved, np.ndarray) or moved.shape != parameters.shape:
            shown = f"shape {moved.shape}" if isinstance(moved, np.ndarray) else _shown(moved)
            raise DescriptionError(
                "optimiser",
                [
                    f"a function (params, gradient) -> params must return a vector of shape {parameters.shape}, "
                    f"given {shown}; did you need to call the factory that makes the optimiser?"
                ],
            )
        return moved, state


def steps(
    function: Any, optimiser: Any, initial: Any, *, project: Projection | None = None, seed: int = 0
) -> Iterator[Record]:
    """Descend and yield a record before the first step and after each one, for ever.

    | entry | what |
    |---|---|
    | `params` | the parameters [n], float64, not to be written to |
    | `value`, `gradient` | of the function there; lazy |
    | `optimiser` | the optimiser with its state: give it to `steps`, with `params`, to resume; lazy |
    | `initial_step` | whether no step has been made yet |
    | `last_step` | the difference to the parameters before, from the first step on; lazy |
    | `step` | steps made so far, those before a resume included |
    | `evaluations` | values and gradients computed until it is read; lazy |
    | `projected_gradient` | what `project` leaves of a step of -gradient (with `project` only); lazy |
    | others | the optimiser's own state, such as `first_moment` |

    Nothing lazy is computed before it is read; the gradient is computed for the next step at the
    latest. The iterator ends only where a solver finds no better place.

    Args:
        function: whatever `functions.function` takes; one with a method `at` is drawn anew per step.
        optimiser: an optimiser or solver of `cortex.optimise`, a record's `optimiser`, or a function
            (params, gradient) -> params.
        initial: the first parameters, a vector of numbers; it is copied.
        project: a constraint: maps parameters after each step, and the first, to allowed ones.
        seed: of functions that are drawn anew per step, by the seed (seed, step).

    Raises:
        DescriptionError: one of them is something else; lists all problems.
    """
    running, made = _optimiser(optimiser), functions.function(function)
    params = _vector(initial)
    problems = [p for p in (running, params) if isinstance(p, str)]
    if not problems and project is not None and not hasattr(running.optimiser, "update"):
        problems.append(
            f"project: {type(running.optimiser).__name__} searches along lines, which leave the allowed region; "
            "constraints need an optimiser that works on gradients alone, such as Adam or Sgd"
        )
    if problems:
        raise DescriptionError("descent", problems)
    if project is not None:
        params = _frozen(project(params))
    return _descend(made, running, params, project, seed)


def _descend(
    function: Any, running: Running, params: Vector, project: Projection | None, seed: int
) -> Iterator[Record]:
    optimiser, state, step = running.optimiser, running.state, running.step
    redrawn = hasattr(function, "at")
    counted = Counted(function.at((seed, step)) if redrawn else function)
    update = getattr(optimiser, "update", None)
    if not state:
        state = optimiser.initialise(len(params))
    point, first = Point(counted, params), True
    previous = params
    while True:
        entries = {
            **state,
            "params": params,
            "value": Lazy(point.value),
            "gradient": Lazy(point.gradient),
            "optimiser": Lazy(Running, optimiser, state, step),
            "initial_step": first,
            "step": step,
            "evaluations": Lazy(counted.total),
        }
        if not first:
            entries["last_step"] = Lazy(np.subtract, params, previous)
        if project is not None:
            entries["projected_gradient"] = Lazy(_projected, project, point)
        yield Record(entries)
        previous = params
        if update is not None:
            params, state = update(state, params, point.gradient())
            if project is not None:
                params = project(params)
            params.setflags(write=False)
            point = Point(counted, params)
        else:
            found = optimiser.advance(state, point)
            if found is None:
                return
            point, state = found
            params = point.params
            params.setflags(write=False)
        step += 1
        first = False
        if redrawn:
            # another one: records of earlier steps keep theirs
            counted = Counted(function.at((seed, step)), counted.values, counted.gradients)
            point = Point(counted, params)


def _projected(project: Projection, point: Point) -> Vector:
    return point.params - project(point.params - point.gradient())


def _optimiser(given: Any) -> Any:
    """Return a `Running`, or what is wrong, in words."""
    if isinstance(given, Running):
        return replace(given)
    if isinstance(given, type):
        return f"optimiser: given the class {given.__name__}; did you need to call it: {given.__name__}()?"
    if hasattr(given, "initialise") and (hasattr(given, "update") or hasattr(given, "advance")):
        return Running(given, {}, 0)
    if callable(given):
        return Running(Plain(given), {}, 0)
    return (
        "optimiser: expected an optimiser such as Adam(), or a function (params, gradient) -> params, "
        f"given {_shown(given)}"
    )


def _vector(given: Any) -> Any:
    """Return the initial parameters, or what is wrong, in words."""
    try:
        params = np.array(given, np.float64)
    except (TypeError, ValueError):
        return f"initial: expected a vector of numbers, given {_shown(given)}"
    if params.ndim != 1 or not params.size:
        return f"initial: expected a vector of at least one number, given shape {params.shape}"
    return _frozen(params)


def _frozen(params: Vector) -> Vector:
    params.setflags(write=False)
    return params


def _shown(thing: Any) -> str:
    if isinstance(thing, Mapping):
        return f"a mapping with {', '.join(map(repr, thing))}"
    text = repr(thing)
    return text if len(text) < 80 else type(thing).__name__
