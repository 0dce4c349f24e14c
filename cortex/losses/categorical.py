"""Losses of one class out of K: cross-entropies of logits, probabilities and log-probabilities.

Outputs are [N, K] or [N, K, positions...]; targets are labels [N, positions...] (integers, or
floats that hold them) or distributions over the classes with the shape of the output. A target is
missing where its label is below 0 or NaN, or its distribution holds a NaN. A label of K or above
gives a loss of NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cortex.build import Build
from cortex.compute import math as m
from cortex.compute.errors import ShapeError
from cortex.compute.ops import Gather
from cortex.compute.ops import SoftmaxCrossEntropy as FusedCrossEntropy
from cortex.compute.ops.map import convert
from cortex.compute.ops.reduce import reduce_axes, reshape_to
from cortex.compute.program import Value
from cortex.rules import BELOW_ONE, NONE, NOT_NEGATIVE, POSITIVE, check, either, tuple_of

from .logits import softmax_input
from .reduction import WithoutParameters, positive, sum_of_examples

_WEIGHTS = either(NONE, tuple_of(NOT_NEGATIVE, least=1))
_Formula = Callable[[Build, Value, Value], Value]


@dataclass(frozen=True)
class _Categorical(WithoutParameters):
    """-sum over classes of q log p, where q is the target, smoothed: (1 - s) q + s / K.

    `label_smoothing` is s (Szegedy et al. 2016, section 7). `class_weights` (K numbers) weigh each
    target as a sample weight would: a label by the weight of its class, a distribution by the mean
    of the weights under it. With positions, the term of an example is the weighted mean over its
    present positions, and its weight their mean weight.
    """

    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check(self, label_smoothing=BELOW_ONE, class_weights=_WEIGHTS)

    def _terms(
        self, build: Build, output: Value, target: Value, formula: _Formula
    ) -> tuple[Value, Value]:
        """Return terms [N] and weights [N];

        `formula` maps output and target to [N, positions...].
        """
        q = categorical_target(type(self).__name__, build, output, target)
        if q.spec.is_float:
            missing = build.map(lambda q: m.where(m.isnan(q), 1.0, 0.0), q)
            present = m.equal(reduce_axes(build.program, "sum", missing, 1), 0.0)
            q = build.map(lambda q: m.where(m.isnan(q), 0.0, q), q)
        else:
            present = q >= 0
        terms = m.where(present, formula(build, output, q), 0.0)
        weights = m.where(present, self._class_weight(build, output, q), 0.0)
        weights = convert(build.program, weights, output.dtype)
        if terms.spec.rank == 1:
            return terms, weights
        there = build.map(lambda p: m.where(p, 1.0, 0.0), present, dtype=output.dtype)
        count, total = sum_of_examples(build, there), sum_of_examples(build, weights)
        mean = sum_of_examples(build, weights * terms) / positive(total)
        return mean, total / m.maximum(count, 1.0)

    def _class_weight(self, build: Build, output: Value, q: Value) -> Value | float:
        if self.class_weights is None:
            return 1.0
        classes = output.shape[1]
        if len(self.class_weights) != classes:
            raise ShapeError(
                f"{type(self).__name__}: expected {classes} class_weights, one for each class "
                f"of the output {output.spec}, given {len(self.class_weights)}"
            )
        table = build.constant(np.array(self.class_weights))
        if not q.spec.is_float:
            found: Value = build.apply(Gather(), table, m.maximum(q, 0))
            return found
        table = reshape_to(build.program, table, _along_classes(output))
        return reduce_axes(build.program, "sum", table * q, 1)

    def _of_log(self, build: Build, log_p: Value, q: Value) -> Value:
        """Return -sum of q log p along the classes; a q of 0 counts as 0, even with a p of 0."""
        classes, s = log_p.shape[1], self.label_smoothing
        if not q.spec.is_float:
            numbers = build.constant(
                np.arange(classes, dtype=np.int32).reshape(_along_classes(log_p))
            )
            labels = reshape_to(build.program, q, (q.shape[0], 1, *q.shape[1:]))
            none = float("nan")  # no such class: a wrong label shall be seen, not lost
            q = build.map(
                lambda t, k: m.where(t < classes, m.where(m.equal(t, k), 1.0, 0.0), none),
                labels,
                numbers,
                dtype=log_p.dtype,
            )
        smoothed = q * (1 - s) + s / classes if s else q
        parts = build.map(lambda q, z: m.where(m.equal(q, 0), 0.0, -q * z), smoothed, log_p)
        return reduce_axes(build.program, "sum", parts, 1)


@dataclass(frozen=True)
class SoftmaxCrossEntropy(_Categorical):
    """-sum of q log softmax(x) of the logits x; the gradient is softmax(x) - q."""

    def terms(self, build: Build, output: Value, target: Value) -> tuple[Value, Value | None]:
        """Return the loss of each example [N] and its weight [N].

        Raises:
            ShapeError: the target fits neither labels nor a distribution, or the class weights not
                K.
        """
        fused = FusedCrossEntropy(1, self.label_smoothing)
        return self._terms(build, output, target, lambda b, x, q: b.apply(fused, x, q))


@dataclass(frozen=True)
class NegativeLogLikelihood(_Categorical):
    """-sum of q z of the log-probabilities z, such as a log-softmax gives."""

    def terms(self, build: Build, output: Value, target: Value) -> tuple[Value, Value | None]:
        """Return the loss of each example [N] and its weight [N].

        Raises:
            ShapeError: the target fits neither labels nor a distribution, or the class weights not
                K.
        """
        return self._terms(build, output, target, self._of_log)


@dataclass(frozen=True)
class CategoricalCrossEntropy(_Categorical):
    """-sum of q log p of the probabilities p.

    Where the output is a softmax over the classes, the loss is that of its logits, which loses no
    precision. Else probabilities count as at least `epsilon`.
    """

    epsilon: float = 1e-12

    def __post_init__(self) -> None:
        check(self, label_smoothing=BELOW_ONE, class_weights=_WEIGHTS, epsilon=POSITIVE)

    def terms(self, build: Build, output: Value, target: Value) -> tuple[Value, Value | None]:
        """Return the loss of each example [N] and its weight [N].

        Raises:
            ShapeError: the target fits neither labels nor a distribution, or the class weights not
                K.
        """
        logits = softmax_input(build, output)
        if logits is not None:
            fused = SoftmaxCrossEntropy(self.label_smoothing, self.class_weights)
            return fused.terms(build, logits, target)
        return self._terms(
            build,
            output,
            target,
            lambda b, p, q: self._of_log(b, m.log(m.maximum(p, self.epsilon)), q),
        )


def categorical_target(what: str, build: Build, output: Value, target: Value) -> Value:
    """Return labels [N, positions...] as integers, or a distribution in the spec of the output.

    Raises:
        ShapeError: the target is neither, or the output is not [N, K, ...] floats.
    """
    if not output.spec.is_float or output.spec.rank < 2:
        raise ShapeError(
            f"{what}: expected an output [N, classes, ...] of floats, given {output.spec}"
        )
    if target.shape == output.shape:
        return convert(build.program, target, output.dtype)
    positions = (output.shape[0], *output.shape[2:])
    if target.shape not in (positions, (positions[0], 1, *positions[1:])):
        raise ShapeError(
            f"{what}: for the output {output.spec} expected labels of shape {positions} or a "
            f"distribution of shape {output.shape}, given {target.spec}"
        )
    return reshape_to(build.program, as_labels(build, target), positions)


def as_labels(build: Build, target: Value) -> Value:
    """Return labels as int32 or int64; a NaN among floats becomes -1, which is missing."""
    if target.spec.is_float:
        labels: Value = build.map(lambda t: m.where(m.isnan(t), -1, t), target, dtype="int32")
        return labels
    kind = "int64" if target.dtype in ("int64", "uint64") else "int32"
    return convert(build.program, target, kind)


def _along_classes(output: Value) -> tuple[int, ...]:
    return (1, output.shape[1], *[1] * (output.spec.rank - 2))
