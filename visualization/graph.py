"""How a network is wired: as text for a terminal, and in the DOT language for Graphviz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortex.network.references import parse

if TYPE_CHECKING:
    from cortex import Network


def network_text(network: Network) -> str:
    """Return one line per node, in the order of computation: rails, name, layer, shape of the output.

    A rail is a value on its way to the nodes that read it: `o` is where a node takes its inputs and
    gives its output, `|` are values that pass by.
    """
    readers = _readers(network)
    open_values: list[str | None] = []
    lines: list[tuple[str, str, str, str]] = []
    left = {name: len(read) for name, read in readers.items()}
    for name in network.shapes.order:
        for parent in _parents(network, name):
            left[parent] -= 1
        own = next(
            (
                i
                for i, v in enumerate(open_values)
                if v in _parents(network, name) and not left[v or ""]
            ),
            None,
        )
        if own is None:
            own = next((i for i, v in enumerate(open_values) if v is None), len(open_values))
            open_values += [None] * (own == len(open_values))
        ended = [
            i
            for i, v in enumerate(open_values)
            if v and v in _parents(network, name) and not left[v]
        ]
        marks = [" " if v is None else "|" for v in open_values]
        for i in ended:
            marks[i] = "/"
            open_values[i] = None
        marks[own] = "o"
        open_values[own] = name if left[name] else None
        while open_values and open_values[-1] is None:
            open_values.pop()
        shapes = ", ".join(_shape(s) for s in network.shapes.outputs[name])
        lines.append((" ".join(marks), name, str(network[name].layer), shapes))
    widths = [max(len(line[k]) for line in lines) for k in range(3)]
    return "\n".join(
        "  ".join(
            [*(f"{word:<{width}}" for word, width in zip(line[:3], widths, strict=True)), line[3]]
        )
        for line in lines
    )


def network_dot(network: Network) -> str:
    """Return the graph in the DOT language: boxes are nodes, edges carry shapes.

    A dashed edge is a parameter shared by, or computed for, the node it leads to. Draw it with
    Graphviz: `dot -Tsvg network.dot`.
    """
    lines = [
        "digraph network {",
        '  node [shape=box, style="rounded,filled", fillcolor="#eef3f9", color="#3b6ea5", fontname="Helvetica"];',
        '  edge [color="#6b7480", fontname="Helvetica", fontsize=10];',
    ]
    ends = {reference.partition(":")[0] for reference in network.outputs}
    for name in network.shapes.order:
        label = f"{name}\n{network[name].layer}"
        end = ', penwidth=2, color="#d9622b"' if name in ends else ""
        lines.append(f"  {_quoted(name)} [label={_quoted(label)}{end}];")
    for name in network.shapes.order:
        node = network[name]
        for argument in node.parents or ():
            source = _node_of(argument)
            if source is not None:
                shape = _shape(
                    network.specs.get(str(argument)) or network.shapes.outputs[source][0]
                )
                lines.append(f"  {_quoted(source)} -> {_quoted(name)} [label={_quoted(shape)}];")
        for parameter, argument in node.bindings.items():
            source = _node_of(argument)
            if source is not None:
                lines.append(
                    f"  {_quoted(source)} -> {_quoted(name)} [style=dashed, label={_quoted(parameter)}];"
                )
    return "\n".join([*lines, "}"])


def _parents(network: Network, name: str) -> list[str]:
    """Return the nodes that a node reads, each once, parameters bound to nodes included."""
    node = network[name]
    found = [_node_of(a) for a in (*(node.parents or ()), *node.bindings.values())]
    return list(dict.fromkeys(n for n in found if n is not None))


def _readers(network: Network) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in network.shapes.order}
    for name in network.shapes.order:
        for parent in _parents(network, name):
            found[parent].append(name)
    return found


def _node_of(argument: Any) -> str | None:
    """Return the node that an argument names: "conv1", "split1:0" and "conv1.weights" name one."""
    return parse(argument).node if isinstance(argument, str) else None


def _shape(spec: Any) -> str:
    return "[" + ", ".join(map(str, spec.shape)) + "]"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
