"""`Arranged`: a convolution, pooling or dropout on values that lie in another layout than the dense one."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ShapeError
from ..layouts import Layout
from ..program import Op, Program, Value
from ..spec import Spec
from .convolution import Convolution, ConvolutionInputGradient, ConvolutionKernelGradient
from .dropout import Dropout
from .pool import Pool, PoolGradient

# Which inputs and outputs lie in the layout; kernels of a convolution and their gradient are always dense. A dropout
# numbers its elements as they lie densely.
CARRIED: dict[type[Op], tuple[tuple[bool, ...], bool]] = {
    Convolution: ((True, False), True),
    ConvolutionInputGradient: ((True, False), True),
    ConvolutionKernelGradient: ((True, True), False),
    Pool: ((True,), True),
    PoolGradient: ((True, True), True),
    Dropout: ((True, False, False), True),
}


@dataclass(frozen=True)
class Arranged(Op):
    """`op` on a batch of `batch` examples whose images lie in `layout`; what has no examples stays dense.

    In batch lanes the lanes beyond the last example may hold anything, infinities and NaN included: an op that sums
    over the batch leaves them out, and what it writes to such lanes nobody reads.
    """

    op: Op
    layout: Layout
    batch: int

    def infer(self, *inputs: Spec) -> tuple[Spec, ...]:
        """The specs of the inner op, its images in the layout.

        Raises:
            ShapeError: the op has no arranged form, or its inputs do not fit it.
        """
        if type(self.op) not in CARRIED:
            known = ", ".join(sorted(t.__name__ for t in CARRIED))
            raise ShapeError(
                f"Arranged: {type(self.op).__name__} has no arranged form; {known} have"
            )
        carried, to_layout = CARRIED[type(self.op)]
        dense = [
            Spec(self.layout.dense(s.shape, self.batch), s.dtype) if inside else s
            for s, inside in zip(inputs, carried, strict=False)
        ]
        results = self.op.infer(*dense)
        if not to_layout:
            return results
        return tuple(Spec(self.layout.shape(s.shape), s.dtype) for s in results)

    def decompose(self, build: Program, *inputs: Value) -> tuple[Value, ...]:
        """Restore the images, apply the op, arrange its results."""
        carried, to_layout = CARRIED[type(self.op)]
        dense = [
            self.layout.restore(build, v, self.batch) if inside else v
            for v, inside in zip(inputs, carried, strict=False)
        ]
        made = build.apply(self.op, *dense)
        results = made if isinstance(made, tuple) else (made,)
        return tuple(self.layout.arrange(build, v) if to_layout else v for v in results)
