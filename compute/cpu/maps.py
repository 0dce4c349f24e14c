"""Loops over expressions, compiled by Numba: one function per expression, layout and dtype, called by address.

A kernel has the signature of `Function` (csrc/kernel.h). Its iteration space is collapsed to as few axes as the
broadcasting allows; the last one is the loop that vectorises, and a unit of work is one index of all others (or, in
the flat case, one element). What the loop needs, all measured: the NumPy error model (no division checks), plain
slices (no negative-index wrap), scalar work hoisted, constants in the dtype of the computation, and one variable for
an output that is written over an input (two names for one memory fail the compiler's overlap check at run time).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..emission import emit
from ..expression import Expression
from ..plan.geometry import Layout

FORMAT = (
    "1"  # of what is compiled around the emitted source; a new one leaves old cache files unread
)
FLAT_GRAIN = 8192  # elements: about 2 microseconds of simple work, what waking a thread costs


@dataclass(frozen=True)
class Form:
    """All that the machine code of a map depends on; `same[k]` is the input that output k is written over, or -1."""

    expressions: tuple[Expression, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    compute: str
    classes: tuple[str, ...]  # of outputs, then inputs
    rank: int
    same: tuple[int, ...]


def source(form: Form) -> str:
    """Return the Python source of a map; see the module."""
    count_out, count_in = len(form.outputs), len(form.inputs)
    classes = form.classes[count_out:]
    fixed = frozenset(i for i in range(count_in) if classes[i] == "s")
    prologue, body, results = emit(form.expressions, {i: f"x{i}" for i in range(count_in)}, fixed)
    load = [f"x{i} = {_load(form, i)}" for i in range(count_in)]
    parameters = ", ".join(
        [f"p{i}" for i in range(count_in)] + [f"q{k}" for k in range(count_out) if form.same[k] < 0]
    )
    targets = [f"q{k}" if form.same[k] < 0 else f"p{form.same[k]}" for k in range(count_out)]
    store = [
        f"{t}[i] = {r if d == 'bool' else f'cast_{d}({r})'}"
        for t, r, d in zip(targets, results, form.outputs, strict=True)
    ]
    lines = [f"def loop(n, {parameters}):", "    one = dtype(1)"]
    lines += [f"    {line}" for i, line in enumerate(load) if classes[i] == "s"]
    lines += [f"    {line}" for line in prologue]
    lines += ["    for i in range(n):"]
    lines += [f"        {line}" for i, line in enumerate(load) if classes[i] != "s"]
    lines += [f"        {line}" for line in (*body, *store)]
    return "\n".join([*lines, "", *_driver(form)])


def _load(form: Form, i: int) -> str:
    at = f"p{i}[0]" if form.classes[len(form.outputs) + i] == "s" else f"p{i}[i]"
    return at if form.inputs[i] == "bool" else f"dtype({at})"


def _driver(form: Form) -> list[str]:
    """The outer loop: addresses to slices. Integers: outer extents, then per operand outer strides and inner stride."""
    outs, count = len(form.outputs), len(form.outputs) + len(form.inputs)
    names = [f"a{k}" for k in range(count)]
    dtypes = (*form.outputs, *form.inputs)
    lines = ["def kernel(buffer, integer, real, start, stop):"]
    wanted = [k for k in range(count) if k >= outs or form.same[k] < 0]
    slices = {}
    outer = form.rank - 1
    width = form.rank
    if form.rank == 1:
        lines += ["    n = stop - start"]
        for k in wanted:
            step = f"integer[{1 + k}]"
            size = (
                "1"
                if form.classes[k] == "s"
                else "stop"
                if form.classes[k] == "v"
                else f"stop * {step}"
            )
            lines.append(f"    {names[k]} = carray(buffer[{k}], ({size},), {dtypes[k]})")
            cut = {"s": "[:1]", "v": "[start:]", "g": f"[start * {step}::{step}]"}[form.classes[k]]
            slices[k] = f"{names[k]}{cut}"
        indent = "    "
    else:
        lines += [f"    n = integer[{outer}]"]
        for k in wanted:
            base = form.rank + k * width
            extent = " + ".join(
                f"(integer[{d}] - 1) * integer[{base + d}]" for d in range(form.rank)
            )
            lines.append(f"    {names[k]} = carray(buffer[{k}], (1 + {extent},), {dtypes[k]})")
        lines += ["    for row in range(start, stop):", "        r = row"]
        for d in range(outer - 1, -1, -1):
            lines += [f"        i{d} = r % integer[{d}]", f"        r = r // integer[{d}]"]
        for k in wanted:
            base = form.rank + k * width
            offset = " + ".join(f"i{d} * integer[{base + d}]" for d in range(outer))
            lines.append(f"        o{k} = {offset}")
            step = f"integer[{base + outer}]"
            slices[k] = {
                "s": f"{names[k]}[o{k}:o{k} + 1]",
                "v": f"{names[k]}[o{k}:o{k} + n]",
                "g": f"{names[k]}[o{k}::{step}]",
            }[form.classes[k]]
        indent = "        "
    order = [slices[k] for k in wanted if k >= outs] + [slices[k] for k in wanted if k < outs]
    return [*lines, f"{indent}loop(n, {', '.join(order)})"]


@cache
def compiled(form: Form) -> Any:
    """Return the Numba cfunc of a map; its `address` is what the executor calls.

    Machine code is kept beside the source in the folder of `cache`: 3 milliseconds instead of 0.3 to 0.5 s the next
    time. Where that folder cannot be written, every process compiles for itself.
    """
    import numba
    import numpy as np

    from .cache import stored

    text = f"# computed in {form.compute}\n{source(form)}\n"
    path = stored(text, FORMAT, numba.__version__, np.__version__)
    space = _names(form.compute)
    code = compile(text, str(path or "<map>"), "exec")
    exec(code, space)  # our own emitted source, never what the file holds
    for name in ("loop", "kernel"):  # Numba names symbols so, and those of two maps must differ
        space[name].__name__ = space[name].__qualname__ = f"{name}_{path.stem if path else ''}"
    space["loop"] = numba.njit(error_model="numpy", fastmath={"contract"})(space["loop"])
    types: Any = numba.types
    pointers = [types.CPointer(t) for t in (types.voidptr, types.int64, types.float64)]
    signature = types.void(*pointers, types.int64, types.int64)
    return numba.cfunc(signature, error_model="numpy", cache=path is not None)(space["kernel"])


def _names(compute: str) -> dict[str, Any]:
    """Return what emitted source may use."""
    import numba
    import numpy as np

    kinds = {
        name: getattr(np, name)
        for name in ("uint8", "int32", "int64", "uint64", "float32", "float64")
    }
    casts = {f"cast_{name}": kind for name, kind in kinds.items()}
    numbers = {"dtype": kinds[compute], "INFINITY": np.inf, "NAN": np.nan, "bool": np.bool_}
    module: Any = numba
    return {
        "__name__": __name__,
        "math": math,
        "np": np,
        "carray": module.carray,
        **numbers,
        **kinds,
        **casts,
    }


def integers(layout: Layout) -> tuple[int, ...]:
    """Return the integer operands of a kernel for a layout."""
    if layout.flat:
        return (layout.shape[0], *(s[0] for s in layout.strides))
    return (*layout.shape, *(x for s in layout.strides for x in s))


def units_and_grain(layout: Layout, work: int = 1) -> tuple[int, int]:
    """Return the number of units and how many of them are worth a thread; `work` is an element's cost in cycles."""
    elements = max(FLAT_GRAIN // 8, 2 * FLAT_GRAIN // (1 + work))
    if layout.flat:
        # Long stretches keep the streams of several arrays running: Adam over 10 million parameters took 6.5 ms on two
        # cores in pieces of 8,192 and 4.6 in pieces of 524,288. Sixteen pieces still share out evenly.
        return layout.shape[0], max(elements, min(layout.shape[0] // 16, 1 << 19))
    inner = layout.shape[-1]
    return math.prod(layout.shape[:-1]), max(1, elements // inner)
