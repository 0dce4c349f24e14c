"""Initialisers: how a parameter is filled before training.

Each is a frozen dataclass, called with a NumPy generator and a shape.

With F_in and F_out the numbers of inputs and outputs of one unit (see `fans`):

| initialiser | variance | source |
|---|---|---|
| `Xavier` | 1 / F_in | the original's default |
| `LeCun` | 1 / F_in | LeCun et al. 1998, Efficient BackProp, section 4.6 |
| `Glorot` | 2 / (F_in + F_out) | Glorot and Bengio 2010, equation 16 |
| `He` | 2 / ((1 + slope^2) F_in) | He et al. 2015, equation 15 |
| `Orthogonal` | orthonormal rows (or columns) times a gain | Saxe, McClelland and Ganguli 2014 |
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from cortex.compute.errors import ShapeError
from cortex.compute.spec import Shape
from cortex.description import Registry
from cortex.protocols import Initialiser
from cortex.rules import FLAG, NONE, NOT_NEGATIVE, NUMBER, Rule, check, either, one_of

_registry = Registry("initialiser")
TYPES, register = _registry.types, _registry.register
to_data, from_data = _registry.to_data, _registry.from_data

Distribution = Literal["normal", "uniform"]
INITIALISER = either(
    NONE,
    Rule(
        "an initialiser such as He()",
        lambda v: callable(v) and hasattr(v, "__dataclass_fields__") and not isinstance(v, type),
    ),
)


def fans(shape: Shape, who: str = "initialiser") -> tuple[int, int]:
    """Return (fan-in, fan-out) of weights [O, I], or of kernels [O, C/groups, *K].

    Raises:
        ShapeError: the shape has fewer than two axes.
    """
    if len(shape) < 2:
        raise ShapeError(
            f"{who}: expected weights [outputs, inputs, ...], given shape {shape}; "
            "use Constant, Normal or Uniform for a parameter that is no matrix"
        )
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


@dataclass(frozen=True)
class _Scaled:
    """Independent numbers of mean 0 and a variance that follows from the fans.

    With `standardise_rows`, the numbers of each unit are shifted and scaled to have exactly mean 0
    and the requested variance (as the original did).
    """

    distribution: Distribution = "normal"
    standardise_rows: bool = False

    def __post_init__(self) -> None:
        check(self, distribution=one_of("normal", "uniform"), standardise_rows=FLAG)

    def variance(self, fan_in: int, fan_out: int) -> float:
        """Return the variance of one weight."""
        raise NotImplementedError

    def __call__(self, generator: np.random.Generator, shape: Shape) -> np.ndarray:
        """Return float64 numbers of `shape`.

        Raises:
            ShapeError: the shape is that of no matrix, or rows of one number cannot be
            standardised.
        """
        name = type(self).__name__
        fan_in, fan_out = fans(shape, name)
        sd = math.sqrt(self.variance(max(1, fan_in), max(1, fan_out)))
        if self.distribution == "normal":
            numbers = generator.normal(0.0, sd, shape)
        else:
            numbers = generator.uniform(-math.sqrt(3) * sd, math.sqrt(3) * sd, shape)
        if not self.standardise_rows:
            return numbers
        if fan_in < 2:
            raise ShapeError(
                f"{name}: rows of {fan_in} number cannot be standardised, given {shape}"
            )
        rows = numbers.reshape(shape[0], fan_in)
        rows = rows - rows.mean(1, keepdims=True)
        scaled: np.ndarray = rows * (sd / rows.std(1, keepdims=True))
        return scaled.reshape(shape)


@register
@dataclass(frozen=True)
class Xavier(_Scaled):
    """Variance 1 / fan-in: what the original called xavier, and its default."""

    def variance(self, fan_in: int, fan_out: int) -> float:
        """Return 1 / fan-in."""
        return 1 / fan_in


@register
@dataclass(frozen=True)
class LeCun(_Scaled):
    """Variance 1 / fan-in. LeCun et al. 1998, section 4.6; the one that selu asks for."""

    def variance(self, fan_in: int, fan_out: int) -> float:
        """Return 1 / fan-in."""
        return 1 / fan_in


@register
@dataclass(frozen=True)
class Glorot(_Scaled):
    """Variance 2 / (fan-in + fan-out). Glorot and Bengio 2010, equation 16 (there uniform)."""

    def variance(self, fan_in: int, fan_out: int) -> float:
        """Return 2 / (fan-in + fan-out)."""
        return 2 / (fan_in + fan_out)


@register
@dataclass(frozen=True)
class He(_Scaled):
    """Variance 2 / ((1 + slope^2) fan-in), the slope that of a leaky relu. He et al. 2015."""

    slope: float = 0.0

    def __post_init__(self) -> None:
        check(self, distribution=one_of("normal", "uniform"), standardise_rows=FLAG, slope=NUMBER)

    def variance(self, fan_in: int, fan_out: int) -> float:
        """Return 2 / ((1 + slope^2) fan-in)."""
        return 2 / ((1 + self.slope**2) * fan_in)


@register
@dataclass(frozen=True)
class Orthogonal:
    """Weights whose rows (columns where there are more rows) are orthonormal, times `gain`.

    Kernels [O, C, *K] count as a matrix [O, C K]. The matrix is uniformly distributed: the signs
    of the QR factors are fixed. Saxe, McClelland and Ganguli 2014.
    """

    gain: float = math.sqrt(2)

    def __post_init__(self) -> None:
        check(self, gain=NUMBER)

    def __call__(self, generator: np.random.Generator, shape: Shape) -> np.ndarray:
        """Return float64 numbers of `shape`; raise `ShapeError` for a shape that is no matrix."""
        fan_in, _ = fans(shape, "Orthogonal")
        tall = generator.normal(size=(max(shape[0], fan_in), min(shape[0], fan_in)))
        q, r = np.linalg.qr(tall)
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        matrix = q if shape[0] >= fan_in else q.T
        return np.ascontiguousarray(self.gain * matrix).reshape(shape)


@register
@dataclass(frozen=True)
class Normal:
    """Normal numbers of mean `mean` and standard deviation `sd`."""

    sd: float
    mean: float = 0.0

    def __post_init__(self) -> None:
        check(self, sd=NOT_NEGATIVE, mean=NUMBER)

    def __call__(self, generator: np.random.Generator, shape: Shape) -> np.ndarray:
        """Return float64 numbers of `shape`."""
        return generator.normal(self.mean, self.sd, shape)


@register
@dataclass(frozen=True)
class Uniform:
    """Uniform numbers in [low, high)."""

    low: float
    high: float

    def __post_init__(self) -> None:
        check(self, low=NUMBER, high=NUMBER)
        check(self, high=Rule(f"a number >= low = {self.low}", lambda v: v >= self.low))

    def __call__(self, generator: np.random.Generator, shape: Shape) -> np.ndarray:
        """Return float64 numbers of `shape`."""
        return generator.uniform(self.low, self.high, shape)


@register
@dataclass(frozen=True)
class Constant:
    """One number everywhere."""

    value: float

    def __post_init__(self) -> None:
        check(self, value=NUMBER)

    def __call__(self, generator: np.random.Generator, shape: Shape) -> np.ndarray:
        """Return float64 numbers of `shape`."""
        return np.full(shape, self.value, np.float64)


@register
@dataclass(frozen=True)
class Zeros:
    """Zeros."""

    def __call__(self, generator: np.random.Generator, shape: Shape) -> np.ndarray:
        """Return float64 zeros of `shape`."""
        return np.zeros(shape)


@register
@dataclass(frozen=True)
class Ones:
    """Ones."""

    def __call__(self, generator: np.random.Generator, shape: Shape) -> np.ndarray:
        """Return float64 ones of `shape`."""
        return np.ones(shape)


@register
@dataclass(frozen=True)
class Identity:
    """`gain` times the identity [O, I]; kernels [O, I, *K] read their centre cell.

    For recurrent matrices (Le, Jaitly and Hinton 2015) and for layers that begin as the identity.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        check(self, gain=NUMBER)

    def __call__(self, generator: np.random.Generator, shape: Shape) -> np.ndarray:
        """Return float64 numbers of `shape`; raise `ShapeError` for a shape that is no matrix."""
        fans(shape, "Identity")
        numbers = np.zeros(shape)
        centre: tuple[Any, ...] = (..., *((k - 1) // 2 for k in shape[2:]))
        numbers[centre] = self.gain * np.eye(shape[0], shape[1])
        return numbers


@register
@dataclass(frozen=True)
class Transposed:
    """`inner` for kernels [I, O/groups, *K] of a transposed convolution: axis 0 is fan-in."""

    inner: Initialiser
    groups: int = 1

    def __call__(self, generator: np.random.Generator, shape: Shape) -> np.ndarray:
        """Return float64 numbers of `shape`."""
        g, (inputs, outputs, *window) = self.groups, shape
        numbers = self.inner(generator, (outputs * g, inputs // g, *window))
        grouped = numbers.reshape(g, outputs, inputs // g, *window)
        return np.ascontiguousarray(grouped.swapaxes(1, 2)).reshape(shape)


@register
@dataclass(frozen=True)
class Automatic(Xavier):
    """A choice left to the network: `He` before what rectifies, else `Xavier` (see `resolve`)."""


def choose(after: Iterable[Any] = ()) -> Initialiser:
    """Return the initialiser for weights with the layers `after` behind them, nearest first.

    The first of them that says whether it rectifies (an activation, or a layer with weights of its
    own) decides; pooling, normalisation, dropout and the like are passed over.
    """
    for layer in after:
        rectifies = getattr(layer, "rectifies", None)
        if rectifies is not None:
            return He() if rectifies else Xavier()
    return Xavier()


def resolve(initialiser: Initialiser, after: Iterable[Any] = ()) -> Initialiser:
    """Return `initialiser` with an `Automatic` in it replaced by the choice for `after`."""
    if isinstance(initialiser, Automatic):
        return choose(after)
    if isinstance(initialiser, Transposed):
        return replace(initialiser, inner=resolve(initialiser.inner, after))
    return initialiser
