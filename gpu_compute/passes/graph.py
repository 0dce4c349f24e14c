"""`DnnGraph`: a step of a program that is a graph of cuDNN."""

from __future__ import annotations

from dataclasses import dataclass

from cortex.compute.errors import ShapeError
from cortex.compute.layouts import to_last
from cortex.compute.program import Op
from cortex.compute.spec import Spec

from ..libraries.dnn import Description, Operand
from .layout import permuted


@dataclass(frozen=True)
class DnnGraph(Op):
    """What `description` says; inputs and outputs are its operands in order, images channels-last.

    Its meaning is that of `libraries.emulated_dnn`. Operands that the description has in 16 bits may be values of
    float32 until the pass `precision` says how each value is held.
    """

    description: Description

    def infer(self, *inputs: Spec) -> tuple[Spec, ...]:
        """Shapes as they lie in memory; packed bits are bytes.

        Raises:
            ShapeError: an operand is missing or has another shape.
        """
        wanted = self.description.inputs
        if [held(o) for o in wanted.values()] != [s.shape for s in inputs]:
            expected = ", ".join(f"{name} {held(o)}" for name, o in wanted.items())
            given = ", ".join(str(s.shape) for s in inputs)
            raise ShapeError(
                f"{type(self.description).__name__}: expected {expected}, given {given}"
            )
        carrier = inputs[0].dtype
        return tuple(self._result(o, carrier) for o in self.description.outputs.values())

    def _result(self, operand: Operand, carrier: str) -> Spec:
        if operand.dtype == "bits":
            return Spec(held(operand), "uint8")
        same = operand.dtype == self.description.dtype
        return Spec(held(operand), carrier if same else operand.dtype)


def held(operand: Operand) -> tuple[int, ...]:
    """Return the shape of an operand in the order of memory; packed bits are a row of bytes."""
    if operand.dtype == "bits":
        return (operand.bytes,)
    rank = len(operand.shape)
    return permuted(operand.shape, to_last(rank)) if operand.channels_last else operand.shape
