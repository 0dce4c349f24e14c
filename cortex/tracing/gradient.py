"""Gradients of an output, or of the loss, by anything that a network computes with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cortex.compute.autodiff import gradients
from cortex.compute.errors import DescriptionError
from cortex.compute.program import Value
from cortex.network.references import parse

from .forward import Traced, name_outputs, output_value, trace_forward
from .loss import Objective, trace_loss

if TYPE_CHECKING:
    from cortex.network import Network


def trace_gradients(
    network: Network,
    batch: int,
    of: str,
    wrt: Sequence[str],
    *,
    objectives: Sequence[Objective] = (),
    cotangent: bool = False,
    training: bool = False,
) -> Traced:
    """Return the program with outputs `gradient.<name>` for each of `wrt`; see `cortex.gradients`.

    Raises:
        DescriptionError: something of `wrt` is no float.
        NotDifferentiable: an op on the way has no gradient.
    """
    if objectives:
        traced, value, penalty = trace_loss(
            network, batch, objectives, training=training, flat=False
        )
        value = value if penalty is None else value + penalty
    else:
        traced = trace_forward(network, batch, training)
        value = output_value(traced, of)
        name_outputs(traced)
        if of not in traced.program.outputs:
            traced.program.output(of, value)
    seed = traced.program.input("cotangent", value.shape, value.dtype) if cotangent else None
    variables = [_variable(traced, name) for name in wrt]
    problems = [
        f"wrt: {name!r} holds {v.spec}, and only floats have gradients; name a node behind it"
        for name, v in zip(wrt, variables, strict=True)
        if not v.spec.is_float
    ]
    if problems:
        raise DescriptionError("gradients", problems)
    found = gradients(traced.program, value, variables, seed)
    for name, gradient in zip(wrt, found, strict=True):
        traced.program.output(f"gradient.{name}", gradient)
    return traced


def _variable(traced: Traced, name: str) -> Value:
    inputs = traced.program.inputs
    if name in inputs and inputs[name].spec.is_float:
        return inputs[name]
    return traced.forward.used[name] if parse(name).parameter else output_value(traced, name)
