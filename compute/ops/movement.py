"""Movement: ops that copy elements and compute nothing. Backends serve most of them by views."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ShapeError
from ..program import Cotangents, Op, Program, Value, Values
from ..spec import Shape, Spec


@dataclass(frozen=True)
class Reshape(Op):
    """The same elements, row-major, in another shape."""

    shape: Shape

    def infer(self, x: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """The number of elements stays."""
        result = Spec(self.shape, x.dtype)
        if result.size != x.size:
            raise ShapeError(
                f"Reshape: {x} has {x.size} elements, the shape {self.shape} asks for {result.size}"
            )
        return (result,)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Reshape back."""
        c = cotangents[0]
        return (None if c is None else build.apply(Reshape(inputs[0].shape), c),)


@dataclass(frozen=True)
class Transpose(Op):
    """Axis i of the result is axis `axes[i]` of the input."""

    axes: tuple[int, ...]

    def infer(self, x: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """Permute the extents."""
        if sorted(self.axes) != list(range(x.rank)):
            raise ShapeError(
                f"Transpose: axes {self.axes} must be a permutation of 0..{x.rank - 1} for {x}"
            )
        return (Spec(tuple(x.shape[a] for a in self.axes), x.dtype),)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Permute back."""
        c = cotangents[0]
        inverse = tuple(self.axes.index(i) for i in range(len(self.axes)))
        return (None if c is None else build.apply(Transpose(inverse), c),)


@dataclass(frozen=True)
class Slice(Op):
    """Elements `start[i]` up to, not including, `stop[i]` by `step[i]` (all 1 where omitted) along each axis i."""

    start: tuple[int, ...]
    stop: tuple[int, ...]
    step: tuple[int, ...] = ()

    def infer(self, x: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """Extents ceil((stop - start) / step)."""
        steps = self.steps
        if not len(self.start) == len(self.stop) == len(steps) == x.rank:
            raise ShapeError(
                f"Slice: start {self.start}, stop {self.stop}, step {steps} need one entry per axis of {x}"
            )
        for axis, (a, b, s, n) in enumerate(
            zip(self.start, self.stop, steps, x.shape, strict=True)
        ):
            if not (0 <= a <= b <= n and s > 0):
                raise ShapeError(
                    f"Slice: {a}:{b}:{s} leaves axis {axis} of extent {n} in {x}, or has a step below 1"
                )
        shape = tuple(
            -(-(b - a) // s) for a, b, s in zip(self.start, self.stop, steps, strict=True)
        )
        return (Spec(shape, x.dtype),)

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps, with the default filled in."""
        return self.step or (1,) * len(self.start)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Put the cotangent back among zeros."""
        c = cotangents[0]
        if c is None:
            return (None,)
        rest = []
        for n, a, s, m in zip(inputs[0].shape, self.start, self.steps, c.shape, strict=True):
            rest.append(n - a - ((m - 1) * s + 1 if m else 0))
        return (build.apply(Pad(self.start, tuple(rest), tuple(s - 1 for s in self.steps)), c),)


@dataclass(frozen=True)
class Pad(Op):
    """Put `low[i]` cells before, `high[i]` after and `interior[i]` between the elements of axis i, all `value`."""

    low: tuple[int, ...]
    high: tuple[int, ...]
    interior: tuple[int, ...] = ()
    value: float = 0.0

    def infer(self, x: Spec) -> tuple[Spec, ...]:  # type: ignore[override]
        """Extents low + n + (n - 1) interior + high."""
        between = self.between
        if not len(self.low) == len(self.high) == len(between) == x.rank:
            raise ShapeError(
                f"Pad: low {self.low}, high {self.high} and interior {between} need one entry per axis of {x}"
            )
        if any(n < 0 for n in (*self.low, *self.high, *between)):
            raise ShapeError(
                f"Pad: low {self.low}, high {self.high} and interior {between} must not be negative"
            )
        shape = tuple(
            a + n + max(0, n - 1) * i + b
            for a, n, i, b in zip(self.low, x.shape, between, self.high, strict=True)
        )
        return (Spec(shape, x.dtype),)

    @property
    def between(self) -> tuple[int, ...]:
        """The interior padding, with the default filled in."""
        return self.interior or (0,) * len(self.low)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Take the elements out again."""
        c = cotangents[0]
        if c is None:
            return (None,)
        step = tuple(i + 1 for i in self.between)
        stop = tuple(
            a + ((n - 1) * s + 1 if n else 0)
            for a, n, s in zip(self.low, inputs[0].shape, step, strict=True)
        )
        return (build.apply(Slice(self.low, stop, step), c),)


@dataclass(frozen=True)
class Concatenate(Op):
    """Join inputs along `axis`; their other extents are equal."""

    axis: int

    def infer(self, *inputs: Spec) -> tuple[Spec, ...]:
        """The extents along the axis add up."""
        if not inputs:
            raise ShapeError("Concatenate: expected at least one input, given none")
        first = inputs[0]
        if not 0 <= self.axis < first.rank:
            raise ShapeError(f"Concatenate: axis {self.axis} is not among the axes of {first}")
        for s in inputs[1:]:
            others = [n for i, n in enumerate(s.shape) if i != self.axis]
            if s.dtype != first.dtype or others != [
                n for i, n in enumerate(first.shape) if i != self.axis
            ]:
                listed = ", ".join(map(str, inputs))
                raise ShapeError(
                    f"Concatenate along axis {self.axis}: the other extents and dtypes differ: {listed}"
                )
        total = sum(s.shape[self.axis] for s in inputs)
        return (
            Spec((*first.shape[: self.axis], total, *first.shape[self.axis + 1 :]), first.dtype),
        )

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """Slice the cotangent."""
        c = cotangents[0]
        if c is None:
            return [None] * len(inputs)
        pieces: list[Value | None] = []
        offset = 0
        for v in inputs:
            start, stop = [0] * c.spec.rank, list(c.shape)
            start[self.axis], stop[self.axis] = offset, offset + v.shape[self.axis]
            pieces.append(build.apply(Slice(tuple(start), tuple(stop)), c))
            offset += v.shape[self.axis]
        return pieces
