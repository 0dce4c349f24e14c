"""`Scan`: a body program applied along a sequence, with carried state."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ShapeError
from ..program import Cotangents, Op, Program, Value, Values, inline
from ..spec import Spec
from .movement import Concatenate, Slice
from .reduce import reshape_to


@dataclass(frozen=True, eq=False)
class Scan(Op):
    """Apply `body` at each of `length` positions of the leading axis (from the last to the first if `reverse`).

    The body has inputs in the order carried, sequence elements, constants, and outputs in the order carried, results
    (their names do not matter). Inputs of the op: initial carries; sequences [length, ...]; constants. Outputs: final
    carries; stacked results [length, ...]; stacked carries as they were *before* each position (what the gradient
    needs; free where nobody reads them).
    """

    body: Program
    length: int
    carries: int
    sequences: int
    reverse: bool = False

    @property
    def results(self) -> int:
        """Number of stacked results."""
        return len(self.body.outputs) - self.carries

    def infer(self, *inputs: Spec) -> tuple[Spec, ...]:
        """Carries keep their spec; results gain the leading axis."""
        expected = [v.spec for v in self.body.inputs.values()]
        last = self.carries + self.sequences
        if self.length < 1:
            raise ShapeError(f"Scan: expected a length of at least 1, given {self.length}")
        given = [
            Spec(s.shape[1:], s.dtype) if self.carries <= i < last and s.rank else s
            for i, s in enumerate(inputs)
        ]
        lengths = [s.shape[:1] for s in inputs[self.carries : last]]
        if given != expected or any(n != (self.length,) for n in lengths):
            raise ShapeError(
                f"Scan of length {self.length}: the body takes {', '.join(map(str, expected))} per position, "
                f"given {', '.join(map(str, inputs))}"
            )
        out = [v.spec for v in self.body.outputs.values()]
        for i in range(self.carries):
            if out[i] != expected[i]:
                raise ShapeError(
                    f"Scan: carry {i} enters the body as {expected[i]} and leaves it as {out[i]}"
                )
        stacked = [
            Spec((self.length, *s.shape), s.dtype)
            for s in (*out[self.carries :], *expected[: self.carries])
        ]
        return (*out[: self.carries], *stacked)

    def decompose(self, build: Program, *inputs: Value) -> tuple[Value, ...]:
        """The body, once per position: what a backend without loops runs."""
        n, last = self.carries, self.carries + self.sequences
        carries, constants = list(inputs[:n]), inputs[last:]
        rows: list[list[Value]] = [[] for _ in range(self.results + n)]
        for t in reversed(range(self.length)) if self.reverse else range(self.length):
            elements = [_position(build, v, t) for v in inputs[n:last]]
            before = carries
            out = inline(build, self.body, [*carries, *elements, *constants])
            carries = list(out[:n])
            for row, value in zip(rows, (*out[n:], *before), strict=True):
                row.append(reshape_to(build, value, (1, *value.shape)))
        stacked = [
            build.apply(Concatenate(0), *(row[::-1] if self.reverse else row)) for row in rows
        ]
        return (*carries, *stacked)

    def gradient(
        self, build: Program, inputs: Values, outputs: Values, cotangents: Cotangents
    ) -> Cotangents:
        """A scan the other way over the pulled-back body; gradients of constants are carried sums."""
        from .map import filled

        n, m, c = self.carries, self.sequences, len(inputs) - self.carries - self.sequences
        if any(t is not None for t in cotangents[n + self.results :]):
            raise ShapeError(
                "Scan: the stacked carries are for the gradient; derive from stacked results instead"
            )
        body, slots = _pulled_back(self)

        def seed(k: int, spec: Spec) -> Value:
            given = cotangents[k]
            return given if given is not None else filled(build, 0, spec.shape, spec.dtype)

        floats = [v.spec.is_float for v in inputs]
        carried = [seed(k, outputs[k].spec) for k in range(n) if floats[k]]
        sums = [filled(build, 0, v.shape, v.dtype) for v in inputs[n + m :] if v.spec.is_float]
        results = [
            seed(n + k, outputs[n + k].spec)
            for k in range(self.results)
            if outputs[n + k].spec.is_float
        ]
        before = outputs[n + self.results :]
        op = Scan(
            body, self.length, len(carried) + len(sums), len(results) + n + m, not self.reverse
        )
        flat = build.apply(
            op, *carried, *sums, *results, *before, *inputs[n : n + m], *inputs[n + m :]
        )
        produced = flat if isinstance(flat, tuple) else (flat,)
        gradients: list[Value | None] = [None] * (n + m + c)
        for slot, value in zip(slots, produced, strict=False):
            gradients[slot] = value
        return gradients


def _position(build: Program, value: Value, t: int) -> Value:
    start, stop = (t, *(0 for _ in value.shape[1:])), (t + 1, *value.shape[1:])
    return reshape_to(build, build.apply(Slice(start, stop), value), value.shape[1:])


def _pulled_back(scan: Scan) -> tuple[Program, list[int]]:
    """Return the body of the backward scan and, for each of its outputs, the input of `scan` that it belongs to."""
    from ..autodiff import pull_back
    from .map import filled

    n, m = scan.carries, scan.sequences
    old_in, old_out = list(scan.body.inputs.values()), list(scan.body.outputs.values())
    new = Program(random_count=scan.body.random_count)
    floats = [i for i, v in enumerate(old_in) if v.spec.is_float]
    d_carry = {
        i: new.input(f"d_carry{i}", old_in[i].shape, old_in[i].dtype) for i in floats if i < n
    }
    sums = {i: new.input(f"sum{i}", old_in[i].shape, old_in[i].dtype) for i in floats if i >= n + m}
    d_out = {
        k: new.input(f"d_result{k}", v.shape, v.dtype)
        for k, v in enumerate(old_out) if k >= n and v.spec.is_float
    }  # fmt: skip
    inputs = [new.input(f"in{i}", v.shape, v.dtype) for i, v in enumerate(old_in)]
    outputs = inline(new, scan.body, inputs)
    seeds: dict[Value, Value] = {}
    for k, c in {**d_carry, **d_out}.items():
        target = outputs[k]
        seeds[target] = seeds[target] + c if target in seeds else c
    wrt = [inputs[i] for i in floats]
    gradients = dict(zip(floats, pull_back(new, seeds, wrt, 0), strict=True))

    def zero(i: int) -> Value:
        found = gradients[i]
        return found if found is not None else filled(new, 0, old_in[i].shape, old_in[i].dtype)

    slots = (
        [i for i in floats if i < n]
        + [i for i in floats if i >= n + m]
        + [i for i in floats if n <= i < n + m]
    )
    for i in slots:
        new.output(f"out{i}", sums[i] + zero(i) if i in sums else zero(i))
    return new, slots
