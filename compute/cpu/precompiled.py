"""Recognising maps that were compiled with the engine (csrc/generated/maps.inl, made by scripts/generate_maps.py).

A map is known by its form: the structure of its expressions with the constants taken out, and how its inputs move. The
name of its kernel is made from a digest of that form, so the engine's list of kernels is the only table there is, and
one kernel serves every step size or slope.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from ..expression import Expression, node, symbol
from ..plan.geometry import Layout
from .native import native

MAX_RANK = 8  # of the outer axes; csrc/kernels/map.cpp


@dataclass(frozen=True)
class Pattern:
    """The form of a map, and what differs between maps of this form.

    In `expressions` the inputs are numbered in the order in which they are met, which is `order` in the numbers of the
    map; after them come the `constants`, one symbol for each place where one stands. `inputs` holds dtype (`real`: that
    of the computation) and class (`v` or `s`) of each input.
    """

    expressions: tuple[Expression, ...]
    inputs: tuple[tuple[str, str], ...]
    order: tuple[int, ...]
    constants: tuple[float, ...]
    key: str

    def kernel(self, compute: str) -> str:
        """Return the name of the kernel that would compute this form."""
        digest = hashlib.sha256(self.key.encode()).hexdigest()[:10]
        return f"map_{digest}_{'f32' if compute == 'float32' else 'f64'}"


def pattern(expressions: Sequence[Expression], inputs: Sequence[tuple[str, str]]) -> Pattern:
    """Return the form of a map whose inputs have these dtypes and classes."""
    order: list[int] = []
    constants: list[float] = []
    text: list[
        str
    ] = []  # one entry per part: its operation, and the numbers of the parts that it reads
    numbers: dict[Expression, str] = {}

    def visit(e: Expression) -> str:
        if e.op == "constant":  # not by its value: equal constants are different ones elsewhere
            constants.append(e.args[0])
            return f"c{len(constants) - 1}"
        if e not in numbers:
            if e.op == "symbol":
                order.append(e.args[0])
                numbers[e] = f"x{len(order) - 1}"
            else:
                text.append(f"{e.op}({','.join([visit(a) for a in e.args])})")
                numbers[e] = f"t{len(text) - 1}"
        return numbers[e]

    results = [visit(e) for e in expressions]
    used = tuple(inputs[i] for i in order)
    described = ",".join(f"{dtype}:{kind}" for dtype, kind in used)
    key = f"{described};{';'.join(text)};{','.join(results)}"
    return Pattern(
        _lifted(expressions, order), used, tuple(order), tuple(map(float, constants)), key
    )


def _lifted(expressions: Sequence[Expression], order: Sequence[int]) -> tuple[Expression, ...]:
    """Return the expressions over the inputs in this order, with a symbol at each place of a constant."""
    made: dict[Expression, Expression] = {}
    count = len(order)

    def visit(e: Expression) -> Expression:
        nonlocal count
        if e.op == "constant":
            count += 1
            return symbol(count - 1)
        if e not in made:
            made[e] = (
                symbol(order.index(e.args[0]))
                if e.op == "symbol"
                else node(e.op, *[visit(a) for a in e.args])
            )
        return made[e]

    return tuple(map(visit, expressions))


@cache
def kernels() -> frozenset[str]:
    """Return the names of the kernels that the engine has for maps."""
    module = native()
    return (
        frozenset(name for name in module.kernels() if name.startswith("map_"))
        if module is not None
        else frozenset()
    )


def integers(layout: Layout, dtypes: Sequence[str], operands: Sequence[int]) -> tuple[int, ...]:
    """Return the integers of a kernel: rank, inner, extents, and strides in bytes of each of these operands."""
    import numpy as np

    outer = () if layout.flat else layout.shape[:-1]
    moves = [[s * np.dtype(dtypes[k]).itemsize for s in layout.strides[k]] for k in operands]
    return (len(outer), layout.shape[-1], *outer, *(s for one in moves for s in one))
