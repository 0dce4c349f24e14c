"""`Node`: one layer of a network, by name, and what each of its arguments is bound to.

Arguments are data (`parents`) or parameters (`bindings`). An argument is written as

| written | means |
|---|---|
| `"conv1"` | the output of the node `conv1` (all outputs, where a layer has several) |
| `"split1:0"` | the first output of `split1` |
| `"conv1.weights"` | the parameter `weights` of the node `conv1`: shared, not copied |
| `constant(value)` | numbers that never change |
| `column(name)` | an input of the program, given anew with each batch |

A parameter that is not bound is the node's own. A node's output bound to a parameter must not depend on the batch
size: its spec is [1, ...] with as many elements as the parameter, and it is reshaped row-major. A parameter or
constant read as data is a batch of one: [1, *shape].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np

from cortex.compute.errors import DescriptionError, near
from cortex.protocols import Initialiser, Layer

T = TypeVar("T")


class Frozen(Mapping[str, T]):
    """A mapping that never changes, compares by content and survives copying and pickling."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, T] | None = None) -> None:
        self._items = dict(items or {})

    def __getitem__(self, key: str) -> T:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


@dataclass(frozen=True)
class Constant:
    """Numbers that never change; `value` is a number or nested tuples of numbers."""

    value: Any

    def __post_init__(self) -> None:
        array = np.asarray(self.value)
        if array.dtype.kind not in "biuf":
            raise DescriptionError("constant", [f"expected numbers, given {self.value!r}"])
        object.__setattr__(self, "value", _tuples(array.tolist()))


@dataclass(frozen=True)
class Column:
    """An input of the program by the name of its column; it has the shape of the parameter bound to it."""

    name: str


Argument = str | Constant | Column


@dataclass(frozen=True)
class Attributes:
    """How parameters are initialised and trained; None leaves a choice to the node, the layer or the default.

    `learning_rate_factor` (default 1) scales each step. `frozen` parameters do not change. The loss gets
    `l1` x sum |w| + `l2` / 2 x sum w^2, whose gradient is `l1` sign(w) + `l2` w. After each step every row of the
    parameter (index along axis 0: one output unit) has a Euclidean norm of at most `max_norm`.
    """

    initialiser: Initialiser | None = None
    learning_rate_factor: float | None = None
    frozen: bool | None = None
    l1: float | None = None
    l2: float | None = None
    max_norm: float | None = None

    def over(self, base: Attributes) -> Attributes:
        """Return `base` with whatever is said here put over it."""
        said = {n: v for n, v in _said(self).items()}
        return Attributes(**{**_said(base), **said})

    def problems(self) -> list[str]:
        """Return what is wrong with the numbers, in words."""
        found = []
        for name in ("learning_rate_factor", "l1", "l2", "max_norm"):
            value = getattr(self, name)
            if value is None:
                continue
            low = "above 0" if name == "max_norm" else "of at least 0"
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if (
                not number
                or not np.isfinite(value)
                or value < 0
                or (name == "max_norm" and value == 0)
            ):
                found.append(f"{name}: expected a number {low}, given {value!r}")
        if self.frozen is not None and not isinstance(self.frozen, bool):
            found.append(f"frozen: expected True or False, given {self.frozen!r}")
        if self.initialiser is not None and not callable(self.initialiser):
            found.append(
                f"initialiser: expected an initialiser such as He(), given {self.initialiser!r}"
            )
        return found


NAMES = tuple(f.name for f in fields(Attributes))


@dataclass(frozen=True)
class Node:
    """One layer of a network; see the module for how `parents` and `bindings` are written.

    `attributes` are those of the node: `l1`, `l2`, `max_norm` and `initialiser` reach its parameters of two or more
    axes (weights, not biases), the others all of them. `parameter_attributes` are those of one parameter and win.
    An empty name or `parents=None` is completed by the network: a number, the node before.
    """

    name: str
    layer: Layer
    parents: tuple[Argument, ...] | None = None
    bindings: Mapping[str, Argument] = field(default_factory=Frozen)
    attributes: Attributes = Attributes()
    parameter_attributes: Mapping[str, Attributes] = field(default_factory=Frozen)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bindings", Frozen(self.bindings))
        object.__setattr__(self, "parameter_attributes", Frozen(self.parameter_attributes))

    def attributes_of(self, parameter: str, rank: int) -> Attributes:
        """Return what holds for one parameter with `rank` axes."""
        base = self.attributes
        if rank < 2:
            base = Attributes(learning_rate_factor=base.learning_rate_factor, frozen=base.frozen)
        return self.parameter_attributes.get(parameter, Attributes()).over(base)


def node(
    layer: Layer,
    name: str = "",
    parents: str | Argument | Sequence[Argument] | None = None,
    *,
    bindings: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Attributes | Mapping[str, Any]] | None = None,
    **attributes: Any,
) -> Node:
    """Return a node of a network that says more than its layer.

    `bindings` maps parameter names to arguments (numbers and arrays are constants), `parameters` maps parameter
    names to their own attributes; `attributes` are those of the node, see `Attributes`.

    Raises:
        DescriptionError: unknown attributes or values that make no sense, all at once.
    """
    problems: list[str] = []
    who = f"node {name!r}: " if name else ""
    own = _attributes(attributes, who, problems)
    each = {
        p: _attributes(a, f"{who}parameter {p!r}: ", problems)
        for p, a in (parameters or {}).items()
    }
    bound: dict[str, Argument] = {}
    for parameter, thing in (bindings or {}).items():
        try:
            bound[parameter] = argument(thing)
        except DescriptionError as error:
            problems += [f"{who}parameter {parameter!r}: {p}" for p in error.problems]
    if parents is not None and (isinstance(parents, (str, Constant, Column))):
        parents = (parents,)
    if problems:
        raise DescriptionError("node", problems)
    given = None if parents is None else tuple(map(argument, parents))
    return Node(name, layer, given, Frozen(bound), own, Frozen(each))


def argument(thing: Any) -> Argument:
    """Return an argument as written in the table of this module; numbers and arrays become constants."""
    return thing if isinstance(thing, (str, Constant, Column)) else constant(thing)


def constant(value: Any) -> Constant:
    """Return a constant argument: a number, or an array of any shape.

    Raises:
        DescriptionError: not numbers.
    """
    return Constant(value)


def column(name: str) -> Column:
    """Return an argument that is read from the input column `name` of each batch."""
    return Column(name)


def _said(attributes: Attributes) -> dict[str, Any]:
    return {n: getattr(attributes, n) for n in NAMES if getattr(attributes, n) is not None}


def _attributes(given: Attributes | Mapping[str, Any], who: str, problems: list[str]) -> Attributes:
    if not isinstance(given, Attributes):
        for name in set(given) - set(NAMES):
            problems.append(f"{who}no attribute is named {name!r}{near(name, NAMES)}")
        given = Attributes(**{n: v for n, v in given.items() if n in NAMES})
    problems += [who + p for p in given.problems()]
    return given


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
