"""What layers share: the registry of types, rules for fields, tracing for shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from cortex.build import Build
from cortex.compute.errors import ShapeError
from cortex.compute.program import Program, Value
from cortex.compute.spec import Spec, common_float
from cortex.description import Registry, short
from cortex.initialisers import Automatic
from cortex.protocols import Initialiser, Layer, Parameter
from cortex.rules import Rule, is_integer

_registry = Registry("layer")
TYPES, register = _registry.types, _registry.register
to_data, from_data = _registry.to_data, _registry.from_data


class Base:
    """A layer of one input and no parameters, unless it says otherwise; `str` is short.

    `rectifies` guides the initialiser of the weights before it: True asks for He's rule, False for
    Xavier's, None leaves the decision to the layers behind.
    """

    several: ClassVar[bool] = False  # whether the layer takes more than one input
    rectifies: ClassVar[bool | None] = None

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """Return no parameters; raise `ShapeError` for a wrong number of inputs."""
        if not self.several:
            self.one(inputs)
        elif not inputs:
            raise ShapeError(f"{type(self).__name__}: expected at least 1 input, given none")
        return {}

    def one(self, inputs: Sequence[Spec], least: int = 1, axes: str = "") -> Spec:
        """Return the only input.

        Raises:
            ShapeError: there is not exactly one, or it has fewer than `least` axes; `axes` names
            them.
        """
        name = type(self).__name__
        if len(inputs) != 1:
            listed = ", ".join(map(str, inputs)) or "none"
            raise ShapeError(f"{name}: expected 1 input, given {len(inputs)} ({listed})")
        if inputs[0].rank < least:
            raise ShapeError(f"{name}: expected an input [{axes}], given {inputs[0]}")
        return inputs[0]

    def __str__(self) -> str:
        return short(self)


def automatic(initialiser: Initialiser | None) -> Initialiser:
    """Return the initialiser of a layer's field, where None leaves the choice to the network."""
    return Automatic() if initialiser is None else initialiser


def output_specs(
    layer: Layer, inputs: Sequence[Spec], parameters: Mapping[str, Parameter] | None = None
) -> tuple[Spec, ...]:
    """Return the specs of a layer's outputs, by tracing its inference into a program of its own.

    Raises:
        ShapeError: the inputs do not fit the layer.
    """
    needed = layer.parameters(*inputs) if parameters is None else parameters
    build = Build(Program(), dtype=common_float(*inputs))
    values = [build.program.input(f"in {i}", s.shape, s.dtype) for i, s in enumerate(inputs)]
    named = {n: build.program.input(n, p.shape, build.dtype) for n, p in needed.items()}
    return tuple(v.spec for v in outputs_of(layer.forward(build, *values, **named)))


def outputs_of(result: Value | tuple[Value, ...]) -> tuple[Value, ...]:
    """Return what `forward` returned as a tuple."""
    return result if isinstance(result, tuple) else (result,)


def type_name(layer: Any) -> str:
    """Return the class of a layer in small letters: `Convolution1D` gives convolution_1d."""
    return re.sub(r"(?<=[a-z])(?=[A-Z0-9])", "_", type(layer).__name__).lower()


def numbered(layers: Sequence[Any]) -> tuple[str, ...]:
    """Return a name for each layer: its type and its number among those of that type, as `relu2`."""
    count: dict[str, int] = {}
    names = []
    for word in map(type_name, layers):
        count[word] = count.get(word, 0) + 1
        names.append(f"{word}{count[word]}")
    return tuple(names)


LAYER = Rule(
    "a layer such as Linear(10)",
    lambda v: not isinstance(v, type) and hasattr(v, "parameters") and hasattr(v, "forward"),
)
OPTIONAL_LAYER = Rule(f"{LAYER.expected}, or None", lambda v: v is None or LAYER.holds(v))
AXIS = Rule("an integer other than 0, the batch axis", lambda v: is_integer(v) and v != 0)
FUNCTION = Rule(
    "a function, or the name under which one is registered",
    lambda v: callable(v) and not isinstance(v, type),
)


def per_axis(rank: int, least: int = 1) -> Rule:
    """Return the rule of an extent: one integer for all spatial axes, or one for each."""
    each = f" or {rank} of them in a tuple" if rank > 1 else ""
    return Rule(
        f"an integer >= {least}{each}",
        lambda v: (
            is_integer(v, least)
            or (isinstance(v, tuple) and len(v) == rank and all(is_integer(n, least) for n in v))
        ),
    )


def padding_rule(rank: int) -> Rule:
    """Return the rule of a padding: 'same', an integer, or an entry or pair per axis."""

    def is_entry(v: Any) -> bool:
        pair = isinstance(v, tuple) and len(v) == 2 and all(is_integer(n, 0) for n in v)
        return pair or is_integer(v, 0)

    return Rule(
        f"'same', an integer >= 0, or a tuple of {rank}, each an integer or a pair (low, high)",
        lambda v: (
            v == "same"
            or is_integer(v, 0)
            or (isinstance(v, tuple) and len(v) == rank and all(map(is_entry, v)))
        ),
        ("same",),
    )
