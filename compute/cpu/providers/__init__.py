"""Who runs an op: a table of providers, asked in order when a program is compiled.

A provider is a function (lowering, step) that returns the instructions for the step, or None where it does not fit.
The first that fits runs; the report says which. The last one, NumPy, fits every primitive.
"""

from __future__ import annotations

from collections.abc import Callable

from ...ops import (
    Concatenate,
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
    Gather,
    Map,
    MatMul,
    Pad,
    Pool,
    PoolGradient,
    Random,
    Reduce,
    Scan,
    ScatterAdd,
    Slice,
    Transpose,
)
from ...ops.arranged import Arranged
from ...ops.fused import Fused
from ...program import Op, Step
from ..instruction import Instruction
from ..lowering import Lowering
from .fallback import with_numpy

UNROLLED_STEPS = (
    2000  # a longer scan would take seconds to compile; NumPy runs it position by position
)

Provider = Callable[[Lowering, Step], list[Instruction] | None]


def _table() -> dict[type[Op], tuple[Provider, ...]]:
    from . import (
        contraction,
        maps,
        movement,
        numpy_convolution,
        numpy_direct,
        numpy_pooling,
        pooling,
        random,
        reduction,
        rows,
        winograd,
    )

    return {
        Map: (maps.map_,),
        MatMul: (contraction.matmul,),
        Arranged: (winograd.convolution,),
        Fused: (winograd.fused, contraction.fused),
        Convolution: (contraction.convolution, numpy_convolution.convolution),
        ConvolutionInputGradient: (
            contraction.convolution_input_gradient,
            numpy_convolution.convolution_input_gradient,
        ),
        ConvolutionKernelGradient: (
            contraction.convolution_kernel_gradient,
            numpy_convolution.convolution_kernel_gradient,
        ),
        Pool: (pooling.pool, numpy_pooling.pool),
        PoolGradient: (pooling.pool_gradient, numpy_pooling.pool_gradient),
        Reduce: (reduction.reduce, numpy_direct.write),
        Slice: (movement.slice_, numpy_direct.write),
        Transpose: (movement.transpose, numpy_direct.write),
        Pad: (movement.pad, numpy_direct.write),
        Concatenate: (movement.concatenate, numpy_direct.concatenate),
        Gather: (rows.gather,),
        ScatterAdd: (rows.scatter_add,),
        Random: (random.random,),
    }


def keeps(step: Step) -> bool:
    """Whether a composite op is bound directly and need not be decomposed."""
    if isinstance(step.op, Scan):
        return step.op.length * len(step.op.body.steps) > UNROLLED_STEPS
    if isinstance(step.op, Arranged):
        from .winograd import applies

        return applies(step.op, *(v.spec for v in step.inputs))
    return False


_providers: dict[type[Op], tuple[Provider, ...]] = {}


def provide(low: Lowering, step: Step) -> list[Instruction]:
    """Return the instructions of a step from the first provider that fits."""
    if not _providers:
        _providers.update(_table())
    for provider in _providers.get(type(step.op), ()):
        made = provider(low, step)
        if made is not None:
            return made
    return with_numpy(low, step)
