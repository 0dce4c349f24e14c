"""References as strings: `node`, `node:output` and `node.parameter`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .node import Argument


class Reference(NamedTuple):
    """A reference taken apart; `output` and `parameter` are None where not said."""

    node: str
    output: int | None = None
    parameter: str | None = None


def parse(text: str) -> Reference:
    """Return the parts of a reference; an output that is not a number counts as part of an unknown name."""
    name, dot, parameter = text.partition(".")
    if dot:
        return Reference(name, None, parameter)
    name, colon, number = text.rpartition(":")
    if colon and number.isdecimal():
        return Reference(name, int(number))
    return Reference(text)


def renamed(argument: Argument, names: Mapping[str, str]) -> Argument:
    """Return an argument with the name of its node replaced, where `names` has it."""
    if not isinstance(argument, str):
        return argument
    name = parse(argument).node
    return names.get(name, name) + argument[len(name) :]


def name_problem(name: str) -> str | None:
    """Return what is wrong with the name of a node, or None."""
    if not isinstance(name, str) or not name or any(c in ".:" or c.isspace() for c in name):
        return f"{name!r}: a name is a word without spaces, '.' and ':', which separate outputs and parameters"
    if name in RESERVED:
        return f"{name!r}: the name is reserved; reserved are {', '.join(sorted(RESERVED))}"
    return None


# words that begin the names of other things in a program
RESERVED = frozenset(
    {
        "gradient",
        "loss",
        "metric",
        "optimiser",
        "output",
        "parameters",
        "random",
        "sample_weight",
        "total",
    }
)
