"""`Linear` and `Embedding`: rows of weights against features, rows of a table by index."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from cortex.build import Build
from cortex.compute import ops
from cortex.compute.errors import DescriptionError, ShapeError
from cortex.compute.ops.reduce import reshape_to
from cortex.compute.program import Value
from cortex.compute.spec import Spec
from cortex.initialisers import INITIALISER, Xavier, Zeros
from cortex.layers.base import Base, automatic, register
from cortex.protocols import Initialiser, Parameter
from cortex.rules import COUNT, FLAG, NONE, Rule, check, either, is_integer, one_of


@register
@dataclass(frozen=True)
class Linear(Base):
    """y = x W^T + b with weights W [units, inputs] and bias b [units].

    With axes "all", every axis behind the batch counts as one feature axis: [N, C, H, W] is read
    as [N, C H W] and gives [N, units]. With "last", the last axis holds the features and the
    others are kept: sequences [N, T, D] give [N, T, units].
    """

    units: int
    bias: bool = True
    axes: Literal["all", "last"] = "all"
    initialiser: Initialiser | None = None
    rectifies: ClassVar[bool | None] = False

    def __post_init__(self) -> None:
        rules = {"bias": FLAG, "axes": one_of("all", "last"), "initialiser": INITIALISER}
        check(self, units=COUNT, **rules)

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """Weights [units, inputs] and, unless False, bias [units]."""
        x = self.one(inputs, 2, "batch, features, ...")
        width = x.shape[-1] if self.axes == "last" else math.prod(x.shape[1:])
        found = {"weights": Parameter((self.units, width), automatic(self.initialiser))}
        return found | ({"bias": Parameter((self.units,), Zeros())} if self.bias else {})

    def forward(
        self, build: Build, x: Value, *, weights: Value, bias: Value | None = None
    ) -> Value:
        """[N, ...] gives [N, units]; with axes "last", [N, *T, D] gives [N, *T, units]."""
        kept = x.shape[:-1] if self.axes == "last" else x.shape[:1]
        rows = reshape_to(build.program, x, (math.prod(kept), weights.shape[1]))
        if bias is not None:
            y = build.apply(ops.Linear(), rows, weights, bias)
        else:
            y = build.apply(ops.MatMul(False, True), rows, weights)
        return reshape_to(build.program, y, (*kept, self.units))


@register
@dataclass(frozen=True)
class Embedding(Base):
    """A table of `count` rows read by integer index: [N, *I] gives [N, *I, units].

    The row `padding_index`, where given, reads as zeros and is never trained. Without an
    initialiser the rows have variance 1 / units, so their expected squared length is 1.
    """

    count: int
    units: int
    padding_index: int | None = None
    initialiser: Initialiser | None = None
    rectifies: ClassVar[bool | None] = False

    def __post_init__(self) -> None:
        index = either(Rule("an integer >= 0", lambda v: is_integer(v, 0)), NONE)
        rules = {"padding_index": index, "initialiser": INITIALISER}
        check(self, count=COUNT, units=COUNT, **rules)
        if self.padding_index is not None and self.padding_index >= self.count:
            problem = f"padding_index: expected a row below count = {self.count}"
            raise DescriptionError("Embedding", [f"{problem}, given {self.padding_index}"])

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        """Weights [count, units]."""
        x = self.one(inputs, 1, "batch, ...")
        if x.is_float:
            raise ShapeError(
                f"Embedding: expected integer indices, given {x}; declare Input(..., dtype='int32')"
            )
        initialiser = Xavier() if self.initialiser is None else self.initialiser
        return {"weights": Parameter((self.count, self.units), initialiser)}

    def forward(self, build: Build, x: Value, *, weights: Value) -> Value:
        """[N, *I] gives [N, *I, units]."""
        return build.apply(ops.Embedding(self.padding_index), weights, x)
