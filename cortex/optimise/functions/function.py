"""What a function is to a study: a value and a gradient of a float64 vector; and the ways to make one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np

from cortex.compute.errors import DescriptionError, near
from cortex.protocols import Function, Vector

Seed = tuple[int, ...]  # what `numpy.random.default_rng` takes: the study's seed, then the step


@dataclass(frozen=True)
class Pair:
    """A function made of two callables."""

    value: Callable[[Vector], float]
    gradient: Callable[[Vector], Vector]
    name: str = field(default="function", compare=False)

    def __repr__(self) -> str:
        return f"Pair({self.name})"


@dataclass(frozen=True)
class Stochastic:
    """A function that is drawn anew for every step: `make(seed)` returns the function of that step.

    `steps` calls `at((study's seed, step))`, so that the value and the gradient of a step belong to
    the same draw and a resumed study draws what the uninterrupted one would have drawn. By itself
    it is the draw of seed (0,).
    """

    make: Callable[[Seed], Function]
    name: str = field(default="function", compare=False)

    def at(self, seed: Seed) -> Function:
        """Return the function that this seed draws."""
        return self.make(seed)

    def value(self, params: Vector) -> float:
        """Return the value of the draw of seed (0,)."""
        return self.at((0,)).value(params)

    def gradient(self, params: Vector) -> Vector:
        """Return the gradient of the draw of seed (0,)."""
        return self.at((0,)).gradient(params)

    def __repr__(self) -> str:
        return f"Stochastic({self.name})"


def function(value: Any, gradient: Callable[[Vector], Any] | None = None, name: str = "") -> Any:
    """Return a `Function`, from any of the forms in which one can be written down.

    | given | the function |
    |---|---|
    | two callables, a pair of them, or a mapping with `value` and `gradient` | these |
    | one callable of NumPy operations or `cortex.compute.math` | its gradient is derived, see `derived` |
    | an object with `value` and `gradient` | that object itself |

    Raises:
        DescriptionError: it is none of these; names what is missing.
    """
    if gradient is None:
        if isinstance(value, Mapping):
            missing = [
                f"the entry {k!r} is missing{near(k, map(str, value))}"
                for k in ("value", "gradient")
                if k not in value
            ]
            if missing:
                raise DescriptionError("function", missing)
            value, gradient = value["value"], value["gradient"]
        elif isinstance(value, (tuple, list)) and len(value) == 2:
            value, gradient = value
        elif isinstance(value, type):
            problem = f"expected an object, given the class {value.__name__}; call it first"
            raise DescriptionError("function", [problem])
        elif callable(getattr(value, "value", None)) and callable(getattr(value, "gradient", None)):
            return value
        elif callable(value):
            from .derived import Derived

            return Derived(value, name or _name(value))
    problems = [
        f"{what}: expected a function of a vector, given {thing!r}"
        for what, thing in (("value", value), ("gradient", gradient))
        if not callable(thing)
    ]
    if problems:
        raise DescriptionError("function", problems)
    return Pair(value, cast(Any, gradient), name or _name(value))


def stochastic(
    value: Callable[[Vector, Seed], Any],
    gradient: Callable[[Vector, Seed], Any] | None = None,
    name: str = "",
) -> Stochastic:
    """Return a function that takes a seed per step: callables of (params, seed).

    Without a gradient it is derived from the value, anew for each seed.
    """

    def make(seed: Seed) -> Any:
        slope = None if gradient is None else partial(_with, gradient, seed)
        return function(partial(_with, value, seed), slope, name or _name(value))

    return Stochastic(make, name or _name(value))


def minibatches(
    value: Callable[..., Any],
    *columns: Any,
    size: int,
    gradient: Callable[..., Any] | None = None,
    name: str = "",
) -> Stochastic:
    """Return the function of a random part of the rows of `columns`, another part for each seed.

    `value(params, *parts)`, and `gradient` where given, see `size` rows of each column, drawn
    without putting back.

    Raises:
        DescriptionError: the columns have different lengths, or fewer rows than `size`.
    """
    arrays = [np.asarray(c) for c in columns]
    lengths = sorted({len(a) for a in arrays})
    if len(lengths) != 1 or not 1 <= size <= lengths[0]:
        problem = f"expected columns of one length and 1 <= size <= length, given lengths {lengths}, size {size}"
        raise DescriptionError("minibatches", [problem])

    def make(seed: Seed) -> Any:
        rows = np.random.default_rng(seed).choice(lengths[0], size, replace=False)
        parts = [a[rows] for a in arrays]
        slope = None if gradient is None else partial(_with, gradient, *parts)
        return function(partial(_with, value, *parts), slope, name or _name(value))

    return Stochastic(make, name or _name(value))


def _with(call: Callable[..., Any], *more: Any) -> Any:
    """Call with the parameters, which `partial` puts last, first."""
    return call(more[-1], *more[:-1])


def _name(thing: Any) -> str:
    return str(getattr(thing, "__name__", type(thing).__name__))
