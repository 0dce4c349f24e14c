"""The protocols of cortex: what layers, losses, optimisers, initialisers and functions are; all plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from cortex.compute.spec import Shape, Spec

if TYPE_CHECKING:
    from cortex.build import Build
    from cortex.compute.program import Value


class Initialiser(Protocol):
    """A frozen dataclass that makes the first content of a parameter."""

    def __call__(self, generator: np.random.Generator, shape: Shape) -> np.ndarray:
        """Return float64 numbers of `shape` (fan-out first, then fan-in axes)."""
        ...


@dataclass(frozen=True)
class Parameter:
    """What a layer asks for: a shape, how to fill it, and who changes it.

    A parameter that is not `trainable` is a statistic: no optimiser touches it; the layer itself gives it a new
    value in training, by `build.update`.
    """

    shape: Shape
    initialiser: Initialiser
    trainable: bool = True


@runtime_checkable
class Layer(Protocol):
    """A frozen dataclass of plain data, registered under a type name (see `cortex.layers.register`)."""

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """Return the parameters that these inputs ask for; raise `ShapeError` where they do not fit."""
        ...

    def forward(self, build: Build, *inputs: Any, **parameters: Any) -> Value | tuple[Value, ...]:
        """Record the layer's ops on its inputs and parameters, all `Value`s.

        Axis 0 of every input and output is the batch. A layer names its own arguments: `forward(build, x, *, weights)`.
        """
        ...


class Loss(Protocol):
    """A frozen dataclass: how far an output is from a target, example by example."""

    def parameters(self, output: Spec, target: Spec) -> Mapping[str, Parameter]:
        """Return the parameters of the loss itself (centres of classes); most have none."""
        ...

    def terms(
        self, build: Build, output: Value, target: Value, *none: Any, **parameters: Any
    ) -> tuple[Value, Value | None]:
        """Return the loss of each example [N] and its weight [N] (None: all 1).

        A missing target (NaN, or a label below 0) has loss 0 and weight 0. The loss of a batch is
        sum(weight x sample weight x term) / sum(weight x sample weight), formed in one place for all losses.
        """
        ...


State = Mapping[str, Any]


class Optimiser(Protocol):
    """A frozen dataclass: one definition for studies of functions and for networks.

    `update` is ordinary mathematics over `cortex.compute.math`: called with arrays it computes, called with symbols it
    is compiled. State entries are vectors like the parameters, or scalars (0-d), such as `num_steps`.
    """

    def initialise(self, count: int) -> State:
        """Return the state before the first step for `count` parameters, in float64 (scalars 0-d)."""
        ...

    def update(self, state: State, parameters: Any, gradient: Any) -> tuple[Any, State]:
        """Return the parameters and the state after a step."""
        ...


Vector = np.ndarray[Any, np.dtype[np.float64]]


@runtime_checkable
class Function(Protocol):
    """A differentiable function of a vector; neither method changes its argument."""

    def value(self, params: Vector) -> float:
        """Return the value at a vector [n]."""
        ...

    def gradient(self, params: Vector) -> Vector:
        """Return the gradient [n] at a vector [n]."""
        ...
