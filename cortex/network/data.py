"""A network as dicts and lists that survive JSON, and back.

```
{"format": "cortex network", "version": 1, "seed": 0, "dtype": "float32",
 "nodes": [{"name": "image", "layer": {"type": "Input", "shape": [1, 28, 28]}},
           {"name": "linear1", "layer": {"type": "Linear", "units": 10}, "parents": ["image"],
            "bindings": {"bias": {"constant": 0.0}}, "attributes": {"l2": 0.001},
            "parameters": {"weights": {"frozen": true}}}]}
```

`outputs` lists the outputs where they were named. What people write may be shorter: an entry of `nodes` may be a layer
alone, `{"type": "Relu"}`; `name` and `parents` may be left out, as in a list of layers; entries may be nested lists.
To change the format, raise `VERSION` and add the function that makes the new form from the old one to `UPGRADES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cortex import initialisers, layers
from cortex.compute.errors import DescriptionError, near
from cortex.compute.spec import Spec
from cortex.protocols import Parameter

from .assemble import Assembly
from .forward import Unknown
from .node import NAMES, Argument, Attributes, Column, Constant, Frozen, Node

if TYPE_CHECKING:
    from .network import Network

FORMAT, VERSION = "cortex network", 1
UPGRADES: dict[
    int, Callable[[dict[str, Any]], dict[str, Any]]
] = {}  # version -> data of the version after it
KEYS = ("format", "version", "seed", "dtype", "nodes", "outputs")
NODE_KEYS = ("name", "layer", "parents", "bindings", "attributes", "parameters")


class Broken:
    """Stands for a layer that could not be read, so that the rest of a description is checked all the same."""

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """Say that nothing is known."""
        raise Unknown

    def forward(self, *_: Any, **__: Any) -> Any:
        """Say that nothing is known."""
        raise Unknown


def to_data(network: Network) -> dict[str, Any]:
    """Return the description of a network, without weights, as dicts, lists, words and numbers.

    Raises:
        DescriptionError: layers that cannot be described (a function without a registered name), all at once.
    """
    problems: list[str] = []
    data: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "seed": network.seed,
        "dtype": network.dtype,
    }
    data["nodes"] = [_node_data(n, problems) for n in network.nodes]
    if network.given_outputs is not None:
        data["outputs"] = list(network.given_outputs)
    if problems:
        raise DescriptionError("to_data", problems)
    return data


def _node_data(n: Node, problems: list[str]) -> dict[str, Any]:
    data: dict[str, Any] = {"name": n.name}
    try:
        data["layer"] = layers.to_data(n.layer)
    except DescriptionError as error:
        problems += [f"{n.name}: {p}" for p in error.problems]
    if n.parents or not isinstance(n.layer, layers.Input):
        data["parents"] = [_argument_data(a) for a in n.parents or ()]
    if n.bindings:
        data["bindings"] = {p: _argument_data(a) for p, a in n.bindings.items()}
    if n.attributes != Attributes():
        data["attributes"] = _attributes_data(n.attributes)
    if n.parameter_attributes:
        data["parameters"] = {p: _attributes_data(a) for p, a in n.parameter_attributes.items()}
    return data


def _argument_data(a: Argument) -> Any:
    if isinstance(a, str):
        return a
    return {"column": a.name} if isinstance(a, Column) else {"constant": _lists(a.value)}


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, tuple) else value


def _attributes_data(attributes: Attributes) -> dict[str, Any]:
    said = {n: getattr(attributes, n) for n in NAMES if getattr(attributes, n) is not None}
    if "initialiser" in said:
        said["initialiser"] = initialisers.to_data(said["initialiser"])
    return said


def from_data(cls: type[Network], data: Mapping[str, Any]) -> Network:
    """Return the network that `to_data` described, equal to the original; data of older versions are upgraded.

    Raises:
        DescriptionError: everything that is wrong with the description, with the names of the nodes.
    """
    problems: list[str] = []
    data = _upgraded(data)
    problems += [f"no field is named {k!r}{near(str(k), KEYS)}" for k in data if k not in KEYS]
    entries = data.get("nodes", [])
    if not isinstance(entries, (list, tuple)):
        problems.append(f"nodes: expected a list, given {entries!r}")
        entries = []
    items = [_item(entry, f"node {number}", problems) for number, entry in enumerate(entries, 1)]
    assembly = Assembly(problems=problems)
    assembly.add(items, ())
    nodes = assembly.finish()
    outputs = data.get("outputs")
    return cls.make(
        nodes,
        None if outputs is None else assembly.stand_for(outputs),
        data.get("seed", 0),
        data.get("dtype", "float32"),
        problems=assembly.problems,
    )


def _upgraded(data: Any) -> dict[str, Any]:
    if not isinstance(data, Mapping) or data.get("format", FORMAT) != FORMAT:
        given = data.get("format") if isinstance(data, Mapping) else type(data).__name__
        raise DescriptionError(
            "Network", [f"expected an object whose 'format' is {FORMAT!r}, given {given!r}"]
        )
    new = dict(data)
    version = new.get("version", VERSION)
    while version in UPGRADES:
        new = UPGRADES[version](new)
        version = new.get("version", VERSION)
    if version != VERSION:
        problem = (
            f"version: this cortex reads versions up to {VERSION}, given {version!r}; update cortex"
        )
        raise DescriptionError("Network", [problem])
    return new


def _item(entry: Any, place: str, problems: list[str]) -> Any:
    if isinstance(entry, (list, tuple)):
        return [_item(e, f"{place}.{number}", problems) for number, e in enumerate(entry, 1)]
    if not isinstance(entry, Mapping):
        problems.append(
            f"{place}: expected an object with a 'layer', or a layer with a 'type', given {entry!r}"
        )
        return Broken()
    if "type" in entry:
        return _layer(entry, place, problems)
    name = entry.get("name", "")
    if not isinstance(name, str):
        problems.append(f"{place}: name: expected a word, given {name!r}")
        name = ""
    who = name or place
    problems += [
        f"{who}: no field is named {k!r}{near(str(k), NODE_KEYS)}"
        for k in entry
        if k not in NODE_KEYS
    ]
    parents = entry.get("parents", () if name and _is_input(entry) else None)
    if isinstance(parents, str):
        parents = [parents]
    bindings = _object(entry, "bindings", who, problems)
    each = _object(entry, "parameters", who, problems)
    return Node(
        name,
        _layer(entry.get("layer"), who, problems),
        None
        if parents is None
        else tuple(_argument(a, f"{who}: parents", problems) for a in parents),
        Frozen({p: _argument(a, f"{who}: bindings.{p}", problems) for p, a in bindings.items()}),
        _attributes(_object(entry, "attributes", who, problems), f"{who}: attributes", problems),
        Frozen({p: _attributes(a, f"{who}: parameters.{p}", problems) for p, a in each.items()}),
    )


def _is_input(entry: Mapping[str, Any]) -> bool:
    layer = entry.get("layer")
    return isinstance(layer, Mapping) and layer.get("type") == "Input"


def _layer(data: Any, who: str, problems: list[str]) -> Any:
    try:
        return layers.from_data(data)
    except DescriptionError as error:
        problems += [f"{who}: {p}" for p in error.problems]
        return Broken()


def _object(entry: Mapping[str, Any], key: str, who: str, problems: list[str]) -> Mapping[str, Any]:
    found = entry.get(key, {})
    if isinstance(found, Mapping):
        return found
    problems.append(f"{who}: {key}: expected an object, given {found!r}")
    return {}


def _argument(data: Any, where: str, problems: list[str]) -> Argument:
    if isinstance(data, str):
        return data
    if isinstance(data, Mapping) and set(data) == {"column"} and isinstance(data["column"], str):
        return Column(data["column"])
    try:
        if isinstance(data, Mapping) and set(data) == {"constant"}:
            return Constant(data["constant"])
    except (DescriptionError, ValueError):
        pass  # not numbers, or lists of unequal length
    problems.append(
        f'{where}: expected a reference such as "conv1", "split1:0" or "conv1.weights", {{"constant": numbers}} or '
        f'{{"column": name}}, given {data!r}'
    )
    return Constant(0)


def _attributes(data: Any, where: str, problems: list[str]) -> Attributes:
    if not isinstance(data, Mapping):
        problems.append(f"{where}: expected an object, given {data!r}")
        return Attributes()
    problems += [
        f"{where}: no attribute is named {k!r}{near(str(k), NAMES)}" for k in data if k not in NAMES
    ]
    said = {k: v for k, v in data.items() if k in NAMES}
    if "initialiser" in said:
        try:
            said["initialiser"] = initialisers.from_data(said["initialiser"])
        except DescriptionError as error:
            problems += [f"{where}: {p}" for p in error.problems]
            del said["initialiser"]
    return Attributes(**said)
