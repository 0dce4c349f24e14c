"""`Network`: an immutable graph of named layers, its parameters beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cortex.compute.errors import DescriptionError, near
from cortex.compute.spec import FLOATS, Spec
from cortex.layers.input import Input

from . import data as _data
from . import editing as _editing
from . import summary as _summary
from .assemble import Assembly
from .graph import arguments, structure_problems
from .node import Attributes, Node
from .references import parse
from .shapes import Shapes, infer
from .weights import Drawn, Source, checked, frozen, sources


class Network:
    """A neural network as a value: nodes, outputs, a seed and a dtype; see `node` for what a node may say.

    `items` is a list of layers, `("name", layer)` pairs, `node(...)`s, nested lists and networks. Each node's parent
    is the one before it, unless it names its parents. Names not given are the type and a number: linear1. A named
    list or network inside becomes nodes `name/...`, and `name` stands for its outputs. `outputs` are the leaves unless
    named. All shapes are known, and everything that is wrong is said at once, when the network is made.

    Networks compare by their description: the weights are beside it. Initial weights are drawn when first read, each
    from the seed and its parameter's own name.

    Raises:
        DescriptionError: lists every problem found, with the names of the nodes.
    """

    nodes: tuple[Node, ...]
    by_name: Mapping[str, Node]
    seed: int
    dtype: str
    shapes: Shapes
    sources: Mapping[str, Source]
    given_outputs: tuple[str, ...] | None
    _arrays: dict[str, np.ndarray]

    def __init__(
        self,
        items: Iterable[Any],
        *,
        outputs: str | Sequence[str] | None = None,
        seed: int = 0,
        dtype: str = "float32",
    ) -> None:
        assembly = Assembly()
        assembly.add(items if isinstance(items, (list, tuple)) else list(items), ())
        nodes = assembly.finish()
        chosen = None if outputs is None else assembly.stand_for(outputs)
        self._set(nodes, chosen, seed, dtype, assembly.carried, assembly.problems)
        misfits = [
            f"{name}: the network inside has weights of shape {s.shape}, here the shape is {self.sources[name].shape}; "
            "resize or replace that layer first"
            for name, s in assembly.carried.items()
            if s.shape != self.sources[name].shape
        ]
        if misfits:
            raise DescriptionError("Network", misfits)

    @classmethod
    def make(
        cls,
        nodes: Sequence[Node],
        outputs: Sequence[str] | None = None,
        seed: int = 0,
        dtype: str = "float32",
        kept: Mapping[str, Source] | None = None,
        problems: Sequence[str] = (),
    ) -> Network:
        """Return a network of complete nodes; parameters in `kept` whose shape is right come from there.

        Raises:
            DescriptionError: lists `problems` and every one found.
        """
        network = object.__new__(cls)
        network._set(
            tuple(nodes),
            None if outputs is None else tuple(outputs),
            seed,
            dtype,
            kept or {},
            problems,
        )
        return network

    def _set(
        self,
        nodes: tuple[Node, ...],
        outputs: tuple[str, ...] | None,
        seed: int,
        dtype: str,
        kept: Mapping[str, Source],
        known_problems: Sequence[str],
    ) -> None:
        problems = list(known_problems)
        if dtype not in FLOATS:
            problems.append(
                f"dtype: expected one of {', '.join(FLOATS)}, given {dtype!r}{near(str(dtype), FLOATS)}"
            )
            dtype = "float32"
        if (
            not isinstance(seed, (int, np.integer))
            or isinstance(seed, bool)
            or not 0 <= seed < 2**64
        ):
            problems.append(f"seed: expected an integer from 0 to 2^64 - 1, given {seed!r}")
        if not nodes and not problems:
            problems.append("a network has at least one node, an Input; given none")
        problems += structure_problems(nodes, outputs or ())
        shapes = infer(nodes, dtype, problems)
        if problems:
            raise DescriptionError("Network", list(dict.fromkeys(problems)))
        by_name = {n.name: n for n in nodes}
        fields = {
            "nodes": nodes, "given_outputs": outputs, "seed": int(seed), "dtype": dtype, "shapes": shapes,
            "sources": sources(by_name, shapes, int(seed), kept), "_arrays": {}, "by_name": by_name,
        }  # fmt: skip
        self.__dict__.update(fields)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"Network: a network does not change; editing returns a new one (given {name} = ...)"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        mine = (self.nodes, self.outputs, self.seed, self.dtype)
        return mine == (other.nodes, other.outputs, other.seed, other.dtype)

    def __repr__(self) -> str:
        size = f"{len(self.nodes)} nodes, {self.parameter_count:,} parameters"
        return f"Network({size}, outputs {', '.join(self.outputs)})"

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, name: str) -> Node:
        """Return a node by name.

        Raises:
            KeyError: there is none; the message suggests the nearest name.
        """
        found = self.by_name.get(name)
        if found is None:
            raise KeyError(f"no node is named {name!r}{near(name, self.by_name)}")
        return found

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    to_data = _data.to_data
    from_data = classmethod(_data.from_data)
    summary = _summary.summary
    __str__ = _summary.summary

    append = _editing.append
    insert = _editing.insert
    remove = _editing.remove
    replace = _editing.replace
    rename = _editing.rename
    freeze = _editing.freeze
    unfreeze = _editing.unfreeze
    with_attributes = _editing.with_attributes
    with_outputs = _editing.with_outputs
    resize_input = _editing.resize_input

    # what is known

    @property
    def inputs(self) -> dict[str, Spec]:
        """The columns that the inputs read, by name, each as the spec of one example."""
        columns = {
            n.name: n.layer.column(1, self.dtype) for n in self.nodes if isinstance(n.layer, Input)
        }
        return {name: Spec(spec.shape[1:], spec.dtype) for name, spec in columns.items()}

    @property
    def outputs(self) -> tuple[str, ...]:
        """References to the outputs: those named, or else the nodes that no other reads."""
        if self.given_outputs is not None:
            names: Sequence[str] = self.given_outputs
        else:
            read = {parse(a).node for n in self.nodes for a in arguments(n) if isinstance(a, str)}
            leaves = [n for n in self.nodes if n.name not in read]
            names = [n.name for n in leaves if not isinstance(n.layer, Input)] or [
                n.name for n in leaves
            ]
        return tuple(r for name in names for r in self._each(name))

    @property
    def specs(self) -> dict[str, Spec]:
        """The spec of every output of every node for one example, by reference, in the order of computation."""
        return {
            r: s
            for n in self.shapes.order
            for r, s in zip(self._each(n), self.shapes.outputs[n], strict=True)
        }

    def _each(self, name: str) -> list[str]:
        several = len(self.shapes.outputs.get(name, ())) > 1
        return [f"{name}:{i}" for i in range(len(self.shapes.outputs[name]))] if several else [name]

    @property
    def parameter_specs(self) -> dict[str, Spec]:
        """The spec of every parameter and statistic by name; a shared one stands once, under its owner."""
        return {name: Spec(p.shape, self.dtype) for name, p in self.shapes.owned.items()}

    @property
    def statistics(self) -> tuple[str, ...]:
        """Names of the parameters that no optimiser changes, such as running means."""
        return tuple(name for name, p in self.shapes.owned.items() if not p.trainable)

    @property
    def parameter_count(self) -> int:
        """How many numbers training can change or could, frozen ones included, statistics not."""
        return sum(Spec(p.shape).size for p in self.shapes.owned.values() if p.trainable)

    def attributes(self, parameter: str) -> Attributes:
        """Return what holds for a parameter: its own attributes over those of its node.

        Raises:
            KeyError: there is no such parameter.
        """
        if parameter not in self.shapes.owned:
            raise KeyError(
                f"no parameter is named {parameter!r}{near(parameter, self.shapes.owned)}"
            )
        at = parse(parameter)
        return self[at.node].attributes_of(
            at.parameter or "", len(self.shapes.owned[parameter].shape)
        )

    def is_frozen(self, name: str) -> bool:
        """Return whether a node is frozen: all its own trainable parameters are; without any, it was said."""
        trained = [
            self.attributes(full).frozen
            for p, q in self.shapes.asked[name].items()
            if q.trainable and (full := f"{name}.{p}") in self.shapes.owned
        ]
        return all(trained) if trained else bool(self[name].attributes.frozen)

    # weights

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """Every parameter and statistic by name, as read-only arrays in the dtype of the network."""
        return {name: self.array(name) for name in self.sources}

    def array(self, name: str) -> np.ndarray:
        """Return one parameter or statistic by name, read-only."""
        if name not in self._arrays:
            source = self.sources[name]
            self._arrays[name] = source.array(self.dtype) if isinstance(source, Drawn) else source
        return self._arrays[name]

    def with_parameters(self, parameters: Mapping[str, Any]) -> Network:
        """Return this network with the given arrays in place of the parameters of these names.

        Raises:
            DescriptionError: unknown names or wrong shapes, all at once.
        """
        arrays = checked(self.shapes, parameters, self.dtype)
        return self.changed(kept={**self.sources, **arrays})

    def with_seed(self, seed: int) -> Network:
        """Return this network with all parameters drawn anew from another seed."""
        return Network.make(self.nodes, self.given_outputs, seed, self.dtype)

    def with_dtype(self, dtype: str) -> Network:
        """Return this network in float32 or float64; its weights are converted."""
        kept = {
            n: s if isinstance(s, Drawn) else frozen(s.astype(dtype))
            for n, s in self.sources.items()
        }
        return Network.make(self.nodes, self.given_outputs, self.seed, dtype, kept)

    def changed(
        self,
        nodes: Sequence[Node] | None = None,
        outputs: Sequence[str] | None = None,
        kept: Mapping[str, Source] | None = None,
        problems: Sequence[str] = (),
    ) -> Network:
        """Return a network with what is given in place of this one's; see `make`."""
        return Network.make(
            self.nodes if nodes is None else nodes,
            self.given_outputs if outputs is None else outputs,
            self.seed,
            self.dtype,
            self.sources if kept is None else kept,
            problems,
        )
