"""Whatever can be traced (a network, a layer, a loss, an op, a function), checked in all that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cortex.build import Build
from cortex.compute.autodiff import gradients
from cortex.compute.backend import Backend, Executable
from cortex.compute.errors import DescriptionError, near
from cortex.compute.ops.random import SEED, STEP
from cortex.compute.program import Op, Program, Value
from cortex.compute.registry import get_backend
from cortex.losses.reduction import loss_value
from cortex.network import Network
from cortex.protocols import Parameter

from .network import NetworkCase
from .parts import VALUE, filled, weighted_sum
from .vector import GradientCheck, GradientError, Vector, check_gradient


def gradient_check(
    subject: Any,
    *inputs: Any,
    backend: str | Backend = "numpy",
    parameters: Mapping[str, Any] | None = None,
    sample_weights: Any = None,
    loss: Any = None,
    target: str | Mapping[str, str] | None = None,
    wrt: Sequence[str] | None = None,
    training: bool = True,
    directions: int = 3,
    step: float = 1e-6,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> dict[str, GradientCheck]:
    """Check the gradients of a network, layer, loss, op or function, with respect to everything.

    The subject is traced in float64. Its outputs are multiplied by random numbers and summed; the
    gradient of that sum is checked with respect to each float input (`input0`, ...) and each
    trainable parameter, by name. A loss takes an output and a target, is reduced to its number, and
    is checked with respect to the output and its own parameters. `parameters` gives some of them
    content; the others get that of their initialiser, moved by a little noise where trainable, so
    that none sits at a kink. Random layers draw the same numbers at every evaluation.

    A network takes its inputs in order, or a mapping of columns, and is checked by the name of each
    float input and parameter, with its own weights and with the penalties of its layers. With a
    `loss` or a `target` (as for `cortex.training_step`) its loss is differentiated instead of its
    outputs, l1 and l2 attributes included; the mapping then holds the targets too. `wrt` limits the
    check to some names.

    Returns the check of each by name.

    Raises:
        GradientError: a gradient is wrong; the message lists all that are.
        DescriptionError: the subject is none of these, or a parameter has an unknown name or shape.
    """
    weights = None if sample_weights is None else np.asarray(sample_weights, np.float64)
    case: _Case | NetworkCase
    if isinstance(subject, Network):
        mapping = len(inputs) == 1 and isinstance(inputs[0], Mapping)
        columns: Any = (
            {n: _array(a) for n, a in inputs[0].items()} if mapping else [_array(a) for a in inputs]
        )
        case = NetworkCase(subject, columns, weights, training, seed, loss, target)
    else:
        case = _Case(subject, [_array(a) for a in inputs], weights, training, seed)
    names = _chosen(case.checked(), wrt)
    contents = case.contents(parameters or {})
    engine = get_backend(backend)
    plain = engine.compile(case.program([]))
    full = engine.compile(case.program(names))
    _write(full, contents)
    _write(plain, contents)
    _run(full, seed)
    results, failures = {}, []
    for name in names:

        def value(x: Vector, name: str = name) -> float:
            plain.write(name, x)
            _run(plain, seed)
            return float(plain.read(VALUE))

        title = f"{type(subject).__name__} with respect to {name}"
        g = full.read(f"gradient.{name}")
        try:
            results[name] = check_gradient(
                value, g, contents[name], directions, step, tolerance, seed, title
            )
        except GradientError as error:
            failures.append(str(error))
        plain.write(name, contents[name])
    if failures:
        raise GradientError("\n".join(failures))
    return results


def _chosen(known: list[str], wrt: Sequence[str] | None) -> list[str]:
    problems = [f"wrt: nothing is named {n!r}{near(n, known)}" for n in wrt or () if n not in known]
    if problems:
        raise DescriptionError("gradient_check", problems)
    return known if wrt is None else list(wrt)


def _array(thing: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(thing)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _write(executable: Executable, contents: Mapping[str, Any]) -> None:
    for name, array in contents.items():
        executable.write(name, array)


def _run(executable: Executable, seed: int) -> None:
    """Run at the same place of the random numbers each time."""
    if SEED in executable.memory.names():
        executable.write(SEED, np.array(seed, np.uint64))
        executable.write(STEP, np.array(0, np.int64))
    executable.run()


class _Case:
    """A subject with the arrays it is checked at, and the programs that evaluate it."""

    def __init__(
        self,
        subject: Any,
        inputs: Sequence[np.ndarray[Any, Any]],
        sample_weights: Any,
        training: bool,
        seed: int,
    ) -> None:
        self.subject, self.inputs, self.training, self.seed = subject, inputs, training, seed
        self.sample_weights = sample_weights
        self.is_loss = hasattr(subject, "terms")
        if not (self.is_loss or hasattr(subject, "forward") or isinstance(subject, Op)):
            if not callable(subject):
                problem = (
                    f"expected a network, a layer, a loss, an op or a function, given {subject!r}"
                )
                raise DescriptionError("gradient_check", [problem])
        if self.is_loss and len(inputs) != 2:
            problem = f"a loss is checked at an output and a target, given {len(inputs)} arrays"
            raise DescriptionError("gradient_check", [problem])
        self.names = (
            ["output", "target"] if self.is_loss else [f"input{i}" for i in range(len(inputs))]
        )
        self.parameters = self._parameters()

    def _parameters(self) -> Mapping[str, Parameter]:
        if not hasattr(self.subject, "parameters"):
            return {}
        scratch = Program()
        values = self._declare(scratch)
        found: Mapping[str, Parameter] = self.subject.parameters(*(v.spec for v in values))
        return found

    def _declare(self, program: Program) -> list[Value]:
        return [
            program.input(name, a.shape, a.dtype.name)
            for name, a in zip(self.names, self.inputs, strict=True)
        ]

    def checked(self) -> list[str]:
        """Names of what is differentiated: float inputs (not targets) and trainable parameters."""
        names = self.names[:1] if self.is_loss else self.names
        floats = [n for n, a in zip(names, self.inputs, strict=False) if a.dtype.kind == "f"]
        return floats + [n for n, p in self.parameters.items() if p.trainable]

    def contents(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the array of each input and parameter by name."""
        problems = [
            f"no parameter is named {n!r}{near(n, self.parameters)}"
            for n in given
            if n not in self.parameters
        ]
        found = filled(self.parameters, given, self.seed, problems)
        if problems:
            raise DescriptionError("gradient_check", problems)
        return {**dict(zip(self.names, self.inputs, strict=True)), **found}

    def program(self, wrt: Sequence[str]) -> Program:
        """Return the program that computes the value and its gradient for each name of `wrt`."""
        program = Program()
        build = Build(program, self.training, "float64")
        values = self._declare(program)
        named = dict(zip(self.names, values, strict=True))
        own = {n: program.input(n, p.shape, "float64") for n, p in self.parameters.items()}
        total = self._value(build, values, own)
        program.output(VALUE, total)
        every = {**named, **own}
        for name, g in zip(wrt, gradients(program, total, [every[n] for n in wrt]), strict=True):
            program.output(f"gradient.{name}", g)
        return program

    def _value(self, build: Build, values: list[Value], own: Mapping[str, Value]) -> Value:
        if self.is_loss:
            weights = None
            if self.sample_weights is not None:
                weights = build.constant(self.sample_weights)
            return loss_value(build, self.subject, values[0], values[1], weights, **own)
        if isinstance(self.subject, Op):
            results = build.apply(self.subject, *values)
        elif hasattr(self.subject, "forward"):
            results = self.subject.forward(build, *values, **own)
        else:
            results = self.subject(*values)
        listed = results if isinstance(results, tuple) else (results,)
        return weighted_sum(build, listed, self.seed)
