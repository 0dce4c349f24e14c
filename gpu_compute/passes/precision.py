"""Mixed precision: which results are held in 16 bits between steps, and where values are converted.

Products and convolutions read 16 bits. Their results, and what maps, pooling, dropout, movement and batch normalisation
compute from them, are held in 16 bits where a step comes next that reads 16 bits or writes them. Everything else stays
float32: state, inputs, outputs, updates, statistics, sums and what is only summed, kernel gradients, and whatever an op
reads that has no row in the table below. Arithmetic is float32 everywhere; what lies in memory is rounded
(Micikevicius et al. 2018, section 3).

The pass comes last and changes dtypes alone. A conversion is a map, made once for all readers; most are none, as the
step that makes a value writes it as it is to be held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat

from cortex.compute.ops import (
    BatchNormalisation,
    BatchNormalisationGradient,
    Concatenate,
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
    Dropout,
    Map,
    MatMul,
    Pad,
    Pool,
    PoolGradient,
    Reduce,
    Reshape,
    Slice,
    Transpose,
)
from cortex.compute.ops.fused import Fused
from cortex.compute.ops.map import convert
from cortex.compute.program import Op, Program, Step, Value, begin_copy, finish_copy
from cortex.compute.spec import HALVES

from ..libraries.dnn import Operand
from .gates import GatedProduct, ProductWithMask
from .graph import DnnGraph
from .layout import ChannelsLast
from .sums import ProductWithSum

WIDE = "float32"


@dataclass(frozen=True)
class Rule:
    """How an op reads and writes values of float32; the last entry stands for all further ones.

    An operand is read in 16 bits (`half`), in float32 (`wide`), as it is held (`any`), or `like` the first result. A
    result is `half`, `wide`, `free` to be either, or `kept`: in 16 bits only if it is computed from such.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]

    def operands(self, step: Step) -> list[tuple[Value, str]]:
        """Return the operands of a step and how each is read."""
        return list(zip(step.inputs, chain(self.reads, repeat(self.reads[-1])), strict=False))

    def results(self, step: Step) -> list[tuple[Value, str]]:
        """Return the results of a step and how each is written."""
        return list(zip(step.outputs, chain(self.writes, repeat(self.writes[-1])), strict=False))


UNKNOWN = Rule(("wide",), ("wide",))
FOLLOWING = Rule(("like",), ("free",))
CONVOLVING = Rule(("half",), ("half",))
SUMMING = Rule(("half",), ("wide",))
RULES: dict[type[Op], Rule] = {
    Map: Rule(("any",), ("free",)),
    MatMul: Rule(("half", "half", "like"), ("free",)),  # the third is the bias of an epilogue
    Convolution: CONVOLVING,
    ConvolutionInputGradient: CONVOLVING,
    ConvolutionKernelGradient: SUMMING,
    ProductWithSum: SUMMING,
    Reduce: Rule(("any",), ("wide",)),
    BatchNormalisation: Rule(("like", "wide"), ("kept", "wide")),
    BatchNormalisationGradient: Rule(("like", "like", "wide"), ("kept", "wide")),
    **dict.fromkeys((Pool, PoolGradient, Dropout), FOLLOWING),
    **dict.fromkeys((Reshape, Transpose, Slice, Pad, Concatenate), FOLLOWING),
}


def rule_of(op: Op) -> Rule:
    """Return the rule of an op, or of the op that it wraps; extrema are no sums but follow their operand."""
    if isinstance(op, (Fused, ChannelsLast)):
        return rule_of(op.op)
    if isinstance(op, (ProductWithMask, GatedProduct)):
        return rule_of(op.product)
    if isinstance(op, DnnGraph):
        return Rule(_described(op.description.inputs), _described(op.description.outputs))
    if isinstance(op, Reduce) and op.kind in ("max", "min"):
        return FOLLOWING
    return RULES.get(type(op), UNKNOWN)


def _described(operands: Mapping[str, Operand]) -> tuple[str, ...]:
    return tuple("half" if o.dtype in HALVES else "wide" for o in operands.values())


def mixed_precision(program: Program, half: str) -> Program:
    """Return the program with results of float32 held in the 16-bit dtype `half` where the rules say so."""
    halves = _halves(program)
    new, place = begin_copy(program)
    casts: dict[tuple[Value, str], Value] = {}

    def held(value: Value, dtype: str) -> Value:
        found = place[value]
        if value.dtype != WIDE or found.dtype == dtype:
            return found
        if (value, dtype) not in casts:
            casts[value, dtype] = convert(new, found, dtype)
        return casts[value, dtype]

    for step in program.steps:
        new.label = step.label
        dtypes = [half if o in halves else o.dtype for o in step.outputs]
        read = {"half": half, "wide": WIDE, "like": dtypes[0]}
        operands = [
            place[v] if kind == "any" else held(v, read[kind])
            for v, kind in rule_of(step.op).operands(step)
        ]
        results = new.apply(_written(step.op, dtypes), *operands)
        place.update(zip(step.outputs, results if len(dtypes) > 1 else (results,), strict=True))
    for value in (*program.outputs.values(), *program.updates.values()):
        place[value] = held(value, WIDE)
    return finish_copy(program, new, place)


def _written(op: Op, dtypes: Sequence[str]) -> Op:
    """Return an op so that its results have these dtypes, where it does not follow from those of its operands."""
    if isinstance(op, Map):
        return replace(op, dtypes=tuple(dtypes))
    if isinstance(op, MatMul) and dtypes[0] == WIDE:
        return replace(op, dtype=WIDE)
    if isinstance(op, Fused):
        return replace(op, op=_written(op.op, dtypes))
    if isinstance(op, (ProductWithMask, GatedProduct)):
        return replace(op, product=_written(op.product, dtypes))  # type: ignore[arg-type]
    return op


def _halves(program: Program) -> set[Value]:
    """Return the values to hold in 16 bits, found from their last readers back to them."""
    derived, halves = _derived(program), set[Value]()
    asked: set[Value] = set()  # by a step that reads 16 bits, whatever the value is computed from
    useful: set[Value] = set()  # to a map that reads anything and writes 16 bits
    needed = {*program.outputs.values(), *program.updates.values()}  # in float32

    def is_half(value: Value, kind: str) -> bool:
        if value.dtype != WIDE or kind in ("half", "wide") or value in needed:
            return value.dtype == WIDE and kind == "half"
        if value in derived:
            return value in asked or value in useful
        return kind == "free" and value in asked

    for step in reversed(program.steps):
        rule, first = rule_of(step.op), step.outputs[0]
        halves.update(v for v, kind in rule.results(step) if is_half(v, kind))
        for value, kind in rule.operands(step):
            if kind == "half" or (kind == "like" and first in halves):
                asked.add(value)
            elif kind == "wide" or (kind == "like" and first in needed):
                needed.add(value)
            elif kind == "any" and not halves.isdisjoint(step.outputs):
                useful.add(value)
    return halves


def _derived(program: Program) -> set[Value]:
    """Return what products and convolutions compute, and what is computed from that and may have 16 bits."""
    found: set[Value] = set()
    for step in program.steps:
        rule = rule_of(step.op)
        if rule.reads[0] == "half" or any(
            v in found for v, kind in rule.operands(step) if kind != "wide"
        ):
            found.update(v for v, kind in rule.results(step) if kind != "wide")
    return found
