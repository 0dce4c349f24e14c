"""A place of a descent: parameters, and the value and gradient there, computed when asked for."""

from __future__ import annotations

from typing import Any

from cortex.optimise.functions import Function, Vector


class Counted:
    """A function that counts how often its value and its gradient are computed."""

    __slots__ = ("function", "values", "gradients")

    def __init__(self, function: Function, values: int = 0, gradients: int = 0) -> None:
        self.function, self.values, self.gradients = function, values, gradients

    def value(self, params: Vector) -> float:
        """Return the value."""
        self.values += 1
        return self.function.value(params)

    def gradient(self, params: Vector) -> Vector:
        """Return the gradient."""
        self.gradients += 1
        return self.function.gradient(params)

    def total(self) -> int:
        """Return how many values and gradients have been computed."""
        return self.values + self.gradients


class Point:
    """Parameters [n], with their value and gradient computed once, at the first reading."""

    __slots__ = ("function", "params", "_value", "_gradient")

    def __init__(self, function: Counted, params: Vector) -> None:
        self.function, self.params = function, params
        self._value: Any = None
        self._gradient: Any = None

    def value(self) -> float:
        """Return the value at the parameters."""
        if self._value is None:
            self._value = float(self.function.value(self.params))
        return self._value

    def gradient(self) -> Vector:
        """Return the gradient at the parameters."""
        if self._gradient is None:
            self._gradient = self.function.gradient(self.params)
        return self._gradient

    def at(self, params: Vector) -> Point:
        """Return another place of the same function."""
        return Point(self.function, params)
