"""Who runs an op: a table of providers, asked in order when a program is compiled.

A provider is a function (lowering, step) that returns the instructions for the step, or None where it does not fit.
The first that fits runs; the report says which. The last one, NumPy, fits every primitive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...group import Group
from ...ops import (
    AllReduce,
    Concatenate,
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
    Dropout,
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
from ...ops.all_reduce import sums_inside
from ...ops.arranged import Arranged
from ...ops.chain import Chain
from ...ops.fused import Fused
from ...ops.summed import SummedMap
from ...program import Op, Step, Value
from ...spec import Spec
from ..instruction import Instruction
from ..lowering import Lowering
from .fallback import with_numpy
from .sums import fits

UNROLLED_STEPS = (
    2000  # a longer scan would take seconds to compile; NumPy runs it position by position
)

Provider = Callable[[Lowering, Step], list[Instruction] | None]


def _table() -> dict[type[Op], tuple[Provider, ...]]:
    from . import (
        collective,
        contraction,
        lanes,
        maps,
        movement,
        numpy_convolution,
        numpy_direct,
        numpy_pooling,
        pooling,
        random,
        reduction,
        rows,
        sums,
        winograd,
    )

    return {
        Map: (maps.map_,),
        MatMul: (contraction.matmul,),
        Arranged: (winograd.arranged, lanes.arranged, random.dropout),
        Chain: (lanes.chain,),
        Fused: (contraction.fused, winograd.fused_if_faster, lanes.fused),
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
        SummedMap: (sums.summed_map,),
        Slice: (movement.slice_, numpy_direct.write),
        Transpose: (movement.transpose, numpy_direct.write),
        Pad: (movement.pad, numpy_direct.write),
        Concatenate: (movement.concatenate, numpy_direct.concatenate),
        Gather: (rows.gather,),
        ScatterAdd: (rows.scatter_add,),
        Random: (random.random,),
        Dropout: (random.dropout,),
        AllReduce: (collective.all_reduce,),
    }


def keep(group: Group | None) -> Callable[[Step], bool]:
    """Return whether a composite op is bound directly and need not be decomposed, by its step."""
    from . import lanes, random

    def kept(step: Step) -> bool:
        if isinstance(step.op, Scan):
            long = step.op.length * len(step.op.body.steps) > UNROLLED_STEPS
            return long and not (group is not None and sums_inside(step.op.body))
        if isinstance(step.op, AllReduce):
            return group is not None
        if isinstance(step.op, SummedMap):
            return fits(step.op, step.inputs)
        return lanes.keeps(step) or random.keeps_dropout(step)

    return kept


def accepts_epilogue(op: Fused, inputs: Sequence[Value]) -> bool:
    """Whether a kernel can do the work of a fused op."""
    from . import contraction, lanes

    if isinstance(op.op, Arranged):
        return lanes.accepts_epilogue(op, inputs)
    return contraction.accepts_epilogue(op, inputs)


def accepts_chain(op: Chain, inputs: Sequence[Spec]) -> bool:
    """Whether a kernel does the work of both ops of a chain, and no faster one that of the first."""
    from . import lanes, winograd

    first = op.first.op if isinstance(op.first, Fused) else op.first
    return lanes.accepts_chain(op, inputs) and not winograd.is_faster(first, *inputs)


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
