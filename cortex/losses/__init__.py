"""Losses: how far an output is from its target, and what parameters cost.

    loss = loss_value(build, SoftmaxCrossEntropy(), logits, labels)

A loss gives each example a term and a weight; `reduce_terms` makes one number of them, the same way
for all. Missing targets (NaN, or a label below 0) have no loss and no gradient. To add an
elementwise loss, write one function of an element: either `Elementwise(function)`, or a dataclass
and a row below.
"""

from __future__ import annotations

from cortex.description import Registry

from .categorical import CategoricalCrossEntropy, NegativeLogLikelihood, SoftmaxCrossEntropy
from .centre import CentreLoss
from .elementwise import (
    BinaryCrossEntropy,
    BinaryCrossEntropyWithLogits,
    Elementwise,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
)
from .penalties import REGULARISERS, L1Regulariser, L2Regulariser, Regulariser
from .reduction import loss_value, reduce_terms

LOSSES = Registry("loss")
register = LOSSES.register
to_data, from_data = LOSSES.to_data, LOSSES.from_data

for _type in (
    MeanSquaredError, MeanAbsoluteError, Huber, BinaryCrossEntropy, BinaryCrossEntropyWithLogits,
    CategoricalCrossEntropy, SoftmaxCrossEntropy, NegativeLogLikelihood, CentreLoss, Elementwise,
):  # fmt: skip
    register(_type)

__all__ = [
    "LOSSES", "REGULARISERS", "BinaryCrossEntropy", "BinaryCrossEntropyWithLogits",
    "CategoricalCrossEntropy", "CentreLoss", "Elementwise", "Huber", "L1Regulariser",
    "L2Regulariser", "MeanAbsoluteError", "MeanSquaredError", "NegativeLogLikelihood", "Regulariser",
    "SoftmaxCrossEntropy", "from_data", "loss_value", "reduce_terms", "register", "to_data",
]  # fmt: skip
