"""When to stop: rules are functions of a record; the reason is an enum whose value is a sentence.

A rule is called with each record and returns a `Reason` or None. Rules that remember (a plateau, a time) are made
fresh for each run: what the functions below return is a `Factory`, called once when a run begins. Wherever one of these
is taken, a plain function of a record will do as well; then anything true stops.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

Rule = Callable[[Mapping[str, Any]], Any]  # gives a Reason, or anything true, to stop


class Reason(Enum):
    """Why a run ended."""

    EPOCHS = "The number of epochs is reached."
    STEPS = "The number of steps is reached."
    TIME = "The time is over."
    TARGET = "The target is reached."
    GRADIENT = "The gradient is small enough."
    VALUE = "The value is small enough."
    PARAMS = "The parameters are close enough to the target."
    EVALUATIONS = "The number of evaluations is reached."
    PLATEAU = "There was no more progress."
    NOT_FINITE = "A value is not finite: infinite or not a number."
    INTERRUPTED = "The run was interrupted."
    STUCK = "No step lowers the value: a minimum as far as rounding allows, or a wrong gradient."
    ASKED = "It was asked for."
    RULE = "A stopping rule said so."
    EXHAUSTED = "There are no more records."


@dataclass(frozen=True)
class Factory:
    """A stopping rule before its run: a call begins a rule that has seen nothing yet."""

    start: Callable[[], Rule]

    def __call__(self) -> Rule:
        """Return a fresh rule."""
        return self.start()


RuleFactory = Factory | Rule  # what `study`, `train`, `any_of`, ... take


def begin(rules: Any) -> Rule:
    """Return one fresh rule of a rule, a `Factory`, or several of both: the first reason counts.

    A rule that is a plain function may return anything true, which stands for `Reason.RULE`.

    Raises:
        TypeError: one of them cannot be called.
    """
    return any_of(*(rules if isinstance(rules, Iterable) else [rules]))()


def as_reason(answer: Any) -> Reason | None:
    """Return what the answer of a rule means: None where it is not true."""
    return answer if isinstance(answer, Reason) else Reason.RULE if answer else None


def epochs(count: int) -> Factory:
    """Stop when `count` epochs are complete."""
    return Factory(lambda: lambda r: Reason.EPOCHS if r["epoch"] >= count else None)


def steps(count: int) -> Factory:
    """Stop after `count` steps."""
    return Factory(lambda: lambda r: Reason.STEPS if r["step"] >= count else None)


def seconds(limit: float) -> Factory:
    """Stop at the first record after `limit` seconds of this run."""

    def start() -> Rule:
        begin = time.monotonic()
        return lambda r: Reason.TIME if time.monotonic() - begin >= limit else None

    return Factory(start)


def target(key: str, value: float, mode: str = "auto") -> Factory:
    """Stop when entry `key` reaches `value`: from below (`max`) or above (`min`); `auto` takes `min` for losses."""
    upwards = _upwards(key, mode)

    def rule(r: Mapping[str, Any]) -> Reason | None:
        found = r.get(key)
        if found is None:
            return None
        return Reason.TARGET if (found >= value if upwards else found <= value) else None

    return Factory(lambda: rule)


def plateau(
    key: str = "loss", patience: int = 5, least: float = 0.0, mode: str = "auto"
) -> Factory:
    """Stop when entry `key` has not improved by more than `least` in `patience` records that have it."""
    upwards = _upwards(key, mode)

    def start() -> Rule:
        best, waited = -math.inf, 0

        def rule(r: Mapping[str, Any]) -> Reason | None:
            nonlocal best, waited
            found = r.get(key)
            if found is None:
                return None
            score = found if upwards else -found
            best, waited = (score, 0) if score > best + least else (best, waited + 1)
            return Reason.PLATEAU if waited >= patience else None

        return rule

    return Factory(start)


def not_finite(key: str = "loss") -> Factory:
    """Stop when entry `key` is infinite or not a number."""

    def rule(r: Mapping[str, Any]) -> Reason | None:
        found = r.get(key)
        return Reason.NOT_FINITE if found is not None and not math.isfinite(found) else None

    return Factory(lambda: rule)


def evaluations(limit: int) -> Factory:
    """Stop when `limit` values and gradients have been computed (entry `evaluations` of a descent)."""
    return Factory(lambda: lambda r: Reason.EVALUATIONS if r["evaluations"] >= limit else None)


def any_of(*rules: RuleFactory) -> Factory:
    """Stop when the first of these rules says so.

    Raises:
        TypeError: one of them cannot be called.
    """
    return _combined(rules, lambda reasons: next((r for r in reasons if r is not None), None))


def all_of(*rules: RuleFactory) -> Factory:
    """Stop when all of these rules say so at one record; the reason is the last one's.

    Raises:
        TypeError: one of them cannot be called.
    """
    return _combined(
        rules, lambda reasons: reasons[-1] if reasons and None not in reasons else None
    )


def _combined(
    rules: tuple[RuleFactory, ...], judge: Callable[[list[Reason | None]], Reason | None]
) -> Factory:
    wrong = [r for r in rules if not callable(r)]
    if wrong:
        raise TypeError(f"stopping rule: expected a function of a record, given {wrong[0]!r}")

    def start() -> Rule:
        made: list[Rule] = [r() if isinstance(r, Factory) else r for r in rules]
        # every rule is asked: those that remember must see every record
        return lambda record: judge([as_reason(rule(record)) for rule in made])

    return Factory(start)


def _upwards(key: str, mode: str) -> bool:
    if mode not in ("auto", "min", "max"):
        raise ValueError(f"stopping rule: mode must be 'auto', 'min' or 'max', given {mode!r}")
    return mode == "max" or (
        mode == "auto" and not any(word in key for word in ("loss", "error", "value", "gradient"))
    )
