"""The graph of a network: references that lead nowhere, cycles, and an order in which everything is known in time.

The parameters of a node need its data; its output needs its parameters, and the nodes whose outputs are bound to
them. So a network may read its own weights: that the output of `a` comes from a node which reads `a.weights` is no
cycle, because the shape of the weights is known before the output of `a` is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from cortex.compute.errors import near

from .node import Argument, Column, Node
from .references import name_problem, parse

Task = tuple[Literal["parameters", "output"], str]


def structure_problems(nodes: Sequence[Node], outputs: Sequence[str]) -> list[str]:
    """Return what is wrong with names, references and bindings, in words."""
    problems = []
    seen: set[str] = set()
    for n in nodes:
        for part in n.name.split("/") if isinstance(n.name, str) else [n.name]:
            wrong = name_problem(part)
            problems += [wrong] if wrong else []
        if n.name in seen:
            problems.append(f"{n.name!r}: two nodes have this name; names are unique")
        seen.add(n.name)
        problems += [f"{n.name}: {p}" for p in n.attributes.problems()]
        for parameter, attributes in n.parameter_attributes.items():
            problems += [f"{n.name}.{parameter}: {p}" for p in attributes.problems()]
        for a in n.parents or ():
            if isinstance(a, Column):
                problems.append(
                    f"{n.name}: data from the column {a.name!r}; declare an Input and name it as a parent"
                )
    known = {n.name: n for n in nodes}
    for n in nodes:
        for a in arguments(n):
            if isinstance(a, str) and parse(a).node not in known:
                problems.append(
                    f"{n.name}: it reads {a!r}, but no node has that name{near(parse(a).node, known)}"
                )
        for parameter in n.bindings:
            path = _path(known, f"{n.name}.{parameter}")
            if path[-1] in path[:-1]:
                problems.append(
                    f"{n.name}.{parameter}: shared in a circle: {' -> '.join(map(str, path))}"
                )
    for name in outputs:
        if parse(name).node not in known or parse(name).parameter:
            problems.append(f"outputs: no node {name!r}{near(name, known)}")
    return problems


def source(nodes: Mapping[str, Node], name: str, parameter: str) -> Argument:
    """Return where the numbers of a parameter come from, sharing followed to its end.

    That is `node.parameter` where they are that node's own, else an output, a constant or a column.
    """
    return _path(nodes, f"{name}.{parameter}")[-1]


def _path(nodes: Mapping[str, Node], reference: str) -> list[Argument]:
    """Return the arguments through which a parameter is shared; one that comes twice ends a circle."""
    path: list[Argument] = [reference]
    while True:
        at = parse(reference)
        owner = nodes.get(at.node)
        bound = owner.bindings.get(at.parameter or "") if owner else None
        if bound is None:
            return path
        path.append(bound)
        if not isinstance(bound, str) or not parse(bound).parameter or bound in path[:-1]:
            return path
        reference = bound


def ordered_tasks(nodes: Sequence[Node]) -> tuple[list[Task], list[str]]:
    """Return the tasks in an order that respects their needs, close to the order written, and the cycles in words."""
    known = {n.name: n for n in nodes}
    done: dict[Task, None] = {}
    problems: list[str] = []
    open_: dict[Task, None] = {}
    for n in nodes:
        stack: list[tuple[Task, Iterator[Task]]] = []

        def enter(task: Task, stack: list[tuple[Task, Iterator[Task]]] = stack) -> None:
            if task in done:
                return
            if task in open_:
                path = [t[1] for t in [*open_][[*open_].index(task) :]] + [task[1]]
                around = " -> ".join(p for i, p in enumerate(path) if i == 0 or p != path[i - 1])
                problems.append(
                    f"{task[1]}: the nodes form a cycle, each needing the one behind it: {around}"
                )
                return
            open_[task] = None
            stack.append((task, iter(_needs(known, task))))

        enter(("output", n.name))
        while stack:
            task, needs = stack[-1]
            following = next(needs, None)
            if following is not None:
                enter(following)
                continue
            stack.pop()
            del open_[task]
            done[task] = None
    return list(done), problems


def _needs(nodes: Mapping[str, Node], task: Task) -> list[Task]:
    kind, name = task
    n = nodes[name]
    needs: list[Task] = []
    if kind == "parameters":
        for a in n.parents or ():
            if isinstance(a, str):
                at = parse(a)
                needs.append(("parameters" if at.parameter else "output", at.node))
                if at.parameter:
                    needs += _source_needs(nodes, at.node, at.parameter)
    else:
        needs.append(("parameters", name))
        for parameter in n.bindings:
            needs += _source_needs(nodes, name, parameter)
    return [t for t in needs if t[1] in nodes]


def _source_needs(nodes: Mapping[str, Node], name: str, parameter: str) -> list[Task]:
    found = source(nodes, name, parameter)
    if not isinstance(found, str):
        return []
    at = parse(found)
    return [("parameters" if at.parameter else "output", at.node)]


def arguments(n: Node) -> list[Argument]:
    """Return everything that a node is bound to: its parents, then its parameters."""
    return [*(n.parents or ()), *n.bindings.values()]
