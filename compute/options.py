"""Options of backends as data: declared by a dataclass, written behind a backend's name, checked in one place.

    cpu:exact
    cuda:deterministic=false,precision=bfloat16

A module that holds a backend may have a frozen dataclass `Options`, each field of which is an `option`: a default (a
truth value, an integer or a word) and a meaning. The backend's constructor takes its fields as keywords; what they may
hold beyond the type of the default, `Options` checks itself and raises a `BackendError`. An option without a value is
true. A backend's `name` is its `full_name`, so whatever names a backend names its options too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from .errors import BackendError, nearest

T = TypeVar("T", bool, int, str)

EXPECTED = {bool: "true or false", int: "an integer", str: "a word"}


@dataclass(frozen=True)
class Option:
    """One option of a backend: its name, its value where nobody says another, and what it means."""

    name: str
    default: bool | int | str
    meaning: str

    def __str__(self) -> str:
        return f"{self.name}={_text(self.default)}"


def option(default: T, meaning: str) -> T:
    """Return the field of an `Options` dataclass with this default."""
    made: T = dataclasses.field(default=default, metadata={"meaning": meaning})
    return made


def listed(schema: type | None) -> tuple[Option, ...]:
    """Return the options that an `Options` dataclass declares; None declares none."""
    if schema is None:
        return ()
    return tuple(
        Option(f.name, f.default, f.metadata.get("meaning", ""))  # type: ignore[arg-type]
        for f in dataclasses.fields(schema)
    )


def split(text: str) -> tuple[str, list[tuple[str, str | bool]]]:
    """Return the name in `name:option,option=value` and its options in order, their values as they were written."""
    name, _, rest = text.partition(":")
    pieces = [p.partition("=") for p in rest.split(",") if p.strip()]
    return name.strip(), [(n.strip(), v.strip() if equals else True) for n, equals, v in pieces]


def checked(
    name: str,
    schema: type | None,
    written: Iterable[tuple[str, str | bool]],
    said: Mapping[str, Any],
) -> dict[str, Any]:
    """Return those options of backend `name` that differ from their defaults, by name.

    `written` are options as `split` gives them, `said` are Python values.

    Raises:
        BackendError: an option is unknown, given twice, or has a value that does not fit; the message lists all options
            of the backend with their defaults.
    """
    known = {o.name: o for o in listed(schema)}

    def wrong(problem: str) -> BackendError:
        offered = ", ".join(map(str, known.values())) or "none"
        return BackendError(f"backend {name!r}: {problem} (options: {offered})")

    found: dict[str, Any] = {}
    for key, value, is_text in [
        *((k, v, True) for k, v in written),
        *((k, v, False) for k, v in said.items()),
    ]:
        if key not in known:
            raise wrong(f"there is no option {key!r}{nearest(key, known)}")
        if key in found:
            raise wrong(f"the option {key!r} is given twice")
        kind = type(known[key].default)
        found[key] = _parsed(value, kind) if is_text and isinstance(value, str) else value
        if type(found[key]) is not kind:
            raise wrong(f"{key}: expected {EXPECTED[kind]}, given {value!r}")
    if schema is None:
        return {}
    try:
        schema(**found)
    except BackendError as error:
        raise wrong(str(error)) from None
    return {k: v for k, v in found.items() if v != known[k].default}


def full_name(name: str, options: Any) -> str:
    """Return the name of a backend with its `options`, a mapping or an `Options`: sorted, defaults left out."""
    if not isinstance(options, Mapping):
        options = {
            o.name: value
            for o in listed(type(options))
            if (value := getattr(options, o.name)) != o.default
        }
    written = [k if v is True else f"{k}={_text(v)}" for k, v in sorted(options.items())]
    return f"{name}:{','.join(written)}" if written else name


def _parsed(text: str, kind: type) -> Any:
    """Return the value that a text stands for, or the text itself where it stands for none."""
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return kind(text)
    except ValueError:
        return text


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
