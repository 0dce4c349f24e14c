"""The errors cortex raises, and the helpers that word them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class CortexError(Exception):
    """Base of every error that cortex raises on purpose."""


class ShapeError(CortexError, ValueError):
    """Shapes or dtypes of an operation do not fit; the message names both sides."""


class DescriptionError(CortexError, ValueError):
    """A description (network, options, data) is wrong; `problems` lists everything found at once."""

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        lines = (
            self.problems[0]
            if len(self.problems) == 1
            else "".join(
                f"\n  {number}. {problem}" for number, problem in enumerate(self.problems, 1)
            )
        )
        super().__init__(f"{what}: {lines}")


class NotDifferentiable(CortexError, TypeError):
    """A gradient was asked of an operation that has none."""


class BackendError(CortexError, RuntimeError):
    """A backend is missing or cannot do what was asked; the message says why and what to do."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the known name nearest to a mistyped one, or nothing."""
    matches = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def near(name: str, names: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the known name nearest to a mistyped one, else the list of names."""
    known = sorted(names)
    return nearest(name, known) or (f"; known: {', '.join(known)}" if known else "")
