"""Dropout: random multiplicative noise that keeps the mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .. import math as m
from ..errors import ShapeError, near
from ..program import Cotangents, Op, Program, Value, Values
from ..spec import Spec, common_float
from .checks import need_float, need_probability
from .random import Random, drawn

DISTRIBUTIONS = ("bernoulli", "gaussian")


@dataclass(frozen=True)
class Dropout(Op):
    """y = x times noise of mean 1; `probability` p is that of *dropping*.

    `bernoulli`: 0 with probability p, else 1 / (1 - p); `gaussian`: N(1, p / (1 - p)), which has
    the same variance (Srivastava et al. 2014, section 10). Inputs: x, seed, step; the noise is that
    of random op `number` of a program (`Program.next_random`, `ops.random.random_state`), so it is
    the same on every backend and in the gradient. `first` is the number of the first element of x
    in the whole batch, of which x may be a part.
    """

    probability: float
    number: int
    distribution: Literal["bernoulli", "gaussian"] = "bernoulli"
    first: int = 0

    def infer(self, x: Spec, seed: Spec, step: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """The spec of x stays."""
        need_float("Dropout", x)
        need_probability("Dropout", "probability (of dropping)", self.probability)
        if self.distribution not in DISTRIBUTIONS:
            raise ShapeError(
                f"Dropout: unknown distribution {self.distribution!r}"
                f"{near(self.distribution, DISTRIBUTIONS)}"
            )
        Random("uniform", x.shape, self.number).infer(seed, step)
        return (x,)

    def decompose(  # type: ignore[override]
        self, build: Program, x: Value, seed: Value, step: Value
    ) -> tuple[Value, ...]:
        """Random numbers, then one map."""
        p = self.probability
        if self.distribution == "bernoulli":
            uniform = self._drawn(build, "uniform", x, seed, step)
            kept = 1 / (1 - p)
            return (build.map(lambda x, u: m.where(u < p, 0, x * kept), x, uniform, dtype=x.dtype),)
        normal, spread = self._drawn(build, "normal", x, seed, step), math.sqrt(p / (1 - p))
        return (build.map(lambda x, n: x * (1 + spread * n), x, normal, dtype=x.dtype),)

    def _drawn(
        self, build: Program, kind: Literal["uniform", "normal"], x: Value, seed: Value, step: Value
    ) -> Value:
        noise = Random(kind, x.shape, self.number, common_float(x.spec))
        return drawn(build, noise, self.first, seed, step)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Linear and diagonal: the same dropout of the cotangent."""
        c = cotangents[0]
        return (None if c is None else build.apply(self, c, *inputs[1:])), None, None
