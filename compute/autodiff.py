"""Reverse-mode differentiation: gradients are more ops in the same program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .errors import ShapeError
from .program import Program, Value


def gradients(
    program: Program, loss: Value, wrt: Sequence[Value], seed: Value | None = None
) -> list[Value]:
    """Record and return the gradient of `loss` with respect to each value of `wrt` (zeros where independent).

    `seed` is the cotangent of the loss, ones where omitted; a loss of several elements is differentiated as the
    sum of its elements, each weighted by the seed.

    Raises:
        ShapeError: the loss or a value of `wrt` is not a float, or the seed's shape is not the loss's.
        NotDifferentiable: an op on the way has no gradient.
    """
    from .ops.map import filled

    for v in (loss, *wrt):
        if not v.spec.is_float:
            raise ShapeError(f"gradients: expected float values, given {v!r}")
    if seed is not None and seed.spec != loss.spec:
        raise ShapeError(
            f"gradients: the seed must have the loss's spec {loss.spec}, given {seed.spec}"
        )
    with program.scope("gradient"):
        start = seed if seed is not None else filled(program, 1.0, loss.shape, loss.dtype)
        found = pull_back(program, {loss: start}, wrt, 0)
        return [
            filled(program, 0.0, v.shape, v.dtype) if g is None else g
            for v, g in zip(wrt, found, strict=True)
        ]


def pull_back(
    program: Program, seeds: Mapping[Value, Value], wrt: Sequence[Value], start: int
) -> list[Value | None]:
    """Carry cotangents from the keys of `seeds` to `wrt` through the steps recorded since `start`.

    Returns None for a value on which no seeded value depends. Steps that do not lead from `wrt` are left out, so
    nothing is recorded for gradients that nobody asked for.
    """
    steps = list(program.steps[start:])
    active = set(wrt)
    for step in steps:
        if any(v in active for v in step.inputs):
            active.update(step.outputs)
    cotangent: dict[Value, Value] = dict(seeds)
    label = program.label
    for step in reversed(steps):
        have = [cotangent.get(o) if o in active else None for o in step.outputs]
        if all(c is None for c in have) or not any(v in active for v in step.inputs):
            continue
        program.label = (
            f"{step.label}/gradient"
            if step.label and not step.label.endswith("/gradient")
            else step.label
        )
        for value, g in zip(
            step.inputs, step.op.gradient(program, step.inputs, step.outputs, have), strict=True
        ):
            if g is None or value not in active:
                continue
            cotangent[value] = cotangent[value] + g if value in cotangent else g
    program.label = label
    return [cotangent.get(v) for v in wrt]
