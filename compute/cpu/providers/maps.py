"""Elementwise steps: loops compiled with the engine, tapes for its interpreter, or what Numba compiles."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec

from ...errors import BackendError, near
from ...expression import cost
from ...ops import Map
from ...plan.geometry import Layout, collapse
from ...program import Step
from .. import precompiled, tape
from ..instruction import Instruction, Kind
from ..lowering import Lowering
from ..maps import Form, compiled, integers, units_and_grain
from ..native import native
from ..stretches import stretches, viewed

# A compiled loop saves Numba's 0.3 to 1 s only where it is worth it. An interpreted operation takes about 1 ns per 16
# floats longer than a compiled one, so that 32,768 elements lose less than 10 microseconds; and where there are
# exponentials and the like, a tape has vectors of them and is 3 to 10 times faster than Numba, which calls the C
# library for each number. Rows of a few elements, a mean's gradient spread over its image, it packs into blocks: on
# [4, 128, 1, 1, 16] to [4, 128, 32, 32, 16] it takes .5 ns an element and Numba's loops 1.
SMALL = 1 << 15
SHORT_ROW = 64  # elements
TRANSCENDENTAL = frozenset(
    ("pow", "exp", "expm1", "log", "log1p", "tanh", "logistic", "sin", "cos", "erf")
)


@dataclass(frozen=True)
class Loop:
    """An elementwise step, and what every way to run it asks about."""

    low: Lowering
    step: Step
    op: Map

    @cached_property
    def layout(self) -> Layout:
        """The collapsed iteration space of outputs and inputs."""
        return collapse(
            self.step.outputs[0].shape, [v.shape for v in (*self.step.outputs, *self.step.inputs)]
        )

    @cached_property
    def compute(self) -> str:
        """The dtype in which a map computes (see `Map`)."""
        return self.op.computes_in(self.inputs)

    @cached_property
    def same(self) -> list[list[int]]:
        """For each output, the inputs that lie at the same place."""
        storage = self.low.storage
        return [
            [i for i, v in enumerate(self.step.inputs) if storage.same(v, o)]
            for o in self.step.outputs
        ]

    @property
    def is_short(self) -> bool:
        """Whether its rows are too short for a loop of their own."""
        return not self.layout.flat and self.layout.shape[-1] < SHORT_ROW

    @property
    def inputs(self) -> list[str]:
        """The dtypes of the inputs."""
        return [v.dtype for v in self.step.inputs]

    @property
    def outputs(self) -> list[str]:
        """The dtypes of the outputs."""
        return [v.dtype for v in self.step.outputs]

    def call(self, kind: Kind, target: str | int, provider: str) -> Instruction:
        """Return the call of a kernel or of an address over all elements, without numbers yet."""
        low, step = self.low, self.step
        units, grain = units_and_grain(self.layout, max(cost(e) for e in self.op.expressions))
        outputs, inputs = low.operands(step.outputs), low.operands(step.inputs)
        shared = stretches(units, viewed(low.program, step)) if self.layout.flat else ()
        return Instruction(
            kind,
            target,
            outputs,
            inputs,
            units=units,
            grain=grain,
            stretches=shared,
            provider=provider,
        )


def with_precompiled(loop: Loop) -> Instruction | None:
    """Return the call of a loop that was compiled with the engine, where there is one of this form."""
    layout, count = loop.layout, len(loop.outputs)
    is_real = loop.compute != "int64" and all(d == loop.compute for d in loop.outputs)
    if loop.is_short or not is_real or len(layout.shape) > precompiled.MAX_RANK:
        return None
    kinds = layout.classes[count:]
    dtypes = ["real" if d == loop.compute else d for d in loop.inputs]
    found = precompiled.pattern(loop.op.expressions, list(zip(dtypes, kinds, strict=True)))
    name = found.kernel(loop.compute)
    if name not in precompiled.kernels():
        return None
    order = (*range(count), *(count + i for i in found.order))
    numbers = precompiled.integers(layout, [*loop.outputs, *loop.inputs], order)
    return replace(
        loop.call("native", name, "native"), order=order, integers=numbers, reals=found.constants
    )


def with_tape(loop: Loop) -> Instruction | None:
    """Return the call of the interpreter, where it has all operations."""
    if native() is None:
        return None
    made = tape.encode(
        loop.op.expressions, loop.inputs, loop.outputs, loop.compute, loop.layout, loop.same
    )
    if made is None:
        return None
    called = loop.call("native", made.kernel, "native tape")
    return replace(called, integers=made.integers, reals=made.reals, scratch=made.scratch)


def with_numba(loop: Loop) -> Instruction | None:
    """Return the call of the loop that Numba compiles, where Numba is installed."""
    if find_spec("numba") is None:
        return None
    specs = [v.spec for v in loop.step.inputs]
    written_over = tuple(
        next((i for i in same if specs[i] == o.spec), -1)
        for same, o in zip(loop.same, loop.step.outputs, strict=True)
    )
    form = Form(
        loop.op.expressions, tuple(loop.inputs), tuple(loop.outputs), loop.compute, loop.layout.classes,
        len(loop.layout.shape), written_over,
    )  # fmt: skip
    function = compiled(form)
    called = loop.call("function", function.address, "numba")
    return replace(called, integers=integers(loop.layout), keep=function)


WAYS: dict[str, Callable[[Loop], Instruction | None]] = {
    "precompiled": with_precompiled,
    "tape": with_tape,
    "numba": with_numba,
}


def map_(low: Lowering, step: Step) -> list[Instruction] | None:
    """Return the call of the fastest loop there is for the step's expressions.

    Raises:
        BackendError: the variable CORTEX_MAPS, which limits the choice, names none of the ways.
    """
    if not isinstance(step.op, Map) or any(v.spec.size == 0 for v in step.outputs):
        return None
    loop = Loop(low, step, step.op)
    for way in _preferred(loop):
        made = WAYS[way](loop)
        if made is not None:
            return [made]
    return None


def _preferred(loop: Loop) -> tuple[str, ...]:
    """Return the ways to try, in this order; where all decline, NumPy evaluates the expressions.

    Without the native engine a small map is left to NumPy: a few microseconds a run against Numba's half a second.
    """
    asked = os.environ.get("CORTEX_MAPS")
    if asked:
        if asked not in WAYS:
            known = ", ".join(WAYS)
            raise BackendError(
                f"CORTEX_MAPS is {asked!r}, expected one of {known}{near(asked, WAYS)}"
            )
        return (asked,)
    small = loop.step.outputs[0].spec.size < SMALL
    if native() is None:
        return () if small else ("numba",)
    parts = tape.parts(loop.op.expressions)
    if small or loop.is_short or any(e.op in TRANSCENDENTAL for e in parts):
        return ("precompiled", "tape", "numba")
    return ("precompiled", "numba", "tape")
