"""`Random`: counter-based random numbers, the same on every backend and after a resume."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ..errors import ShapeError, near
from ..program import Cotangents, Op, Program, Value, Values
from ..spec import FLOATS, Shape, Spec

KINDS = ("uniform", "normal")


@dataclass(frozen=True)
class Random(Op):
    """Philox4x32-10 numbers: key = seed, counter = (block of 4 elements: 2 words, step, `number` of the op).

    Inputs: seed (uint64, 0-d) and step (int64, 0-d). `uniform` in [0, 1); `normal` has mean 0 and variance 1.
    `first`, a multiple of 4, is the number of its first element: a process that has a part of a batch draws the part.
    See `cortex.compute.philox` for the mapping from words to numbers.
    """

    kind: Literal["uniform", "normal"]
    shape: Shape
    number: int
    dtype: str = "float32"
    first: int = 0

    def infer(self, seed: Spec, step: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """The given shape and dtype."""
        if self.kind not in KINDS:
            raise ShapeError(f"Random: unknown kind {self.kind!r}{near(self.kind, KINDS)}")
        if seed != Spec((), "uint64") or step != Spec((), "int64") or self.dtype not in FLOATS:
            raise ShapeError(
                f"Random: expected a seed uint64[] and a step int64[] and a float dtype, given {seed}, {step}"
            )
        if self.first < 0 or self.first % 4:
            raise ShapeError(f"Random: first must be a multiple of 4 from 0 on, given {self.first}")
        return (Spec(self.shape, self.dtype),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Independent of its inputs."""
        return None, None


SEED, STEP = "random.seed", "random.step"


def random(
    build: Program,
    kind: Literal["uniform", "normal"],
    shape: Shape,
    dtype: str = "float32",
    first: int = 0,
) -> Value:
    """Record the next random op of a program; the program gets the state `random.seed` and `random.step`.

    Each run advances the step, so each run sees other numbers. `first` is the number of the first element.
    """
    return drawn(
        build, Random(kind, tuple(shape), build.next_random(), dtype), first, *random_state(build)
    )


def drawn(build: Program, op: Random, first: int, seed: Value, step: Value) -> Value:
    """Record the numbers of `op` from element `first` on, whatever multiple it is of."""
    from .movement import Reshape, Slice

    skip = first % 4
    if not skip:
        return build.apply(replace(op, first=first), seed, step)
    size = skip + Spec(op.shape, op.dtype).size
    flat = build.apply(replace(op, shape=(size,), first=first - skip), seed, step)
    return build.apply(Reshape(op.shape), build.apply(Slice((skip,), (size,)), flat))


def random_state(build: Program) -> tuple[Value, Value]:
    """Return the seed and step of a program, declared at the first call with the update that advances the step."""
    if SEED not in build.state:
        build.persistent(SEED, (), "uint64")
        step = build.persistent(STEP, (), "int64")
        build.update(STEP, build.map(lambda s: s + 1, step))
    return build.state[SEED], build.state[STEP]
