"""A function whose gradient nobody writes: it is traced once per size and differentiated symbolically."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cortex.compute.autodiff import gradients
from cortex.compute.backend import Executable
from cortex.compute.cpu.native import native
from cortex.compute.errors import ShapeError
from cortex.compute.ops.reduce import reshape_to
from cortex.compute.program import Program
from cortex.compute.registry import get_backend
from cortex.protocols import Vector

from .tracing import Traced


@dataclass(frozen=True)
class Derived:
    """A function of a vector in NumPy or `cortex.compute.math`, and the gradient that follows from it.

    `expression` is called with float64 vectors [n] for values and, once for each n, with a stand-in
    that records what is done with it; the gradient is more ops in the same program. It may use
    arithmetic, comparisons, `where`, the elementwise functions of both modules, sums, means,
    products and extrema, matrix products and everything that only moves elements; it must not
    branch on its argument. `backend` runs the gradient; None: the CPU backend where its native engine
    is built (3 microseconds a gradient), else NumPy step by step (half a millisecond).
    """

    expression: Callable[[Any], Any]
    name: str = field(default="function", compare=False)
    backend: str | None = None
    _executables: dict[int, Executable] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def value(self, params: Vector) -> float:
        """Return the value at a vector [n].

        Raises:
            ShapeError: the function gives several numbers.
        """
        result = self.expression(params)
        if np.size(result) != 1:
            raise ShapeError(_several(self.name, np.shape(result)))
        return float(result)

    def gradient(self, params: Vector) -> Vector:
        """Return the gradient [n] at a vector [n].

        Raises:
            ShapeError: the function gives several numbers, or shapes in it do not fit.
            NotDifferentiable: it uses something through which no gradient can be derived.
        """
        count = len(params)
        if count not in self._executables:
            backend = self.backend or ("cpu" if native() else "numpy")
            self._executables[count] = get_backend(backend).compile(self.program(count))
        executable = self._executables[count]
        executable.write("params", np.asarray(params, np.float64))
        executable.run()
        return executable.read("gradient")

    def program(self, count: int) -> Program:
        """Return the program from `params` [count] to `value` and `gradient`."""
        program = Program()
        params = program.input("params", (count,), "float64")
        result = self.expression(Traced(params))
        if not isinstance(result, Traced):  # a constant function
            result = Traced(program.constant(np.asarray(result, np.float64)))
        if result.size != 1:
            raise ShapeError(_several(self.name, result.shape))
        value = reshape_to(program, result.value, ())
        program.output("gradient", gradients(program, value, [params])[0])
        program.output("value", value)
        return program

    def __repr__(self) -> str:
        return f"Derived({self.name})"


def derived(
    expression: Callable[[Any], Any], name: str = "", backend: str | None = None
) -> Derived:
    """Return the function of an expression, with its derived gradient; see `Derived`."""
    return Derived(expression, name or getattr(expression, "__name__", "function"), backend)


def _several(name: str, shape: tuple[int, ...]) -> str:
    return f"{name}: a function of a study gives one number, this one gives shape {shape}; sum it"
