"""Things described by data: checked when made, to and from dicts and lists that survive JSON.

A `Registry` knows one kind of thing (layers, initialisers) by type name; its members are frozen
dataclasses. Their fields hold numbers, words, truth values, None, tuples, other registered things,
or functions that have a name (`register_function`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from cortex.compute.errors import DescriptionError, near
from cortex.rules import plain

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])

FUNCTIONS: dict[str, Callable[..., Any]] = {}
REGISTRIES: dict[str, Registry] = {}


class Registry:
    """The types of one kind of thing by name, such as all layers.

    A field belongs to a registry where its annotation contains `kind`, capitalised.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.types: dict[str, type] = {}
        REGISTRIES[kind] = self

    def register(self, cls: C) -> C:
        """Make a frozen dataclass known under its class name; use it as a decorator.

        Raises:
            DescriptionError: it is not a dataclass, or another type has that name.
        """
        name, found = cls.__name__, self.types.get(cls.__name__)
        if not dataclasses.is_dataclass(cls):
            raise DescriptionError(f"{self.kind} {name}", ["expected a frozen dataclass"])
        if found is not None and (found.__module__, found.__qualname__) != (
            cls.__module__,
            cls.__qualname__,
        ):
            problem = f"the name is taken by {found.__module__}.{found.__qualname__}"
            raise DescriptionError(f"{self.kind} {name}", [problem])
        self.types[name] = cls
        return cls

    def to_data(self, thing: Any) -> dict[str, Any]:
        """Return a registered thing as `{"type": name, field: value, ...}`; defaults are left out.

        Raises:
            DescriptionError: a type is not registered, or a function has no name; lists every case.
        """
        problems: list[str] = []
        data = _encode(thing, "", problems)
        if problems:
            raise DescriptionError(f"{self.kind} to data", problems)
        return dict(data)

    def from_data(self, data: Mapping[str, Any]) -> Any:
        """Return the thing that `to_data` described.

        Raises:
            DescriptionError: lists every unknown type, unknown or missing field and wrong value,
            with
                its place and, for a mistyped name, the nearest known one.
        """
        problems: list[str] = []
        thing = self._decode(data, "", problems)
        if problems:
            raise DescriptionError(f"{self.kind} from data", problems)
        return thing

    def _decode(self, data: Any, place: str, problems: list[str]) -> Any:
        start = f"{place}: " if place else ""
        if not isinstance(data, Mapping) or not isinstance(data.get("type"), str):
            problems.append(
                f"{start}expected a {self.kind}: an object with a 'type', given {data!r}"
            )
            return None
        name = data["type"]
        if name not in self.types:
            problems.append(f"{start}no {self.kind} has the type {name!r}{near(name, self.types)}")
            return None
        cls, before = self.types[name], len(problems)
        inside = f"{place} ({name})" if place else name
        fields = {f.name: f for f in dataclasses.fields(cls)}
        for word in data:
            if word != "type" and word not in fields:
                problems.append(f"{inside}: no field is named {word!r}{near(word, fields)}")
        values = {}
        for word, field in fields.items():
            if word in data:
                values[word] = _decode(data[word], field, f"{inside}.{word}", self, problems)
            elif _is_required(field):
                problems.append(f"{inside}: the field {word!r} is missing")
        if len(problems) > before:
            return None
        try:
            return cls(**values)
        except DescriptionError as error:
            problems += [f"{inside}: {problem}" for problem in error.problems]
            return None


def register_function(name: str, function: F) -> F:
    """Give a function a name, so that a description that contains it can be stored as data.

    Raises:
        DescriptionError: another function has that name.
    """
    if FUNCTIONS.setdefault(name, function) is not function:
        raise DescriptionError(f"function {name!r}", ["the name is taken by another function"])
    return function


def named(function: Any) -> Any:
    """Return the name under which a function is registered, or the function itself."""
    return next((n for n, known in FUNCTIONS.items() if known is function), function)


def function_of(name: Any) -> Callable[..., Any]:
    """Return the function that is registered under a name; a function is returned as it is."""
    return FUNCTIONS[name] if isinstance(name, str) else name


def short(thing: Any) -> str:
    """Return the shortest call that makes a dataclass: fields at their default are left out."""
    words = []
    for number, field in enumerate(dataclasses.fields(thing)):
        value = getattr(thing, field.name)
        if _is_required(field) or value != _default(field):
            shown = _shown(value)
            words.append(f"{field.name}={shown}" if number else shown)
    return f"{type(thing).__name__}({', '.join(words)})"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        inside = ", ".join(map(_shown, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if dataclasses.is_dataclass(value):
        return short(value)
    return getattr(value, "__name__", None) or repr(value)


def _encode(value: Any, place: str, problems: list[str]) -> Any:
    if isinstance(value, tuple):
        return [_encode(v, f"{place}[{i}]", problems) for i, v in enumerate(value)]
    if dataclasses.is_dataclass(value):
        cls = type(value)
        inside = f"{place} ({cls.__name__})" if place else cls.__name__
        if not any(r.types.get(cls.__name__) is cls for r in REGISTRIES.values()):
            problems.append(
                f"{inside}: the type is not registered; decorate it with `cortex.layers.register`"
            )
        data: dict[str, Any] = {"type": cls.__name__}
        for field in dataclasses.fields(value):
            entry = getattr(value, field.name)
            if _is_required(field) or entry != _default(field):
                data[field.name] = _encode(entry, f"{inside}.{field.name}", problems)
        return data
    if callable(value):
        name = named(value)
        if callable(name):
            shown = getattr(value, "__name__", repr(value))
            problems.append(
                f"{place}: the function {shown} has no name to store; give it one with "
                "`cortex.layers.register_function(name, function)`"
            )
        return name
    return value


def _decode(
    data: Any, field: dataclasses.Field[Any], place: str, own: Registry, problems: list[str]
) -> Any:
    """Return the content of one field: a nested thing of the kind that the annotation names."""
    if isinstance(data, (list, tuple)):
        return tuple(_decode(d, field, f"{place}[{i}]", own, problems) for i, d in enumerate(data))
    kind = next((k for k in REGISTRIES if k.capitalize() in str(field.type)), None)
    # A number passes: a hyper-parameter is one or a schedule, and the type's own rule decides.
    if isinstance(data, Mapping) or (kind and not isinstance(data, (int, float, type(None)))):
        return REGISTRIES.get(kind or "", own)._decode(data, place, problems)
    return plain(data)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
