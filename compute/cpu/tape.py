"""Expressions as tapes: lists of scalar operations for the interpreter in csrc/kernels/tape.cpp.

A tape runs at once, where a compiler would take most of a second. It works on blocks of elements that stay in the L1
cache. Every intermediate result has a slot: a block, or a single number where it depends on scalars alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..expression import Expression
from .maps import Layout

# Codes are positions; csrc/kernels/tape.cpp has the same order.
OPERATIONS = (
    "copy", "add", "sub", "mul", "neg", "abs", "sign", "maximum", "minimum", "where", "gt", "ge", "lt", "le", "eq",
    "ne", "and", "or", "not", "isnan", "div", "pow", "exp", "expm1", "log", "log1p", "sqrt", "tanh", "logistic",
    "sin", "cos", "erf", "floor",
)  # fmt: skip
INTEGER_OPERATIONS = frozenset(OPERATIONS[: OPERATIONS.index("div")])
DTYPES = ("float32", "float64", "uint8", "bool", "int32", "int64", "uint64")
KERNELS = {"float32": "tape_f32", "float64": "tape_f64", "int64": "tape_i64"}
FULL, VECTOR, SCALAR = range(3)

# Bytes of a block. 2 KiB is 512 floats: 32 vectors of 64 bytes, against which 5 ns for a call are small, and a dozen
# live slots still fit the 32 KiB of an L1 cache.
BLOCK_BYTES = 2048
VECTOR_BYTES = 64  # of the longest vector of any instruction set


@dataclass(frozen=True)
class Tape:
    """What a kernel call needs; see the head of csrc/kernels/tape.cpp."""

    kernel: str
    integers: tuple[int, ...]
    reals: tuple[float, ...]
    scratch: int


@dataclass
class _Slots:
    """Numbers for results: those of scalars count up, those of blocks are used again after their last reading."""

    scalars: int = 0
    blocks: int = 0
    free: list[int] = field(default_factory=list)

    def scalar(self) -> int:
        self.scalars += 1
        return self.scalars - 1

    def block(self) -> int:
        """Return a block by the negative number -1 - k: how many scalars come before is not known yet."""
        if self.free:
            return self.free.pop()
        self.blocks += 1
        return -self.blocks


def encode(
    expressions: Sequence[Expression],
    inputs: Sequence[str],
    outputs: Sequence[str],
    compute: str,
    layout: Layout,
) -> Tape | None:
    """Return the tape of expressions over inputs and outputs of these dtypes, or None where it has no operation.

    `layout` is that of the outputs and the inputs, in this order.
    """
    order = _order(expressions)
    if compute == "int64" and not all(_known(e) for e in order):
        return None
    item = 4 if compute == "float32" else 8
    block = BLOCK_BYTES // item
    inner, extents = (1, ()) if layout.flat else (layout.shape[-1], layout.shape[:-1])
    packed = 1 if layout.flat else max(1, block // inner)
    kinds = [_kind(layout, len(outputs) + i) for i in range(len(inputs))]
    constant_along = [k == SCALAR and (packed == 1 or not any(layout.strides[len(outputs) + i]))
                      for i, k in enumerate(kinds)]  # fmt: skip

    slots = _Slots()
    place = {e: slots.scalar() for e in order if e.op == "constant"}
    constants = [e.args[0] for e in place]
    at = [slots.scalar() if fixed else slots.block() for fixed in constant_along]
    place.update({e: at[e.args[0]] for e in order if e.op == "symbol"})
    fixed_symbols = frozenset(i for i, fixed in enumerate(constant_along) if fixed)
    prologue, body = _operations(order, expressions, place, fixed_symbols, slots, compute == "int64")
    results = [place[e] for e in expressions]
    if len(results) > 1:  # an output may lie on an input that another output still has to read
        for k, slot in enumerate(results):
            if slot < 0 and slot in at:
                results[k] = slots.block()
                body.append((OPERATIONS.index("copy"), results[k], slot, slot, slot))

    def final(slot: int) -> int:
        return slot if slot >= 0 else slots.scalars - 1 - slot

    header = [block, slots.scalars, slots.blocks, len(outputs), len(inputs), len(constants), len(prologue), len(body)]
    integers = [*header, packed, inner, len(extents), *extents]
    for i, dtype in enumerate(inputs):
        strides = layout.strides[len(outputs) + i][: len(extents)]
        integers += [DTYPES.index(dtype), final(at[i]), kinds[i], *strides]
    for dtype, slot in zip(outputs, results, strict=True):
        integers += [DTYPES.index(dtype), final(slot)]
    for code, *operands in (*prologue, *body):
        integers += [code, *map(final, operands)]
    if compute == "int64":
        integers += [int(c) for c in constants]
    table = -(-16 * (slots.scalars + slots.blocks) // 64) * 64
    scratch = table + slots.scalars * VECTOR_BYTES + slots.blocks * BLOCK_BYTES
    return Tape(KERNELS[compute], tuple(integers), tuple(float(c) for c in constants), scratch)


def _known(e: Expression) -> bool:
    """Whether tape_i64 can compute it."""
    if e.op == "constant":
        return float(e.args[0]).is_integer()
    return e.op in ("symbol", "floor") or e.op in INTEGER_OPERATIONS


Operation = tuple[int, int, int, int, int]  # code, slot of the result, slots of the arguments


def _operations(
    order: Sequence[Expression],
    results: Sequence[Expression],
    place: dict[Expression, int],
    fixed: frozenset[int],
    slots: _Slots,
    integer: bool,
) -> tuple[list[Operation], list[Operation]]:
    """Return prologue and body, and note in `place` where every result is.

    A block is free again after the last operation that reads it; its own result may be written over it.
    """
    computed = [e for e in order if e.op not in ("symbol", "constant")]
    uses = Counter(a for e in computed for a in e.args)
    uses.update(results)
    prologue: list[Operation] = []
    body: list[Operation] = []
    for e in computed:
        arguments = [place[a] for a in e.args]
        if e.symbols <= fixed:
            place[e] = slots.scalar()
        else:
            uses.subtract(e.args)
            for a in dict.fromkeys(e.args):
                if uses[a] == 0 and place[a] < 0 and a.op != "symbol":
                    slots.free.append(place[a])
            place[e] = slots.block()
        padded = (arguments * 3)[:3]
        code = OPERATIONS.index("copy" if integer and e.op == "floor" else e.op)
        (prologue if e.symbols <= fixed else body).append((code, place[e], *padded))
    return prologue, body


def _order(expressions: Sequence[Expression]) -> list[Expression]:
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


def _kind(layout: Layout, operand: int) -> int:
    """Return how an input moves; see the head of csrc/kernels/tape.cpp."""
    strides, step = layout.strides[operand], 1
    if strides[-1] == 0:
        return SCALAR
    for n, stride in zip(reversed(layout.shape), reversed(strides), strict=True):
        if stride != step:
            return VECTOR
        step *= n
    return FULL
