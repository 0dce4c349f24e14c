"""One training step as a program: loss, gradient, clipping, optimiser, constraints, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex.compute.autodiff import gradients
from cortex.compute.errors import ShapeError
from cortex.compute.expression import symbol
from cortex.compute.ops import Map
from cortex.compute.ops.all_reduce import all_reduce_together
from cortex.compute.ops.reduce import reshape_to
from cortex.compute.program import Program, Value
from cortex.optimise.constraints import clip_by_global_norm, clip_by_value, max_norm
from cortex.optimise.trace import PARAMETERS, Trace, trace
from cortex.parameters import Group
from cortex.protocols import Optimiser

from .forward import Traced
from .loss import Objective, trace_loss
from .scaling import LossScale, Scaling

if TYPE_CHECKING:
    from cortex.network import Network


@dataclass(frozen=True)
class Clip:
    """Limits of the gradient: of the length of all of it together, and of each element, in this order."""

    norm: float | None = None
    value: float | None = None


def trace_training(
    network: Network,
    batch: int,
    objectives: Sequence[Objective],
    optimiser: Optimiser,
    *,
    clip: Clip | None = None,
    loss_scale: LossScale | None = None,
    **options: Any,
) -> Traced:
    """Return the program of one training step; see `cortex.tracing` for what it does."""
    traced, loss, penalty = trace_loss(network, batch, objectives, training=True, **options)
    program, forward = traced.program, traced.forward
    groups = [g for g in traced.layout.groups if g.is_trained]
    if not groups:
        raise ShapeError(
            "training_step: every parameter is frozen, there is nothing to train; unfreeze some"
        )
    views = [forward.own(slot.name) for g in groups for slot in g.slots]
    scaling = None if loss_scale is None else Scaling(traced, loss_scale)
    seed = None if scaling is None else scaling.seed(loss)
    found = iter(gradients(program, loss, views, seed))
    with program.scope("gradient"):
        joined = [g.join(program, [next(found) for _ in g.slots]) for g in groups]
        if traced.build.share is not None:
            joined = all_reduce_together(program, joined)
    if scaling is not None:
        with program.scope("loss scale"):
            joined = scaling.divided(joined)
    if penalty is not None:
        paying = [k for k, g in enumerate(groups) if g.treatment.l1 or g.treatment.l2]
        extra = gradients(program, penalty, [program.state[groups[k].state] for k in paying])
        for k, more in zip(paying, extra, strict=True):
            joined[k] = joined[k] + more
    with program.scope("clip"):
        joined = _clipped(traced, joined, clip or Clip())
    with program.scope("optimiser"):
        steps = _optimise(traced, optimiser, groups, joined)
    for g, new in zip(groups, steps, strict=True):
        with program.scope("max_norm"):
            program.update(g.state, _constrained(program, g, new))
    for statistic, value in traced.build.statistics.items():
        program.update(statistic.name, value)
    if scaling is not None:
        with program.scope("loss scale"):
            scaling.finish()
    return traced


def _clipped(traced: Traced, joined: list[Value], clip: Clip) -> list[Value]:
    if clip.norm is not None:
        shorter, norm = clip_by_global_norm(traced.program, joined, clip.norm)
        traced.program.output("gradient.norm", norm)
        joined = list(shorter)
    if clip.value is not None:
        joined = [clip_by_value(traced.program, g, clip.value) for g in joined]
    return joined


def _optimise(
    traced: Traced, optimiser: Optimiser, groups: Sequence[Group], joined: Sequence[Value]
) -> list[Value]:
    """Record the optimiser: one pass over its scalars, one over each group; return the groups' new content."""
    program, dtype = traced.program, traced.network.dtype
    t = trace(optimiser)
    start = optimiser.initialise(1)
    scalars = [program.persistent(f"optimiser.{n}", (), "float64") for n in t.scalars]
    traced.numbers |= {f"optimiser.{n}": np.asarray(start[n], "float64") for n in t.scalars}
    small: tuple[Value, ...] = ()
    if t.scalar_updates or t.coefficients:
        dtypes = ("float64",) * len(t.scalars) + (dtype,) * len(t.coefficients)
        small = _several(program.apply(Map((*t.scalar_updates, *t.coefficients), dtypes), *scalars))
    for name, value in zip(t.scalars, small, strict=False):
        program.update(f"optimiser.{name}", value)
    moved = []
    for g, gradient in zip(groups, joined, strict=True):
        number = g.state.removeprefix("parameters.")
        names = {n: f"optimiser.{number}.{n}" for n in t.vectors}
        state = [program.persistent(full, (g.size,), dtype) for full in names.values()]
        initial = optimiser.initialise(g.size)
        traced.numbers |= {full: np.asarray(initial[n], dtype) for n, full in names.items()}
        op = Map(_expressions(t, g.treatment.learning_rate_factor), (dtype,) * (1 + len(t.vectors)))
        operands = [program.state[g.state], gradient, *state, *small[len(t.scalars) :]]
        new, *vectors = _several(program.apply(op, *operands))
        for full, value in zip(names.values(), vectors, strict=True):
            program.update(full, value)
        moved.append(new)
    return moved


def _expressions(t: Trace, factor: float) -> tuple[Any, ...]:
    """Return the updates of a pass over vectors, the step of the parameters scaled by `factor`."""
    found = dict(zip(t.outputs, t.vector_updates, strict=True))
    old = symbol(t.inputs.index(PARAMETERS))
    if factor != 1:
        found[PARAMETERS] = old + factor * (found[PARAMETERS] - old)
    return tuple(found.values())


def _constrained(program: Program, g: Group, flat: Value) -> Value:
    limit = g.treatment.max_norm
    if limit is None:
        return flat
    pieces = []
    for slot, piece in zip(g.slots, g.pieces(program, flat), strict=True):
        rows = piece if len(slot.shape) > 1 else reshape_to(program, piece, (1, slot.size))
        pieces.append(reshape_to(program, max_norm(program, rows, limit), slot.shape))
    return g.join(program, pieces)


def _several(results: Any) -> tuple[Value, ...]:
    return results if isinstance(results, tuple) else (results,)
