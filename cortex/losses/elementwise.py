"""Losses of each element on its own: the term of an example is the mean over its present elements.

Each loss is one function of an output element and its target, written with `cortex.compute.math`;
the gradient is derived. A missing element has a target NaN (or a negative label): it has no loss
and no gradient, and an example with none present has weight 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cortex.build import Build
from cortex.compute import math as m
from cortex.compute.errors import DescriptionError, ShapeError, near
from cortex.compute.ops.map import convert
from cortex.compute.ops.reduce import reshape_to
from cortex.compute.program import Value
from cortex.description import FUNCTIONS
from cortex.rules import POSITIVE, Rule, check

from .logits import logistic_input
from .reduction import WithoutParameters, sum_of_examples


def _is_number(t: Any) -> Any:
    return ~m.isnan(t)


def _is_label(t: Any) -> Any:
    return t >= 0  # false for NaN too


class _Elementwise(WithoutParameters):
    """What elementwise losses share; a subclass has `element`, the loss of one element."""

    element: Callable[[Any, Any], Any]
    present: Callable[[Any], Any] = staticmethod(_is_number)

    def terms(self, build: Build, output: Value, target: Value) -> tuple[Value, Value | None]:
        """Return the mean over the present elements of each example, and 1 where it has any, [N].

        Output [N, ...] and target have one shape, extents of 1 aside.

        Raises:
            ShapeError: the shapes differ.
        """
        t, present = aligned(type(self).__name__, build, output, target), self.present

        def element(o: Any, t: Any) -> Any:
            # A missing target counts as 1, where logarithms and quotients of targets are finite.
            there = present(t)
            return m.where(there, self.element(o, m.where(there, t, 1.0)), 0.0)

        total = sum_of_examples(build, build.map(element, output, t))
        count = sum_of_examples(build, build.map(lambda t: m.where(present(t), 1.0, 0.0), t))
        return total / m.maximum(count, 1.0), m.minimum(count, 1.0)


@dataclass(frozen=True)
class Elementwise(_Elementwise):
    """Your own loss: `element(output, target)` of one element, with `cortex.compute.math`.

    To store it as data, give the function a name with `cortex.description.register_function`; the
    name then stands for the function here too.
    """

    element: Callable[[Any, Any], Any]

    def __post_init__(self) -> None:
        if isinstance(self.element, str):
            if self.element not in FUNCTIONS:
                problem = f"no function is named {self.element!r}{near(self.element, FUNCTIONS)}"
                raise DescriptionError("Elementwise", [f"element: {problem}"])
            object.__setattr__(self, "element", FUNCTIONS[self.element])
        check(self, element=Rule("a function of an output and its target", callable))


@dataclass(frozen=True)
class MeanSquaredError(_Elementwise):
    """(o - t)^2."""

    def element(self, o: Any, t: Any) -> Any:
        """Return (o - t)^2."""
        return m.square(o - t)


@dataclass(frozen=True)
class MeanAbsoluteError(_Elementwise):
    """|o - t|; the gradient is 0 where they are equal."""

    def element(self, o: Any, t: Any) -> Any:
        """Return |o - t|."""
        return m.absolute(o - t)


@dataclass(frozen=True)
class Huber(_Elementwise):
    """(o - t)^2 / 2 up to a distance of `delta`, then delta (|o - t| - delta / 2). Huber 1964."""

    delta: float = 1.0

    def __post_init__(self) -> None:
        check(self, delta=POSITIVE)

    def element(self, o: Any, t: Any) -> Any:
        """Return the square near the target and the line far from it."""
        d = m.absolute(o - t)
        return m.where(d <= self.delta, 0.5 * (d * d), self.delta * (d - 0.5 * self.delta))


@dataclass(frozen=True)
class BinaryCrossEntropyWithLogits(_Elementwise):
    """-t log s(o) - (1 - t) log(1 - s(o)) of the logit o, with s the logistic function.

    Computed as w t softplus(-o) + (1 - t) softplus(o), which is finite for every finite logit; w is
    `positive_weight`, the weight of the class 1. Targets lie in [0, 1]; one below 0 is missing.
    """

    positive_weight: float = 1.0
    present = staticmethod(_is_label)

    def __post_init__(self) -> None:
        check(self, positive_weight=POSITIVE)

    def element(self, o: Any, t: Any) -> Any:
        """Return the cross-entropy of one logit."""
        return self.positive_weight * t * m.softplus(-o) + (1 - t) * m.softplus(o)


@dataclass(frozen=True)
class BinaryCrossEntropy(_Elementwise):
    """-t log o - (1 - t) log(1 - o) of the probability o.

    Where the output is a logistic function, the form on its logit is used, which loses no
    precision. Else probabilities and their complements count as at least `epsilon`. A target below
    0 is missing.
    """

    epsilon: float = 1e-12
    present = staticmethod(_is_label)

    def __post_init__(self) -> None:
        check(self, epsilon=POSITIVE)

    def terms(self, build: Build, output: Value, target: Value) -> tuple[Value, Value | None]:
        """Return the mean over the present elements of each example, and 1 where it has any, [N].

        Raises:
            ShapeError: the shapes differ.
        """
        logits = logistic_input(build, output)
        if logits is not None:
            return BinaryCrossEntropyWithLogits().terms(build, logits, target)
        return super().terms(build, output, target)

    def element(self, o: Any, t: Any) -> Any:
        """Return the cross-entropy of one probability."""
        yes, no = m.maximum(o, self.epsilon), m.maximum(1 - o, self.epsilon)
        return -(t * m.log(yes) + (1 - t) * m.log(no))


def aligned(what: str, build: Build, output: Value, target: Value) -> Value:
    """Return the target with the shape and dtype of the output.

    Raises:
        ShapeError: the shapes differ by more than extents of 1, or the output is not [N, ...]
            floats.
    """
    if not output.spec.is_float or output.spec.rank < 1:
        raise ShapeError(f"{what}: expected an output [N, ...] of floats, given {output.spec}")
    if _extents(output) != _extents(target) or output.shape[:1] != target.shape[:1]:
        raise ShapeError(
            f"{what}: output and target must have the same shape (extents of 1 aside), "
            f"given output {output.spec} and target {target.spec}"
        )
    return reshape_to(build.program, convert(build.program, target, output.dtype), output.shape)


def _extents(value: Value) -> list[int]:
    return [n for n in value.shape[1:] if n != 1]
