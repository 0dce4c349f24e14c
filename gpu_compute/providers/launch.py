"""Launches of our own kernels, compiled for the dtype and with indices as wide as they must be."""

from __future__ import annotations

from cortex.compute.plan.storage import Operand

from ..device import KernelTarget
from ..instruction import Argument, Instruction
from ..kernels.source import Variant, kernel

NULL = 0  # the address of what a kernel may do without


def launch(
    name: str,
    dtype: str,
    arguments: tuple[Argument, ...],
    writes: tuple[Operand, ...],
    reach: int = 0,
) -> Instruction:
    """Return the launch of a kernel of csrc/device.

    `arguments` stand in the order of its parameters. `reach` is the number of items of the largest operand, where
    items are smaller than elements.
    """
    largest = max(reach, *(a.spec.size for a in arguments if isinstance(a, Operand)))
    return Instruction(KernelTarget(kernel(name), Variant.of(dtype, largest)), arguments, writes)
