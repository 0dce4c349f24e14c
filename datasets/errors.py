"""What this package raises: one exception for everything wrong with data or its description."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class DataError(ValueError):
    """Data, a data file or the description of a data set is not what the operation expects."""


class MissingFileError(DataError, FileNotFoundError):
    """A data file is not where it was looked for."""


def report(operation: str, problems: Sequence[str], shown: int = 10) -> DataError:
    """One error for all `problems` (at least one) of `operation`; the first `shown` are listed."""
    if len(problems) == 1:
        return DataError(f"{operation}: {problems[0]}")
    lines = [f"{operation}: {len(problems)} problems"]
    lines += [f"  {number}. {problem}" for number, problem in enumerate(problems[:shown], 1)]
    if len(problems) > shown:
        lines.append(f"  ... and {len(problems) - shown} more")
    return DataError("\n".join(lines))


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """The sentence for a `name` that is none of `known`, suggesting the nearest."""
    names = [str(each) for each in known]
    near = get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}; known: {', '.join(names) or 'none'}.{hint}"
