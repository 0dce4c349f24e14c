"""Rules for the fields of a description: what is expected, and a test that never raises."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cortex.compute.errors import DescriptionError, near


class Rule(NamedTuple):
    """What a field may hold; `words` are the words among it, for suggestions."""

    expected: str
    holds: Callable[[Any], bool]
    words: tuple[str, ...] = ()


def is_integer(value: Any, least: int | None = None) -> bool:
    """Return whether `value` is an integer, and at least `least`; truth values are not integers."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and (least is None or value >= least)


def is_number(value: Any) -> bool:
    """Return whether `value` is a finite number; truth values are not numbers."""
    return (is_integer(value) or isinstance(value, float)) and math.isfinite(value)


INTEGER = Rule("an integer", is_integer)
COUNT = Rule("an integer >= 1", lambda v: is_integer(v, 1))
NUMBER = Rule("a finite number", is_number)
POSITIVE = Rule("a number > 0", lambda v: is_number(v) and v > 0)
NOT_NEGATIVE = Rule("a number >= 0", lambda v: is_number(v) and v >= 0)
BELOW_ONE = Rule("a number >= 0 and < 1", lambda v: is_number(v) and 0 <= v < 1)
SHARE = Rule("a number from 0 to 1", lambda v: is_number(v) and 0 <= v <= 1)
FLAG = Rule("True or False", lambda v: isinstance(v, bool))


def one_of(*words: str) -> Rule:
    """Return the rule of a field that holds one of a few words."""
    holds = set(words).__contains__
    return Rule(" or ".join(map(repr, words)), lambda v: isinstance(v, str) and holds(v), words)


def either(*rules: Rule) -> Rule:
    """Return the rule of a field that follows one of several rules."""
    return Rule(
        ", or ".join(r.expected for r in rules),
        lambda v: any(r.holds(v) for r in rules),
        tuple(w for r in rules for w in r.words),
    )


NONE = Rule("None", lambda v: v is None)


def tuple_of(rule: Rule, length: int | None = None, least: int = 0) -> Rule:
    """Return the rule of a tuple of `length` entries, or of at least `least`, by one rule."""
    count = f"{length}" if length is not None else f"at least {least}" if least else "any number of"
    return Rule(
        f"a tuple of {count} entries, each {rule.expected}",
        lambda v: (
            isinstance(v, tuple)
            and (len(v) == length if length is not None else len(v) >= least)
            and all(map(rule.holds, v))
        ),
    )


def check(thing: Any, **rules: Rule) -> None:
    """Make the fields of a frozen dataclass plain (see `plain`) and hold them against their rules.

    Raises:
        DescriptionError: names the type and, for each field that breaks its rule, the field, what
        was
            expected and what was given.
    """
    for field in dataclasses.fields(thing):
        object.__setattr__(thing, field.name, plain(getattr(thing, field.name)))
    problems = []
    for name, rule in rules.items():
        value = getattr(thing, name)
        if not rule.holds(value):
            hint = near(value, rule.words) if isinstance(value, str) and rule.words else ""
            problems.append(f"{name}: expected {rule.expected}, given {value!r}{hint}")
    if problems:
        raise DescriptionError(type(thing).__name__, problems)


def plain(value: Any) -> Any:
    """Return lists and arrays as tuples, NumPy numbers as Python's, the rest as it is."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return tuple(map(plain, value)) if isinstance(value, (list, tuple)) else value
