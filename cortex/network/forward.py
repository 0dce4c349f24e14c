"""The forward pass of a network recorded into a build: once to know the shapes, once per program that is compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cortex.build import Build
from cortex.compute.errors import ShapeError
from cortex.compute.ops.map import filled
from cortex.compute.ops.reduce import reshape_to
from cortex.compute.program import Value
from cortex.compute.spec import Shape
from cortex.layers.input import Input
from cortex.protocols import Parameter

from .graph import source
from .node import Argument, Column, Constant, Node
from .references import parse


class Unknown(Exception):
    """Something that a node reads is not known, because the node that should give it is wrong."""


@dataclass
class Forward:
    """Records nodes into `build`; `own` gives the value of a parameter by its full name, `node.parameter`.

    After `record`, `outputs[node]` are the values that the node gave, `used[node.parameter]` what it computed them
    with, and `columns` the inputs that parameters are bound to.
    """

    build: Build
    nodes: Mapping[str, Node]
    own: Callable[[str], Value]
    outputs: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    used: dict[str, Value] = field(default_factory=dict)
    columns: dict[str, Value] = field(default_factory=dict)

    def data(self, name: str) -> list[Value]:
        """Return the values of the data arguments of a node."""
        return [v for a in self.nodes[name].parents or () for v in self._data(a)]

    def _data(self, a: Argument) -> Sequence[Value]:
        if isinstance(a, Constant):
            return [self.build.constant(np.asarray(a.value)[None])]
        if isinstance(a, Column):
            raise ShapeError(
                f"data from the column {a.name!r}; declare an Input and name it as a parent"
            )
        at = parse(a)
        if at.parameter:
            value = self.parameter(at.node, at.parameter, None)
            return [reshape_to(self.build.program, value, (1, *value.shape))]
        if at.node not in self.outputs:
            raise Unknown(at.node)
        values = self.outputs[at.node]
        if at.output is None:
            return values
        if at.output >= len(values):
            raise ShapeError(
                f"{a!r}: {at.node} has {len(values)} output{'s' * (len(values) != 1)}, counted from 0"
            )
        return [values[at.output]]

    def parameter(self, name: str, parameter: str, shape: Shape | None) -> Value:
        """Return the value of a parameter of a node, which asks for `shape` (None: whatever it has).

        Raises:
            ShapeError: what it is bound to does not fit.
        """
        a = source(self.nodes, name, parameter)
        if isinstance(a, Constant):
            return self._constant(np.asarray(a.value, self.build.dtype), shape)
        if isinstance(a, Column):
            return self._column(a.name, shape)
        if parse(a).parameter:
            value = self.own(a)
            if shape is not None and value.shape != shape:
                raise ShapeError(f"parameter {parameter!r} asks for {shape}, {a} has {value.shape}")
            return value
        values = self._data(a)
        if len(values) != 1:
            raise ShapeError(
                f"parameter {parameter!r} is bound to {a}, which has {len(values)} outputs; write {a}:0"
            )
        value = values[0]
        if shape is None:
            return value
        size = int(np.prod(shape, dtype=np.int64))
        if value.shape[:1] != (1,) or value.spec.size != size or not value.spec.is_float:
            raise ShapeError(
                f"parameter {parameter!r} asks for {shape}; it is bound to the output {a} of {value.spec}, which must "
                f"be [1, ...] whatever the batch size and have {size} float elements"
            )
        return reshape_to(self.build.program, value, shape)

    def _constant(self, array: np.ndarray, shape: Shape | None) -> Value:
        if shape is None or array.shape == shape:
            return self.build.constant(array)
        if array.ndim:
            raise ShapeError(
                f"a constant of shape {array.shape} is bound to a parameter that asks for {shape}"
            )
        return filled(self.build.program, float(array), shape, self.build.dtype)

    def _column(self, name: str, shape: Shape | None) -> Value:
        if name not in self.columns:
            if shape is None:
                raise ShapeError(
                    f"the shape of column {name!r} is not known where it is read; read an Input instead"
                )
            self.columns[name] = self.build.program.input(name, shape, self.build.dtype)
        found = self.columns[name]
        if shape is not None and found.shape != shape:
            raise ShapeError(
                f"column {name!r} has shape {found.shape} for one parameter and is bound to {shape}"
            )
        return found

    def record(self, name: str, asked: Mapping[str, Parameter], batch: int) -> None:
        """Record one node for a batch; an input declares its column in the program."""
        layer, build = self.nodes[name].layer, self.build
        if isinstance(layer, Input):
            column = layer.column(batch, build.dtype)
            data = [build.program.input(name, column.shape, column.dtype)]
        else:
            data = self.data(name)
        parameters = {p: self.parameter(name, p, q.shape) for p, q in asked.items()}
        self.used |= {f"{name}.{p}": v for p, v in parameters.items()}
        result = layer.forward(build, *data, **parameters)
        self.outputs[name] = tuple(result) if isinstance(result, (tuple, list)) else (result,)
