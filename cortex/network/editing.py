"""Editing: functions of a network (they are its methods) that return another one and keep the weights of what stays.

A kept weight stays even where it was never drawn: appending an activation does not choose another initialiser for
the layer before. `with_seed` draws everything anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cortex.compute.errors import DescriptionError, near
from cortex.layers.input import Input

from .assemble import Assembly
from .graph import arguments
from .node import Argument, Attributes, Frozen, Node
from .node import node as make_node
from .references import parse, renamed

if TYPE_CHECKING:
    from .network import Network


def append(network: Network, *items: Any) -> Network:
    """Return the network with items added as a chain behind its outputs; the end of the chain is the new output.

    Raises:
        DescriptionError: the items do not fit.
    """
    assembly, end = _added(network, items, network.outputs)
    outputs = None if network.given_outputs is None else _names(end)
    return network.changed(
        assembly.finish(), outputs, {**assembly.carried, **network.sources}, assembly.problems
    )


def insert(
    network: Network, *items: Any, after: str | None = None, before: str | None = None
) -> Network:
    """Return the network with a chain of items put in `after` one node, or `before` one.

    Whoever read the output of `after` reads the end of the chain; `before` reads it in place of its parents.

    Raises:
        DescriptionError: not exactly one of `after` and `before` is given, there is no such node, or no fit.
    """
    if (after is None) == (before is None):
        raise DescriptionError("insert", ["expected either after= or before=, the name of a node"])
    there = _existing(network, "insert", [after or before or ""])[0]
    old = network[there]
    start: tuple[Argument, ...] = (there,) if after else old.parents or ()
    assembly, end = _added(network, items, start)
    new = assembly.finish()[len(network.nodes) :]
    moved = []
    for n in network.nodes:
        if before and n.name == there:
            n = dataclasses.replace(n, parents=end)
        elif after:
            n = _reading(n, {there: end})
        at = [n, *new] if after else [*new, n]
        moved += at if n.name == there else [n]
    outputs = network.given_outputs
    if outputs is not None and after:
        outputs = _names([a for o in outputs for a in (end if o == there else (o,))])
    return network.changed(
        moved, outputs, {**assembly.carried, **network.sources}, assembly.problems
    )


def remove(network: Network, *names: str) -> Network:
    """Return the network without nodes (or composites); who read a removed node reads its parents instead.

    Raises:
        DescriptionError: no such node, or another node uses a removed one's parameters or one of several outputs.
    """
    gone = set(_existing(network, "remove", names))
    instead = {name: network[name].parents or () for name in gone}
    stays = [_reading(n, instead) for n in network.nodes if n.name not in gone]
    problems = [
        f"{n.name} uses {a!r}, which would be removed; bind it to something else first"
        for n in stays
        for a in arguments(n)
        if isinstance(a, str) and parse(a).node in gone
    ]
    if problems:
        raise DescriptionError("remove", problems)
    outputs = network.given_outputs
    if outputs is not None:
        ends = [a for o in outputs for a in _followed(o, instead)]
        outputs = _names(dict.fromkeys(ends))
    return network.changed(stays, outputs)


def replace(network: Network, name: str, layer: Any) -> Network:
    """Return the network with another layer, or `node(...)`, in the place of a node; its weights are drawn anew.

    The name and, unless the new node names its own, the parents stay. A plain layer also takes over attributes and
    bindings.

    Raises:
        DescriptionError: no such node, or the layer does not fit.
    """
    (there,) = _existing(network, "replace", [name])[:1]
    old = network[there]
    if isinstance(layer, Node):
        new = dataclasses.replace(
            layer, name=there, parents=old.parents if layer.parents is None else layer.parents
        )
    else:
        new = dataclasses.replace(old, layer=layer)
    kept = {p: s for p, s in network.sources.items() if parse(p).node != there}
    return network.changed([new if n.name == there else n for n in network.nodes], kept=kept)


def rename(network: Network, names: Mapping[str, str] | None = None, **others: str) -> Network:
    """Return the network with nodes (or composites) renamed: `rename({"linear1": "head"})`, `rename(linear1="head")`.

    Raises:
        DescriptionError: no such node, or a name is taken or impossible.
    """
    wanted: dict[str, str] = {}
    for old, new in {**(names or {}), **others}.items():
        for name in _existing(network, "rename", [old]):
            wanted[name] = new + name[len(old) :]
    nodes = [
        dataclasses.replace(
            n,
            name=wanted.get(n.name, n.name),
            parents=tuple(renamed(a, wanted) for a in n.parents or ()),
            bindings=Frozen({p: renamed(a, wanted) for p, a in n.bindings.items()}),
        )
        for n in network.nodes
    ]
    outputs = network.given_outputs
    if outputs is not None:
        outputs = _names(renamed(o, wanted) for o in outputs)
    kept = {str(renamed(p, wanted)): s for p, s in network.sources.items()}
    return network.changed(nodes, outputs, kept)


def freeze(network: Network, *names: str, up_to: str | None = None) -> Network:
    """Return the network with nodes, composites or parameters ("conv1.weights") frozen: training leaves them alone.

    `up_to` freezes a node and everything that it depends on. No argument at all freezes everything.

    Raises:
        DescriptionError: no such node or parameter.
    """
    chosen = list(names)
    if up_to is not None:
        chosen += ancestors(network, _existing(network, "freeze", [up_to]))
    return _attributed(
        network,
        "freeze",
        chosen if names or up_to else [n.name for n in network.nodes],
        frozen=True,
    )


def unfreeze(network: Network, *names: str) -> Network:
    """Return the network with nodes, composites or parameters (all, where none is named) free to train.

    Raises:
        DescriptionError: no such node or parameter.
    """
    return _attributed(network, "unfreeze", names or [n.name for n in network.nodes], frozen=False)


def with_attributes(network: Network, name: str, **attributes: Any) -> Network:
    """Return the network with attributes of a node, composite or parameter changed; see `Attributes`.

    A new initialiser draws the parameters that it reaches anew.

    Raises:
        DescriptionError: no such node or parameter, no such attribute, or a value that makes no sense.
    """
    return _attributed(network, "with_attributes", [name], **attributes)


def with_outputs(network: Network, *names: str) -> Network:
    """Return the network with other outputs; none given means the nodes that no other reads.

    Raises:
        DescriptionError: no such node.
    """
    return type(network).make(
        network.nodes, names or None, network.seed, network.dtype, network.sources
    )


def resize_input(network: Network, *shape: Any, name: str | None = None) -> Network:
    """Return the network with another shape of an input; weights whose shape changes are drawn anew.

    Raises:
        DescriptionError: no such input, several inputs and no name, or layers that the shape does not fit.
    """
    inputs = [n.name for n in network.nodes if isinstance(n.layer, Input)]
    if name is None and len(inputs) != 1:
        raise DescriptionError(
            "resize_input", [f"the network has inputs {', '.join(inputs)}; say which by name="]
        )
    if name is not None and name not in inputs:
        raise DescriptionError("resize_input", [f"no input is named {name!r}{near(name, inputs)}"])
    extents = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    chosen = name or inputs[0]
    layer: Any = network[chosen].layer
    new = dataclasses.replace(network[chosen], layer=dataclasses.replace(layer, shape=extents))
    return network.changed([new if n.name == chosen else n for n in network.nodes])


def ancestors(network: Network, names: Iterable[str]) -> list[str]:
    """Return nodes and everything that they depend on, in the order of computation."""
    found: set[str] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack += [parse(a).node for a in arguments(network[name]) if isinstance(a, str)]
    return [name for name in network.shapes.order if name in found]


def _attributed(network: Network, what: str, names: Sequence[str], **attributes: Any) -> Network:
    checked = make_node(None, **attributes).attributes  # type: ignore[arg-type]
    nodes = dict(network.by_name)
    for name in names:
        at = parse(name)
        if at.parameter and name in network.shapes.owned:
            own = nodes[at.node].parameter_attributes
            changed = checked.over(own.get(at.parameter, Attributes()))
            each = Frozen({**own, at.parameter: changed})
            nodes[at.node] = dataclasses.replace(nodes[at.node], parameter_attributes=each)
            continue
        if at.parameter:
            raise DescriptionError(
                what, [f"no parameter is named {name!r}{near(name, network.shapes.owned)}"]
            )
        for full in _existing(network, what, [name]):
            n = nodes[full]
            each = Frozen(n.parameter_attributes)
            if "frozen" in attributes:  # what was said of single parameters before is taken back
                each = Frozen({p: dataclasses.replace(a, frozen=None) for p, a in each.items()})
            changed = checked.over(n.attributes)
            nodes[full] = dataclasses.replace(n, attributes=changed, parameter_attributes=each)
    kept = {
        p: s
        for p, s in network.sources.items()
        if "initialiser" not in attributes
        or _initialiser(nodes, p, s) == network.attributes(p).initialiser
    }
    return network.changed(list(nodes.values()), kept=kept)


def _initialiser(nodes: Mapping[str, Node], parameter: str, source: Any) -> Any:
    at = parse(parameter)
    return nodes[at.node].attributes_of(at.parameter or "", len(source.shape)).initialiser


def _added(
    network: Network, items: Sequence[Any], before: tuple[Argument, ...]
) -> tuple[Assembly, tuple[Argument, ...]]:
    names = {n.name for n in network.nodes}
    assembly = Assembly(list(network.nodes), taken=set(names), exact=set(names))
    end = assembly.add(items, before)
    return assembly, end


def _existing(network: Network, what: str, names: Iterable[str]) -> list[str]:
    """Return the nodes of these names, a composite standing for all its nodes."""
    found, problems = [], []
    for name in names:
        inside = (
            [name]
            if name in network
            else [n.name for n in network.nodes if n.name.startswith(f"{name}/")]
        )
        found += inside
        if not inside:
            problems.append(f"no node is named {name!r}{near(str(name), network.by_name)}")
    if problems:
        raise DescriptionError(what, problems)
    return found


def _reading(n: Node, instead: Mapping[str, Sequence[Argument]]) -> Node:
    """Return a node that reads other arguments in place of some nodes."""
    return dataclasses.replace(
        n, parents=tuple(a for p in n.parents or () for a in _followed(p, instead))
    )


def _followed(a: Argument, instead: Mapping[str, Sequence[Argument]]) -> list[Argument]:
    if not isinstance(a, str) or a not in instead:
        return [a]
    return [b for p in instead[a] for b in (_followed(p, instead) if p != a else [p])]


def _names(ends: Iterable[Argument]) -> tuple[str, ...]:
    return tuple(str(e) for e in ends)
