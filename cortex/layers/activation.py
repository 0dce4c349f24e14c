"""Activations as layers; their formulas and sources are in `cortex.activations`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from cortex import activations
from cortex.build import Build
from cortex.compute import math as m
from cortex.compute import ops
from cortex.compute.errors import DescriptionError, near
from cortex.compute.ops.reduce import reshape_to
from cortex.compute.program import Value
from cortex.compute.spec import Spec
from cortex.description import FUNCTIONS, function_of, named, register_function
from cortex.initialisers import Constant
from cortex.layers.base import AXIS, FUNCTION, Base, register
from cortex.protocols import Parameter
from cortex.rules import NUMBER, POSITIVE, check, one_of

for _name, _row in activations.ACTIVATIONS.items():
    register_function(_name, _row.function)


class Elementwise(Base):
    """A layer that applies one function to each number; any shape, which stays."""

    def function(self, x: Any) -> Any:
        """Return the function of numbers, arrays or symbols."""
        raise NotImplementedError

    def forward(self, build: Build, x: Value) -> Value:
        """Any shape; it stays."""
        return build.map(self.function, x)


@register
@dataclass(frozen=True)
class Relu(Elementwise):
    """max(x, 0)."""

    rectifies: ClassVar[bool | None] = True

    def function(self, x: Any) -> Any:
        """Return `activations.relu`."""
        return activations.relu(x)


@register
@dataclass(frozen=True)
class Selu(Elementwise):
    """1.0507 elu(x, 1.6733), which keeps mean 0 and variance 1."""

    rectifies: ClassVar[bool | None] = False

    def function(self, x: Any) -> Any:
        """Return `activations.selu`."""
        return activations.selu(x)


@register
@dataclass(frozen=True)
class Logistic(Elementwise):
    """1 / (1 + e^-x), also called sigmoid."""

    rectifies: ClassVar[bool | None] = False

    def function(self, x: Any) -> Any:
        """Return `activations.logistic`."""
        return activations.logistic(x)


@register
@dataclass(frozen=True)
class Tanh(Elementwise):
    """The hyperbolic tangent."""

    rectifies: ClassVar[bool | None] = False

    def function(self, x: Any) -> Any:
        """Return `activations.tanh`."""
        return activations.tanh(x)


@register
@dataclass(frozen=True)
class LeakyRelu(Elementwise):
    """x where x > 0, else `slope` x."""

    slope: float = 0.01
    rectifies: ClassVar[bool | None] = True

    def __post_init__(self) -> None:
        check(self, slope=NUMBER)

    def function(self, x: Any) -> Any:
        """Return `activations.leaky_relu`."""
        return activations.leaky_relu(x, self.slope)


@register
@dataclass(frozen=True)
class Elu(Elementwise):
    """x where x > 0, else `alpha` (e^x - 1)."""

    alpha: float = 1.0
    rectifies: ClassVar[bool | None] = True

    def __post_init__(self) -> None:
        check(self, alpha=NUMBER)

    def function(self, x: Any) -> Any:
        """Return `activations.elu`."""
        return activations.elu(x, self.alpha)


@register
@dataclass(frozen=True)
class Swish(Elementwise):
    """x / (1 + e^(-`beta` x)); with beta 1 also called silu."""

    beta: float = 1.0
    rectifies: ClassVar[bool | None] = True

    def __post_init__(self) -> None:
        check(self, beta=NUMBER)

    def function(self, x: Any) -> Any:
        """Return `activations.swish`."""
        return activations.swish(x, self.beta)


@register
@dataclass(frozen=True)
class Softplus(Elementwise):
    """log(1 + e^(`beta` x)) / `beta`."""

    beta: float = 1.0
    rectifies: ClassVar[bool | None] = False

    def __post_init__(self) -> None:
        check(self, beta=POSITIVE)

    def function(self, x: Any) -> Any:
        """Return `activations.softplus`."""
        return activations.softplus(x, self.beta)


@register
@dataclass(frozen=True)
class Gelu(Elementwise):
    """x Phi(x), exactly, or with form "tanh" by the usual approximation."""

    form: Literal["exact", "tanh"] = "exact"
    rectifies: ClassVar[bool | None] = True

    def __post_init__(self) -> None:
        check(self, form=one_of("exact", "tanh"))

    def function(self, x: Any) -> Any:
        """Return `activations.gelu` or `activations.gelu_tanh`."""
        return activations.gelu(x) if self.form == "exact" else activations.gelu_tanh(x)


@register
@dataclass(frozen=True)
class Activation(Elementwise):
    """Any function of one number: a name in `activations.ACTIVATIONS`, or your own Python function.

    Your own is written with operators and `cortex.compute.math`, and runs compiled like the
    built-in ones. To store a network that contains it, give it a name:
    `cortex.layers.register_function`.
    """

    activation: str | Callable[[Any], Any]

    def __post_init__(self) -> None:
        check_function(self, "activation")

    @property
    def rectifies(self) -> bool:  # type: ignore[override]
        """Whether the table says so; a function of your own does not."""
        row = activations.ACTIVATIONS.get(str(self.activation))
        return row is not None and row.rectifies

    def function(self, x: Any) -> Any:
        """Return the chosen function of x."""
        return function_of(self.activation)(x)


@register
@dataclass(frozen=True)
class Prelu(Base):
    """x where x > 0, else a x with a trained slope a, one per channel (axis 1) or per element.

    He et al. 2015, equation 1; the slopes begin at `initial`.
    """

    initial: float = 0.25
    per: Literal["channel", "element"] = "channel"
    rectifies: ClassVar[bool | None] = True

    def __post_init__(self) -> None:
        check(self, initial=NUMBER, per=one_of("channel", "element"))

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """Slope [C] or [*shape of an example]."""
        x = self.one(inputs, 2, "batch, channels, ...")
        shape = x.shape[1:2] if self.per == "channel" else x.shape[1:]
        return {"slope": Parameter(shape, Constant(self.initial))}

    def forward(self, build: Build, x: Value, *, slope: Value) -> Value:
        """Any shape; it stays."""
        ones = (1,) * (x.spec.rank - 1 - slope.spec.rank)
        column = reshape_to(build.program, slope, (*slope.shape, *ones))
        return build.map(lambda x, a: m.where(x > 0, x, a * x), x, column)


@register
@dataclass(frozen=True)
class Softmax(Base):
    """exp(x) / sum of exp(x) along `axis` (1: the classes, or the channels)."""

    axis: int = 1

    def __post_init__(self) -> None:
        check(self, axis=AXIS)

    def forward(self, build: Build, x: Value) -> Value:
        """Any shape; it stays."""
        return build.apply(ops.Softmax(self.axis), x)


@register
@dataclass(frozen=True)
class LogSoftmax(Base):
    """x - log of the sum of exp(x) along `axis` (1: the classes, or the channels of an image)."""

    axis: int = 1

    def __post_init__(self) -> None:
        check(self, axis=AXIS)

    def forward(self, build: Build, x: Value) -> Value:
        """Any shape; it stays."""
        return build.apply(ops.LogSoftmax(self.axis), x)


def check_function(layer: Base, *fields: str) -> None:
    """Put names in place of registered functions in the fields of a layer that hold a function.

    Raises:
        DescriptionError: a field holds no function, or a name that nobody registered; all are
        listed.
    """
    problems = []
    for field in fields:
        value = named(getattr(layer, field))
        object.__setattr__(layer, field, value)
        if isinstance(value, str) and value not in FUNCTIONS:
            problems.append(f"{field}: no function is named {value!r}{near(value, FUNCTIONS)}")
        elif not isinstance(value, str) and not FUNCTION.holds(value):
            problems.append(f"{field}: expected {FUNCTION.expected}, given {value!r}")
    if problems:
        raise DescriptionError(type(layer).__name__, problems)
