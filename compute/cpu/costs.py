"""What steps cost on one core, for the choice of layouts: measured rates, and what the kernels' own providers say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..layouts import Layout
from ..ops import (
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
    Pool,
    PoolGradient,
)
from ..ops.arranged import Arranged
from ..program import Op
from ..spec import ITEM_BYTES, Spec

BANDWIDTH = 10e9  # bytes a second of one core, read and written, from beyond the L2 cache

PEAK = 117e9  # floating-point operations a second of one core, float32; only ratios matter here
CONVOLUTIONS = (Convolution, ConvolutionInputGradient, ConvolutionKernelGradient)
# Of the peak, measured on the second convolution of LeNet at batch 64 (docs/performance.md).
DENSE_FRACTION: dict[type[Op], float] = {
    Convolution: 0.87, ConvolutionInputGradient: 0.62, ConvolutionKernelGradient: 0.79,
}  # fmt: skip
POOLING_PASSES = 2.0  # dense pooling runs at half the speed of a copy


@dataclass(frozen=True)
class CpuCosts:
    """The costs that `choose_layouts` asks for; see compute/passes/layout.py."""

    exact: bool

    def dense(self, op: Op, inputs: Sequence[Spec], outputs: Sequence[Spec]) -> float:
        """Return the time of the dense kernels."""
        work = moved(inputs, outputs)
        if isinstance(op, CONVOLUTIONS):
            return work + operations(op, inputs, outputs) / (PEAK * DENSE_FRACTION[type(op)])
        if isinstance(op, (Pool, PoolGradient)):
            return POOLING_PASSES * work
        return work

    def lifted(self, op: Op, inputs: Sequence[Spec], outputs: Sequence[Spec]) -> float | None:
        """Return the time of the fastest kernel for values in a layout, or None where there is none."""
        if not isinstance(op, Arranged):
            return moved(inputs, outputs)
        from .providers import lanes, winograd

        found = [module.seconds(op, inputs, outputs, self.exact) for module in (winograd, lanes)]
        return min((t for t in found if t is not None), default=None)

    def reorder(self, value: Spec, layout: Layout) -> float:
        """Return the time of a transposed copy."""
        return 1e-6 + 2 * size(value) / BANDWIDTH


def operations(op: Op, inputs: Sequence[Spec], outputs: Sequence[Spec]) -> int:
    """Return the multiplications and additions of one pass of a dense convolution."""
    kernels = {Convolution: inputs[1], ConvolutionInputGradient: inputs[1]}.get(
        type(op), outputs[0]
    )
    pixels = {Convolution: outputs[0], ConvolutionInputGradient: inputs[0]}.get(type(op), inputs[1])
    return 2 * math.prod(kernels.shape) * pixels.shape[0] * math.prod(pixels.shape[2:])


def size(spec: Spec) -> int:
    """Return the bytes of a value."""
    return math.prod(spec.shape) * ITEM_BYTES[spec.dtype]


def moved(inputs: Sequence[Spec], outputs: Sequence[Spec]) -> float:
    """Return the time to read and write everything once."""
    return sum(map(size, (*inputs, *outputs))) / BANDWIDTH
