"""Who runs an op: a table of providers, asked in order when a program is compiled.

A provider is a function (lowering, step) that returns the instructions for the step, or None where it does not fit.
The first that fits runs; the report says which. Libraries stand before our own kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cortex.compute.errors import BackendError
from cortex.compute.group import Group
from cortex.compute.ops import (
    AllReduce,
    BatchNormalisation,
    BatchNormalisationGradient,
    Concatenate,
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
    Dropout,
    Gather,
    LayerNormalisation,
    LocalResponseNormalisation,
    LogSoftmax,
    Map,
    MatMul,
    Pad,
    Pool,
    PoolGradient,
    Random,
    Reduce,
    RmsNormalisation,
    ScatterAdd,
    Slice,
    Softmax,
    SoftmaxCrossEntropy,
    Transpose,
)
from cortex.compute.ops.fused import Fused
from cortex.compute.program import Op, Step, Value

from ..device import Libraries
from ..instruction import Instruction
from ..libraries.dnn import Description
from ..lowering import Lowering
from ..options import Options
from ..passes.gates import GatedProduct, ProductWithMask
from ..passes.graph import DnnGraph
from ..passes.layout import ChannelsLast
from ..passes.sums import ProductWithSum

Provider = Callable[[Lowering, Step], list[Instruction] | None]


def _table() -> dict[type[Op], tuple[Provider, ...]]:
    from . import (
        collective,
        composites,
        convolution,
        dnn,
        maps,
        matrix,
        movement,
        pooling,
        random,
        reduction,
        rows,
    )

    return {
        AllReduce: (collective.all_reduce,),
        Map: (maps.map_,),
        Reduce: (reduction.reduce,),
        MatMul: (matrix.matmul, matrix.plain),
        ProductWithSum: (matrix.with_sum,),
        ProductWithMask: (matrix.with_mask,),
        GatedProduct: (matrix.gated,),
        Fused: (matrix.fused, convolution.convolution),
        ChannelsLast: (convolution.convolution, pooling.pool),
        Convolution: (convolution.convolution,),
        ConvolutionInputGradient: (convolution.convolution,),
        ConvolutionKernelGradient: (convolution.convolution,),
        Pool: (pooling.pool,),
        PoolGradient: (pooling.pool,),
        Gather: (rows.gather,),
        ScatterAdd: (rows.scatter_add,),
        Slice: (movement.movement,),
        Transpose: (movement.movement,),
        Pad: (movement.movement,),
        Concatenate: (movement.movement,),
        Random: (random.random,),
        Dropout: (random.dropout,),
        Softmax: (composites.softmax,),
        LogSoftmax: (composites.softmax,),
        SoftmaxCrossEntropy: (composites.cross_entropy,),
        LayerNormalisation: (composites.row_normalisation,),
        RmsNormalisation: (composites.row_normalisation,),
        LocalResponseNormalisation: (composites.local_response,),
        BatchNormalisation: (composites.batch_normalisation,),
        BatchNormalisationGradient: (composites.batch_normalisation_gradient,),
        DnnGraph: (dnn.graph,),
    }


def keeps(group: Group | None, step: Step) -> bool:
    """Whether a composite op is bound directly and need not be decomposed."""
    from .composites import keeps_composite
    from .random import keeps_dropout

    if isinstance(step.op, AllReduce):
        return group is not None
    return keeps_composite(step) or keeps_dropout(step)


def accepts_epilogue(
    libraries: Libraries, options: Options, op: Fused, inputs: Sequence[Value]
) -> bool:
    """Whether a library finishes the result of an op itself."""
    from .convolution import accepts_convolution
    from .matrix import accepts_product

    return accepts_product(libraries, options, op, inputs) or accepts_convolution(
        libraries, options, op, inputs
    )


def accepts_graph(libraries: Libraries, description: Description) -> bool:
    """Whether a library has a plan for what is described."""
    from .dnn import planned

    return planned(libraries, description) is not None


_providers: dict[type[Op], tuple[Provider, ...]] = {}


def provide(low: Lowering, step: Step) -> list[Instruction]:
    """Return the instructions of a step from the first provider that fits.

    Raises:
        BackendError: none does; the message names the op and its operands.
    """
    if not _providers:
        _providers.update(_table())
    for provider in _providers.get(type(step.op), ()):
        made = provider(low, step)
        if made is not None:
            return made
    where = f"in {step.label!r}: " if step.label else ""
    specs = ", ".join(str(v.spec) for v in step.inputs)
    raise BackendError(
        f"{where}{low.device.name}: nothing here computes {step.op} of {specs}; run it on the cpu backend"
    )
