"""`Random`: counter-based random numbers, the same on every backend and after a resume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import ShapeError, near
from ..program import Cotangents, Op, Program, Value, Values
from ..spec import FLOATS, Shape, Spec

KINDS = ("uniform", "normal")


@dataclass(frozen=True)
class Random(Op):
    """Philox4x32-10 numbers: key = seed, counter = (block of 4 elements: 2 words, step, `number` of the op).

    Inputs: seed (uint64, 0-d) and step (int64, 0-d). `uniform` in [0, 1); `normal` has mean 0 and variance 1.
    See `cortex.compute.philox` for the mapping from words to numbers.
    """

    kind: Literal["uniform", "normal"]
    shape: Shape
    number: int
    dtype: str = "float32"

    def infer(self, seed: Spec, step: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """The given shape and dtype."""
        if self.kind not in KINDS:
            raise ShapeError(f"Random: unknown kind {self.kind!r}{near(self.kind, KINDS)}")
        if seed != Spec((), "uint64") or step != Spec((), "int64") or self.dtype not in FLOATS:
            raise ShapeError(
                f"Random: expected a seed uint64[] and a step int64[] and a float dtype, given {seed}, {step}"
            )
        return (Spec(self.shape, self.dtype),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Independent of its inputs."""
        return None, None


SEED, STEP = "random.seed", "random.step"


def random(
    build: Program, kind: Literal["uniform", "normal"], shape: Shape, dtype: str = "float32"
) -> Value:
    """Record the next random op of a program; the program gets the state `random.seed` and `random.step`.

    Each run advances the step, so each run sees other numbers.
    """
    return build.apply(Random(kind, tuple(shape), build.next_random(), dtype), *random_state(build))


def random_state(build: Program) -> tuple[Value, Value]:
    """Return the seed and step of a program, declared at the first call with the update that advances the step."""
    if SEED not in build.state:
        build.persistent(SEED, (), "uint64")
        step = build.persistent(STEP, (), "int64")
        build.update(STEP, build.map(lambda s: s + 1, step))
    return build.state[SEED], build.state[STEP]
