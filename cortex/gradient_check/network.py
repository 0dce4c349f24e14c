"""A whole network as the subject of a check: its outputs, or its loss, by its inputs and parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cortex.compute.autodiff import gradients
from cortex.compute.errors import DescriptionError, near
from cortex.compute.program import Program, Value
from cortex.compute.spec import Spec
from cortex.network import Network
from cortex.objectives import objectives
from cortex.tracing import SAMPLE_WEIGHT, Objective, Traced, output_value, trace_forward, trace_loss

from .parts import VALUE, filled, weighted_sum

Arrays = dict[str, np.ndarray[Any, Any]]


class NetworkCase:
    """A network in float64 with the columns it is checked at, and the programs that evaluate it."""

    def __init__(
        self,
        network: Network,
        columns: Sequence[np.ndarray[Any, Any]] | Arrays,
        sample_weights: Any,
        training: bool,
        seed: int,
        loss: Any,
        target: Any,
    ) -> None:
        self.network, self.training, self.seed = network.with_dtype("float64"), training, seed
        self.columns = self._columns(columns)
        self.batch = len(next(iter(self.columns.values())))
        self.aims: list[Objective] = []
        if loss is not None or target is not None:
            problems: list[str] = []
            specs = {n: Spec(a.shape[1:], a.dtype.name) for n, a in self.columns.items()}
            self.aims = objectives(self.network, loss, target or "label", specs, problems)
            if problems:
                raise DescriptionError("gradient_check", problems)
        self.weighted = bool(self.aims) and sample_weights is not None
        if self.weighted:
            self.columns[SAMPLE_WEIGHT] = sample_weights
        scratch, _ = self._trace()
        self.loss_parameters = scratch.initial
        self._check_columns(scratch)

    def _columns(self, given: Sequence[np.ndarray[Any, Any]] | Arrays) -> Arrays:
        if isinstance(given, Mapping):
            return dict(given)
        names = list(self.network.inputs)
        if len(given) != len(names):
            problem = (
                f"the network reads {', '.join(names)}, given {len(given)} arrays; "
                "a mapping by column says which is which"
            )
            raise DescriptionError("gradient_check", [problem])
        return dict(zip(names, given, strict=True))

    def _check_columns(self, traced: Traced) -> None:
        wanted = traced.program.inputs
        problems = [
            f"no column is named {n!r}{near(n, wanted)}" for n in self.columns if n not in wanted
        ]
        problems += [f"the column {n!r} is missing" for n in wanted if n not in self.columns]
        problems += [
            f"column {n!r}: expected {v.shape}, given {self.columns[n].shape}"
            for n, v in wanted.items()
            if n in self.columns and self.columns[n].shape != v.shape
        ]
        if problems:
            raise DescriptionError("gradient_check", problems)

    def checked(self) -> list[str]:
        """Names of what is differentiated: float inputs and columns, and trainable parameters."""
        n, loss = self.network, self.loss_parameters
        floats = [name for name, spec in n.inputs.items() if spec.is_float]
        owned = {**n.shapes.owned, **loss}
        return [*floats, *n.shapes.columns, *(name for name, p in owned.items() if p.trainable)]

    def contents(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the array of each column and parameter by name; those not given are the network's."""
        network = self.network.with_parameters(
            {n: a for n, a in given.items() if n not in self.loss_parameters}
        )
        own = {n: a for n, a in given.items() if n in self.loss_parameters}
        problems: list[str] = []
        of_loss = filled(self.loss_parameters, own, self.seed, problems)
        if problems:
            raise DescriptionError("gradient_check", problems)
        return {**self.columns, **network.parameters, **of_loss}

    def program(self, wrt: Sequence[str]) -> Program:
        """Return the program that computes the value and its gradient for each name of `wrt`."""
        traced, total = self._trace()
        program = traced.program
        variables = [
            program.inputs[n] if n in program.inputs else traced.forward.own(n) for n in wrt
        ]
        program.output(VALUE, total)
        for name, g in zip(wrt, gradients(program, total, variables), strict=True):
            program.output(f"gradient.{name}", g)
        return program

    def _trace(self) -> tuple[Traced, Value]:
        if self.aims:
            traced, total, penalty = trace_loss(
                self.network, self.batch, self.aims,
                training=self.training, sample_weight=self.weighted, flat=False,
            )  # fmt: skip
            return traced, total if penalty is None else total + penalty
        traced = trace_forward(self.network, self.batch, self.training)
        results = [output_value(traced, name) for name in self.network.outputs]
        total = weighted_sum(traced.build, results, self.seed)
        for penalty in traced.build.penalties:
            total = total + penalty
        return traced, total
