"""Launches of our own kernels: the variant for the dtype, the geometry for the sizes."""

from __future__ import annotations

from collections.abc import Mapping

from cortex.compute.plan.storage import Operand

from ..device import KernelTarget
from ..instruction import Argument, Instruction
from ..kernels.launch import launch as geometry
from ..kernels.source import Variant, kernel

NULL = 0  # the address of what a kernel may do without
TILE = 64  # rows and columns of a tile of a product; see csrc/device/product.h


def launch(
    name: str,
    dtype: str,
    arguments: tuple[Argument | Mapping[str, object], ...],
    writes: tuple[Operand, ...],
    *,
    count: int,
    width: int = 1,
    parts: int = 1,
    reach: int = 0,
) -> Instruction:
    """Return the launch of a kernel of csrc/device.

    `arguments` stand in the order of its parameters. `count` is what its declaration counts (items, rows, columns or
    tiles), `width` the length of a row, `parts` those of a column; `reach` the elements of the largest operand, where
    that is more than `count` times `width`: indices are 64 bits wide only where they must be.
    """
    found = kernel(name)
    sizes = [a.spec.size for a in arguments if isinstance(a, Operand)]
    variant = Variant.of(dtype, max(count * width, reach, *sizes))
    target = KernelTarget(found, variant, geometry(found.kind, count, width, parts))
    return Instruction(target, arguments, writes)


def tiles(rows: int, columns: int) -> int:
    """Return the number of tiles of a product."""
    return -(-rows // TILE) * -(-columns // TILE)
