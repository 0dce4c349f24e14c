"""Expressions as tapes: lists of scalar operations for the interpreter in csrc/kernels/tape.cpp.

A tape runs at once, where a compiler would take most of a second. It works on blocks of elements that stay in the L1
cache. Every intermediate result has a slot: a block, or a single number where it depends on scalars alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from ..expression import Expression
from ..plan.geometry import Layout

# Codes are positions; csrc/kernels/tape.cpp has the same order. An operation on the result of another one that nothing
# else reads is one operation with it, which saves a store and a load: mul_add(a, b, c) is a * b + c, mul_under is
# c - a * b.
ANY = (
    "copy", "add", "sub", "mul", "neg", "abs", "sign", "maximum", "minimum", "where", "gt", "ge", "lt", "le", "eq",
    "ne", "and", "or", "not", "isnan",
)  # fmt: skip
REAL = (
    "div", "pow", "exp", "expm1", "log", "log1p", "sqrt", "tanh", "logistic", "sin", "cos", "erf", "floor",
)  # fmt: skip
SECOND = ("add", "sub", "under", "mul", "maximum", "minimum")
PAIRS = tuple(f"{first}_{second}" for first in ("add", "sub", "mul") for second in SECOND)
OPERATIONS = (*ANY, *REAL, *PAIRS)

DTYPES = ("float32", "float64", "uint8", "bool", "int32", "int64", "uint64")
KERNELS = {"float32": "tape_f32", "float64": "tape_f64", "int64": "tape_i64"}
FULL, VECTOR, SCALAR = range(3)

# Bytes of a block. 512 floats are 32 vectors of 64 bytes, against which the few nanoseconds of a call are small, and a
# dozen blocks fit the 32 KiB of an L1 cache; 1 KiB and 4 KiB were within 5 %.
BLOCK_BYTES = 2048
VECTOR_BYTES = 64  # of the longest vector of any instruction set


@dataclass(frozen=True)
class Tape:
    """What a kernel call needs; see the head of csrc/kernels/tape.cpp."""

    kernel: str
    integers: tuple[int, ...]
    reals: tuple[float, ...]
    scratch: int


def encode(
    expressions: Sequence[Expression],
    inputs: Sequence[str],
    outputs: Sequence[str],
    compute: str,
    layout: Layout,
    same: Sequence[Collection[int]],
) -> Tape | None:
    """Return the tape of expressions over inputs and outputs of these dtypes, or None where it has no operation.

    `layout` is that of the outputs and the inputs, in this order; output k lies where the inputs `same[k]` do.
    """
    order = parts(expressions)
    if compute == "int64" and not all(_is_integer(e) for e in order):
        return None
    block = BLOCK_BYTES // (4 if compute == "float32" else 8)
    inner, extents = (1, ()) if layout.flat else (layout.shape[-1], layout.shape[:-1])
    packed = 1 if layout.flat else max(1, block // inner)
    strides = layout.strides[len(outputs) :]
    kinds = [_kind(layout.shape, s) for s in strides]
    scalar = [
        k == SCALAR and (packed == 1 or not any(s)) for k, s in zip(kinds, strides, strict=True)
    ]

    slots = _Slots({e: k for k, e in enumerate(e for e in order if e.op == "constant")})
    at = [slots.take(is_scalar) for is_scalar in scalar]
    slots.of.update({e: at[e.args[0]] for e in order if e.op == "symbol"})
    fixed = frozenset(i for i, is_scalar in enumerate(scalar) if is_scalar)
    constants = [e.args[0] for e in order if e.op == "constant"]
    steps = _steps(order, expressions, fixed, compute == "int64")
    direct = _direct(steps, expressions, [d == compute for d in outputs], same, fixed)
    prologue, body = slots.allocate(steps, expressions, fixed, direct)
    results = [slots.of[e] for e in expressions]
    if len(results) > 1:  # an output may lie on an input that another output still has to read
        for k, slot in enumerate(results):
            if slot in at and slot < 0:
                results[k] = slots.take()
                body.insert(0, (OPERATIONS.index("copy"), results[k], slot, slot, slot))

    integers = [
        block,
        slots.scalars,
        slots.blocks,
        len(outputs),
        len(inputs),
        len(constants),
        len(prologue),
        len(body),
    ]
    integers += [packed, inner, len(extents), *extents]
    for dtype, slot, kind, s in zip(inputs, at, kinds, strides, strict=True):
        integers += [DTYPES.index(dtype), slots.number(slot), kind, *s[: len(extents)]]
    for k, (dtype, slot) in enumerate(zip(outputs, results, strict=True)):
        integers += [DTYPES.index(dtype), slots.number(slot), int(k in direct)]
    for code, *operands in (*prologue, *body):
        integers += [code, *map(slots.number, operands)]
    if compute == "int64":
        integers += [int(c) for c in constants]
    return Tape(KERNELS[compute], tuple(integers), tuple(float(c) for c in constants), slots.bytes)


def _is_integer(e: Expression) -> bool:
    """Whether tape_i64 can compute it."""
    if e.op == "constant":
        return float(e.args[0]).is_integer()
    return e.op in ("symbol", "floor", *ANY)


def parts(expressions: Sequence[Expression]) -> list[Expression]:
    """Return all parts of the expressions, each once, arguments first."""
    found: dict[Expression, None] = {}

    def visit(e: Expression) -> None:
        if e not in found:
            if e.op not in ("symbol", "constant"):
                for argument in e.args:
                    visit(argument)
            found[e] = None

    for e in expressions:
        visit(e)
    return list(found)


def _kind(shape: Sequence[int], strides: Sequence[int]) -> int:
    """Return how an input moves; see the head of csrc/kernels/tape.cpp."""
    if strides[-1] == 0:
        return SCALAR
    step = 1
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if stride != step:
            return VECTOR
        step *= n
    return FULL


Step = tuple[str, Expression, tuple[Expression, ...]]  # operation, what it computes, from what


def _steps(
    order: Sequence[Expression], results: Sequence[Expression], fixed: frozenset[int], integer: bool
) -> list[Step]:
    """Return the operations, pairs made one."""
    uses = Counter(a for e in order if e.op not in ("symbol", "constant") for a in e.args)
    uses.update(results)
    steps: dict[Expression, Step] = {}
    for e in order:
        if e.op in ("symbol", "constant"):
            continue
        steps[e] = ("copy" if integer and e.op == "floor" else e.op, e, e.args)
        if integer or e.op not in SECOND:
            continue
        for first, other, second in (
            (*e.args, e.op),
            (*e.args[::-1], "under" if e.op == "sub" else e.op),
        ):
            name = f"{first.op}_{second}"
            if (
                name in PAIRS
                and uses[first] == 1
                and not first.symbols <= fixed
                and steps[first][0] == first.op
            ):
                del steps[first]
                steps[e] = (name, e, (*first.args, other))
                break
    return list(steps.values())


def _direct(
    steps: Sequence[Step],
    results: Sequence[Expression],
    unconverted: Sequence[bool],
    same: Sequence[Collection[int]],
    fixed: frozenset[int],
) -> dict[int, Expression]:
    """Return the outputs that are computed where they belong, with what they hold.

    Not where they must be converted, are one number, or lie on an input that a later operation still reads.
    """
    found: dict[int, Expression] = {}
    computed = {e: n for n, (_, e, _) in enumerate(steps)}
    for k, e in enumerate(results):
        if e not in computed or e.symbols <= fixed or not unconverted[k] or e in found.values():
            continue
        later = (a for _, _, arguments in steps[computed[e] + 1 :] for a in arguments)
        if not any(a.op == "symbol" and a.args[0] in same[k] for a in later):
            found[k] = e
    return found


Operation = tuple[int, int, int, int, int]  # code, slot of the result, slots of the arguments


@dataclass
class _Slots:
    """Where every part of an expression is: scalars from 0 up, blocks from -1 down until their number is known."""

    of: dict[Expression, int]
    scalars: int = 0
    blocks: int = 0
    free: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scalars = len(self.of)

    def take(self, scalar: bool = False) -> int:
        """Return a new slot."""
        if scalar:
            self.scalars += 1
            return self.scalars - 1
        self.blocks += 1
        return -self.blocks

    def number(self, slot: int) -> int:
        """Return the final number of a slot."""
        return slot if slot >= 0 else self.scalars - 1 - slot

    @property
    def bytes(self) -> int:
        """Bytes of scratch."""
        table = -(-16 * (self.scalars + self.blocks) // 64) * 64
        return table + self.scalars * VECTOR_BYTES + self.blocks * BLOCK_BYTES

    def allocate(
        self,
        steps: Sequence[Step],
        results: Sequence[Expression],
        fixed: frozenset[int],
        direct: dict[int, Expression],
    ) -> tuple[list[Operation], list[Operation]]:
        """Give every step a slot for its result; return the operations of the prologue and of the body.

        A block is free after the last operation that reads it, whose result may be written over it. A direct output has
        one of its own: it may lie on an input, so nothing else may be written there.
        """
        uses = Counter(a for _, _, arguments in steps for a in arguments)
        uses.update(results)
        prologue: list[Operation] = []
        body: list[Operation] = []
        for name, e, arguments in steps:
            read = [self.of[a] for a in arguments]
            is_scalar = e.symbols <= fixed
            uses.subtract(arguments)
            if not is_scalar:
                self.free += {
                    self.of[a]
                    for a in arguments
                    if not uses[a] and self.of[a] < 0 and a.op != "symbol"
                }
            reuse = self.free and not is_scalar and e not in direct.values()
            self.of[e] = self.free.pop() if reuse else self.take(is_scalar)
            a, b, c = (read * 3)[:3]
            (prologue if is_scalar else body).append((OPERATIONS.index(name), self.of[e], a, b, c))
        return prologue, body
