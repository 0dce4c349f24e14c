"""From what people write in a list to named nodes with parents: chains, names, composites inside composites."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex.layers.input import Input
from cortex.protocols import Layer

from .node import Argument, Attributes, Frozen, Node
from .references import parse, renamed
from .weights import Source

if TYPE_CHECKING:
    from .network import Network

FORMS = 'a layer, ("name", layer), node(layer, ...), a list of these, or a Network'
PLAIN = Attributes()


@dataclass
class Assembly:
    """Nodes put together so far, what is wrong with them, and the composites among them.

    `composites` maps the name of a composite to the arguments that stand for its outputs; `carried` maps the name of
    a parameter to its numbers, where a network with weights of its own was put in.
    """

    nodes: list[Node] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    composites: dict[str, tuple[Argument, ...]] = field(default_factory=dict)
    carried: dict[str, Source] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    exact: set[str] = field(
        default_factory=set
    )  # nodes whose references are written in full already

    def add(
        self,
        items: Any,
        before: tuple[Argument, ...],
        prefix: str = "",
        common: Attributes = PLAIN,
    ) -> tuple[Argument, ...]:
        """Add a chain that starts after `before`; return the arguments that stand for its end."""
        self.taken |= {prefix + name for name in _names(items)}
        for number, item in enumerate(items, 1):
            before = self._item(item, before, prefix, f"{prefix}item {number}", common)
        return before

    def _item(
        self, item: Any, before: tuple[Argument, ...], prefix: str, where: str, common: Attributes
    ) -> tuple[Argument, ...]:
        from .network import Network

        name = ""
        if _is_pair(item):
            name, item = item
        if isinstance(item, Node):
            thing = replace(item, name=name or item.name)
        elif isinstance(item, (list, tuple)) and not name:
            return self.add(item, before, prefix, common)
        elif isinstance(item, (list, tuple, Network, Layer)) and not isinstance(item, type):
            thing = Node(name, item)  # type: ignore[arg-type]
        else:
            given = (
                f"the class {item.__name__}; write {item.__name__}(...)"
                if isinstance(item, type)
                else repr(item)
            )
            self.problems.append(f"{where}: expected {FORMS}; given {given}")
            return before
        thing = replace(thing, attributes=common.over(thing.attributes))
        start = before if thing.parents is None else thing.parents
        if isinstance(thing.layer, (list, tuple, Network)):
            return self._composite(thing, start, prefix)
        if not isinstance(thing.layer, Layer):
            self.problems.append(f"{where}: expected a layer, given {thing.layer!r}")
            return before
        if thing.parents is None and isinstance(thing.layer, Input):
            start = ()
        full = prefix + thing.name if thing.name else self._free(prefix + type_name(thing.layer))
        self.nodes.append(replace(thing, name=full, parents=tuple(start)))
        return (full,)

    def _composite(
        self, thing: Node, start: tuple[Argument, ...], prefix: str
    ) -> tuple[Argument, ...]:
        from .network import Network

        inner: Any = thing.layer
        full = prefix + thing.name if thing.name else self._free(prefix + "network")
        if thing.bindings or thing.parameter_attributes:
            self.problems.append(
                f"{full}: bindings and parameter attributes belong to the nodes inside the composite"
            )
        if isinstance(inner, Network):
            end = self._splice(inner, full, start, thing.attributes)
            if any(
                isinstance(s, np.ndarray) for s in inner.sources.values()
            ):  # else each copy draws its own
                self.carried |= {f"{full}/{name}": s for name, s in inner.sources.items()}
        else:
            end = self.add(inner, start, full + "/", thing.attributes)
        self.composites[full] = end
        return end

    def _splice(
        self, inner: Network, name: str, start: tuple[Argument, ...], common: Attributes
    ) -> tuple[Argument, ...]:
        """Add the nodes of a network; its inputs are replaced by `start`, if there is anything."""
        inputs = tuple(inner.inputs)
        if start and len(start) != len(inputs):
            self.problems.append(
                f"{name}: the network has {len(inputs)} inputs ({', '.join(inputs)}), given {len(start)}: "
                f"{', '.join(map(str, start))}"
            )
            return start
        replaced: dict[str, Argument] = dict(zip(inputs, start, strict=True)) if start else {}
        rename = {n.name: f"{name}/{n.name}" for n in inner.nodes}

        def place(a: Argument) -> Argument:
            return replaced[a] if isinstance(a, str) and a in replaced else renamed(a, rename)

        for n in inner.nodes:
            if n.name not in replaced:
                self.nodes.append(
                    replace(
                        n,
                        name=rename[n.name],
                        parents=tuple(map(place, n.parents or ())),
                        bindings=Frozen({p: place(a) for p, a in n.bindings.items()}),
                        attributes=common.over(n.attributes),
                    )
                )
        self.taken |= set(rename.values())
        self.exact |= set(rename.values())
        return tuple(map(place, inner.outputs))

    def _free(self, stem: str) -> str:
        number = 1
        while f"{stem}{number}" in self.taken:
            number += 1
        self.taken.add(f"{stem}{number}")
        return f"{stem}{number}"

    def finish(self) -> tuple[Node, ...]:
        """Return the nodes with every reference written in full: names inside a composite, and of composites."""
        known = {n.name for n in self.nodes}
        done = []
        for n in self.nodes:
            scope = n.name.rpartition("/")[0]

            def full(a: Argument, n: Node = n, scope: str = scope) -> tuple[Argument, ...]:
                complete = n.name in self.exact and isinstance(a, str) and parse(a).node in known
                return (a,) if complete else self._resolve(a, scope, known)

            parents = [a for p in n.parents or () for a in full(p)]
            bindings = {}
            for parameter, a in n.bindings.items():
                found = full(a)
                if len(found) != 1:
                    self.problems.append(
                        f"{n.name}.{parameter}: bound to {a!r}, which has {len(found)} outputs"
                    )
                bindings[parameter] = found[0] if found else a
            done.append(replace(n, parents=tuple(parents), bindings=Frozen(bindings)))
        return tuple(done)

    def stand_for(self, outputs: str | Sequence[str]) -> tuple[str, ...]:
        """Return the outputs of a network in full: a composite's name stands for its outputs."""
        known = {n.name for n in self.nodes}
        names = (outputs,) if isinstance(outputs, str) else outputs
        return tuple(str(a) for name in names for a in self._resolve(name, "", known))

    def _resolve(self, a: Argument, scope: str, known: set[str]) -> tuple[Argument, ...]:
        if not isinstance(a, str):
            return (a,)
        name = parse(a).node
        while True:
            full = f"{scope}/{name}" if scope else name
            if full in known:
                return (renamed(a, {name: full}),)
            if full in self.composites and a == name:
                return self.composites[full]
            if not scope:
                return (a,)
            scope = scope.rpartition("/")[0]


def type_name(layer: Any) -> str:
    """Return the class of a layer in snake case: `BatchNormalisation` gives batch_normalisation."""
    return re.sub(
        r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(layer).__name__
    ).lower()


def _is_pair(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)


def _names(items: Sequence[Any]) -> list[str]:
    found = []
    for item in items:
        if _is_pair(item):
            found.append(item[0])
        elif isinstance(item, Node) and item.name:
            found.append(item.name)
        elif isinstance(item, (list, tuple)):
            found += _names(item)
    return found
