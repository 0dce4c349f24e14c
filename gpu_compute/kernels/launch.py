"""Launch geometry: grid and block of a kernel from its form and its sizes.

An item of `each` and a member of a team loop with the stride of the grid, so any grid computes the right thing; these
are chosen to fill the machine. All shared memory is static: a launch asks for none.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...compute.errors import BackendError
from .arguments import Arguments

PROCESSORS = 132  # of an H100 or H200
EACH_THREADS = 256
ROW_THREADS = 512  # at most, __launch_bounds__ of CX_ROWS
TILE_THREADS = 256
COLUMNS, LANES = 32, 8
PARTS = 256  # of a long reduction, at most
CONSTANTS = {"SQUARE": 32}  # of csrc/device/movement.cu
LONG, SHORT = 4096, 256  # elements worth a part: 8 a thread of a long row, 32 a thread of a column


@dataclass(frozen=True)
class Launch:
    """Grid and block as (x, y); shared bytes are those asked for at the launch, always 0 here."""

    grid: tuple[int, int]
    block: tuple[int, int]
    shared: int = 0


def launch(
    kind: str, count: int, width: int = 1, parts: int = 1, processors: int = PROCESSORS
) -> Launch:
    """Return the geometry of a kernel of form `kind`.

    `count` is the number of items, rows, columns or tiles of its declaration, `width` the length of a row (of `rows`),
    `parts` those of `columns`. An empty launch has one block, which finds nothing to do.

    Raises:
        BackendError: there is no such form.
    """
    waves = 8 * processors
    if kind == "each":
        return Launch((_within(-(-count // EACH_THREADS), waves), 1), (EACH_THREADS, 1))
    if kind in ("rows", "warps"):
        threads = 32 if kind == "warps" else _row_threads(width)
        teams = max(1, 256 // threads) if threads == 32 else 1
        return Launch((_within(-(-count // teams), 16 * waves), 1), (threads, teams))
    if kind == "columns":
        return Launch(
            (_within(-(-count // COLUMNS), 1 << 20), _within(parts, 1 << 15)), (COLUMNS, LANES)
        )
    if kind == "tiles":
        return Launch((_within(count, 16 * waves), 1), (TILE_THREADS, 1))
    raise BackendError(f"kernels: unknown form {kind!r}; known: each, rows, warps, columns, tiles")


def launch_for(arguments: Arguments, processors: int = PROCESSORS) -> Launch:
    """Return the geometry of a launch with these arguments, from the sizes in the kernel's own declaration."""
    kernel = arguments.kernel
    values: dict[str, Any] = {}
    for parameter, value in zip(kernel.parameters, arguments.values, strict=True):
        if parameter.fields:
            values[parameter.name] = value[0]
        elif value.dtype.kind in "iu":
            values[parameter.name] = int(value[0])
    sizes = [size_of(text, values) for text in kernel.sizes]
    width = sizes[1] if kernel.kind == "rows" else 1
    parts = sizes[2] if kernel.kind == "columns" else 1
    return launch(kernel.kind, sizes[0], width, parts, processors)


def size_of(text: str, values: Mapping[str, Any]) -> int:
    """Return the value of a C expression of integers: names, fields, + - * / and calls of part_size and tiles."""
    calls = {"part_size": lambda n, m: -(-n // m), "tiles": lambda n, m: -(-n // 64) * -(-m // 64)}

    def visit(node: ast.expr) -> int:
        if isinstance(node, ast.Constant):
            return int(node.value)  # type: ignore[arg-type]
        if isinstance(node, ast.Name):
            return CONSTANTS[node.id] if node.id in CONSTANTS else int(values[node.id])
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return int(values[node.value.id][node.attr])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return calls[node.func.id](*(visit(a) for a in node.args))
        if isinstance(node, ast.BinOp):
            a, b = visit(node.left), visit(node.right)
            if isinstance(node.op, ast.Div):
                return a // b if b else 0
            return (
                a * b
                if isinstance(node.op, ast.Mult)
                else a - b
                if isinstance(node.op, ast.Sub)
                else a + b
            )
        raise BackendError(
            f"kernels: the size {text!r} is no expression of sums, products and quotients"
        )

    return visit(ast.parse(text.replace("<I>", ""), mode="eval").body)


def parts_of(count: int, others: int, columns: bool = False, processors: int = PROCESSORS) -> int:
    """Return into how many parts to cut sums of `count` elements each, of which there are `others` side by side.

    Sums along memory are a block each; of those across it (`columns`) 32 share a block. They are cut only where there
    are fewer blocks than the machine works on at once, and not so far that a part is hardly worth a block. The number
    depends on the sizes alone, so the order of a sum does.
    """
    blocks = max(1, -(-others // COLUMNS) if columns else others)
    if blocks >= 2 * processors:
        return 1
    return max(1, min(PARTS, count // (SHORT if columns else LONG), -(-4 * processors // blocks)))


def _within(count: int, most: int) -> int:
    return max(1, min(count, most))


def _row_threads(width: int) -> int:
    """Return a power of two of threads: about four elements each, whole warps."""
    threads = 32
    while threads < ROW_THREADS and threads * 4 < width:
        threads *= 2
    return threads
