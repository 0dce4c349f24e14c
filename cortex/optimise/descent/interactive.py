"""`interactive`: a descent whose step sizes are typed in, one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cortex.optimise import functions
from cortex.records import Lazy, Record
from cortex.stopping import Reason

from .point import Counted, Point
from .study import Result

HELP = "a number steps; Enter repeats; force [rate]; back [n]; anything else stops"


def interactive(
    function: Any,
    initial: Any,
    *,
    normalise: bool = False,
    prompt: str = "> ",
    read: Callable[[str], str] = input,
    write: Callable[[str], Any] = print,
) -> Result:
    """Step down by hand, and return where that led.

    | typed | what happens |
    |---|---|
    | a number | a step of that rate times the gradient, downhill (negative: uphill); refused unless the value falls |
    | nothing | the last entry again |
    | `force`, `force 0.5` | the step (of the last rate, or this one) whatever the value does |
    | `back`, `back 3` | undo so many entries, refused ones included |
    | anything else, or the end of the input | stop |

    With `normalise` the gradient has length 1, so that a rate is the length of the step.
    """
    counted = Counted(functions.function(function))
    here = Point(counted, np.array(initial, np.float64))
    history: list[tuple[str, Point, Point]] = []  # what was typed, the place before and after
    reason = Reason.ASKED
    write(_line(here))
    while True:
        try:
            typed = read(prompt).strip().lower()
        except EOFError:
            break
        except KeyboardInterrupt:
            reason = Reason.INTERRUPTED
            break
        if not typed and not history:
            write(HELP)
            continue
        typed = typed or history[-1][0]
        word, *rest = typed.split()
        if word == "back" and _is_count(rest):
            for _ in range(min(len(history), int(rest[0]) if rest else 1)):
                _, here, _ = history.pop()
            write(_line(here))
            continue
        rate = _rate(word, rest, history)
        if rate is None:
            break
        there = _moved(here, rate, normalise)
        if word == "force" or there.value() < here.value():
            history.append((typed, here, there))
            here = there
            write(_line(here))
        else:
            history.append((typed, here, here))
            write(f"refused: f would be {there.value():.6g}")
    steps = sum(before is not after for _, before, after in history)
    return Result(here.params, reason, _record(here, steps, counted))


def _moved(here: Point, rate: float, normalise: bool) -> Point:
    slope = here.gradient()
    length = float(np.linalg.norm(slope)) if normalise else 1.0
    return here.at(here.params - rate * slope / (length or 1.0))


def _line(here: Point) -> str:
    return f"f = {here.value():.6g}, |grad| = {float(np.linalg.norm(here.gradient())):.6g}"


def _is_count(rest: list[str]) -> bool:
    return not rest or (len(rest) == 1 and rest[0].isdecimal())


def _rate(word: str, rest: list[str], history: list[tuple[str, Point, Point]]) -> float | None:
    """Return the rate of an entry, or None where it is neither a number nor `force`."""
    if word == "force" and len(rest) <= 1:
        if rest:
            return _number(rest[0])
        earlier = (_number(h[0].split()[-1]) for h in reversed(history))
        return next((n for n in earlier if n is not None), None)
    return _number(word) if not rest else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _record(here: Point, steps: int, counted: Counted) -> Record:
    return Record(
        {
            "params": here.params,
            "value": Lazy(here.value),
            "gradient": Lazy(here.gradient),
            "optimiser": None,
            "initial_step": not steps,
            "step": steps,
            "evaluations": Lazy(counted.total),
        }
    )
