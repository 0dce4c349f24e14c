"""Centre loss: features of one class shall lie near each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cortex.build import Build
from cortex.compute import math as m
from cortex.compute.errors import ShapeError
from cortex.compute.ops import Gather, Reduce, ScatterAdd
from cortex.compute.ops.map import convert
from cortex.compute.ops.reduce import reduce_axes, reshape_to
from cortex.compute.program import Value
from cortex.compute.spec import Spec
from cortex.initialisers import Zeros
from cortex.protocols import Parameter
from cortex.rules import COUNT, NONE, POSITIVE, SHARE, check, either

from .categorical import as_labels
from .reduction import sum_of_examples


@dataclass(frozen=True)
class CentreLoss:
    """|x - c_y|^2 / 2, the distance of the features x [N, ...] from the centre of their class y.

    The centres [classes, ...] follow the features in training: c <- c + alpha (mean of x - c over
    the examples of the class), then, with a `radius`, they are scaled to that length. Wen et al.
    2016, equations 2 to 4 (there the mean is over the count plus 1). Targets are labels [N], or
    one-hot [N, classes]; a label below 0, or NaN, is missing.
    """

    classes: int
    alpha: float = 0.5
    radius: float | None = None

    def __post_init__(self) -> None:
        check(self, classes=COUNT, alpha=SHARE, radius=either(NONE, POSITIVE))

    def parameters(self, output: Spec, target: Spec) -> Mapping[str, Parameter]:
        """Return the centres, which no optimiser changes."""
        return {"centres": Parameter((self.classes, *output.shape[1:]), Zeros(), trainable=False)}

    def terms(
        self, build: Build, output: Value, target: Value, *, centres: Value
    ) -> tuple[Value, Value | None]:
        """Return the loss of each example [N], and 1 where its label is present [N].

        Raises:
            ShapeError: the target is neither labels nor one-hot.
        """
        labels = self._labels(build, output, target)
        rows = m.maximum(labels, 0)
        present = build.map(lambda t: m.where(t >= 0, 1.0, 0.0), labels, dtype=output.dtype)
        wide = reshape_to(build.program, present, (*present.shape, *[1] * (output.spec.rank - 1)))
        difference = m.where(wide > 0, output - build.apply(Gather(), centres, rows), 0.0)
        if build.training:
            build.update(centres, self._moved(build, centres, rows, difference, present))
        return 0.5 * sum_of_examples(build, difference * difference), present

    def _labels(self, build: Build, output: Value, target: Value) -> Value:
        n = output.shape[0]
        if output.spec.is_float and output.spec.rank >= 2:
            if target.shape in ((n,), (n, 1)):
                return reshape_to(build.program, as_labels(build, target), (n,))
            if target.shape == (n, self.classes):
                known = convert(build.program, target, output.dtype)
                missing = build.map(lambda t: m.where(m.isnan(t), 1.0, 0.0), known)
                best = reduce_axes(build.program, "argmax", known, 1)
                lost = reduce_axes(build.program, "sum", missing, 1)
                found: Value = build.map(
                    lambda b, k: m.where(k > 0, -1, b), best, lost, dtype="int32"
                )
                return found
        raise ShapeError(
            f"CentreLoss: expected features [N, ...] of floats and labels [N] or one-hot "
            f"[N, {self.classes}], given {output.spec} and {target.spec}"
        )

    def _moved(
        self, build: Build, centres: Value, rows: Value, difference: Value, present: Value
    ) -> Value:
        collect, ones = ScatterAdd(self.classes), [1] * (centres.spec.rank - 1)
        count = build.across(build.apply(collect, rows, present))
        count = reshape_to(build.program, m.maximum(count, 1.0), (self.classes, *ones))
        pull = build.across(build.apply(collect, rows, difference))
        moved = centres + self.alpha * pull / count
        if self.radius is None:
            return moved
        axes = tuple(range(1, centres.spec.rank))
        norm = m.sqrt(build.apply(Reduce("sum", axes, keep=True), moved * moved))
        return moved * m.where(norm > 0, self.radius / norm, 1.0)  # a centre at 0 has no direction
