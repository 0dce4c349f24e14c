"""From the terms of examples to one number: the only place where losses are averaged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortex.build import Build
from cortex.compute import math as m
from cortex.compute.errors import ShapeError
from cortex.compute.ops.map import convert
from cortex.compute.ops.reduce import reduce_axes
from cortex.compute.program import Value
from cortex.compute.spec import Spec
from cortex.protocols import Loss, Parameter


class WithoutParameters:
    """Base of the losses that have no parameters of their own."""

    def parameters(self, output: Spec, target: Spec) -> Mapping[str, Parameter]:
        """Return none."""
        return {}


def loss_value(
    build: Build,
    loss: Loss,
    output: Value,
    target: Value,
    sample_weights: Value | None = None,
    **parameters: Value,
) -> Value:
    """Return the loss of a batch (0-d): the weighted mean of its terms; see `reduce_terms`.

    Raises:
        ShapeError: output, target or sample weights do not fit the loss.
    """
    terms, weights = loss.terms(build, output, target, **parameters)
    return reduce_terms(build, terms, weights, sample_weights)


def reduce_terms(
    build: Build, terms: Value, weights: Value | None = None, sample_weights: Value | None = None
) -> Value:
    """Return sum(weight * sample weight * term) / sum(weight * sample weight), 0-d.

    `terms`, `weights` and `sample_weights` are [N]; weights are >= 0 and None means all 1. Where
    all weights are 0 (nothing is present) the result is 0 and so is its gradient. Where several
    processes train together, the divisor is that of the whole batch, and the sum of the results of
    all processes is the loss.

    Raises:
        ShapeError: the shapes differ.
    """
    for name, value in (("weights", weights), ("sample_weights", sample_weights)):
        if value is not None and value.shape != terms.shape:
            raise ShapeError(
                f"reduce_terms: expected {name} of shape {terms.shape}, one for each example, "
                f"given {value.spec}"
            )
    given = [
        convert(build.program, w, terms.dtype) for w in (weights, sample_weights) if w is not None
    ]
    if not given:
        count = build.total(terms.spec.size)
        return reduce_axes(build.program, "sum", terms, None) * (1 / max(1, count))
    w = given[0] if len(given) == 1 else given[0] * given[1]
    total = build.across(reduce_axes(build.program, "sum", w, None))
    return reduce_axes(build.program, "sum", w * terms, None) / positive(total)


def positive(total: Value) -> Value:
    """Return a sum of weights as a divisor: 1 in place of 0."""
    divisor: Value = m.where(total > 0, total, 1.0)
    return divisor


def sum_of_examples(build: Build, value: Value) -> Value:
    """Sum a value [N, ...] over all axes but the first."""
    axes: Any = tuple(range(1, value.spec.rank))
    return reduce_axes(build.program, "sum", value, axes) if axes else value
