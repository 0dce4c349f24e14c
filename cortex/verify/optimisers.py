"""Every optimiser: traced on the backend against the same definition computed eagerly; goldens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cortex.compute import math as m
from cortex.compute.backend import Backend
from cortex.compute.program import Program
from cortex.compute.verify import Check, checking, close, equal, within
from cortex.compute.verify.golden import load
from cortex.description import short
from cortex.executables import gradients, training_step
from cortex.layers import Input, Linear, Relu, Softmax
from cortex.losses import MeanSquaredError
from cortex.network import Network
from cortex.optimise.optimisers import (
    OPTIMISERS,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AmsGrad,
    Lion,
    Nadam,
    RmsProp,
    Sgd,
)
from cortex.optimise.schedules import Cosine, ExponentialDecay, Piecewise, WarmUp
from cortex.optimise.trace import record
from cortex.protocols import Optimiser

COUNT, STEPS = 37, 20

# To cover a new optimiser, add a row; every setting that changes the formula has one.
ROWS: tuple[Optimiser, ...] = (
    Sgd(0.03),
    Sgd(0.03, 0.7),
    Sgd(0.03, 0.7, nesterov=True),
    Sgd(ExponentialDecay(0.1, 0.5, 5), ExponentialDecay(0.9, 0.9)),
    Adagrad(0.05, 1e-6, 0.2),
    Adadelta(),
    Adadelta(0.8, 1e-4, 0.5),
    RmsProp(0.02, 0.8),
    RmsProp(0.02, 0.8, momentum=0.5),
    RmsProp(0.02, 0.8, momentum=0.5, centred=True),
    Adam(0.03),
    Adam(WarmUp(Cosine(0.05, 12), 4), 0.8, 0.95),
    AdamW(0.03, weight_decay=Piecewise((0.1, 0.0), (10,))),
    AmsGrad(0.03, 0.8, 0.95),
    Nadam(0.03),
    Lion(0.003),
    Lion(0.003, weight_decay=0.1),
)


def uncovered() -> list[str]:
    """Return the registered optimisers of cortex that no row of the table has."""
    ours = {n for n, t in OPTIMISERS.types.items() if t.__module__.startswith("cortex.optimise")}
    return sorted(ours - {type(o).__name__ for o in ROWS})


def checks_of(rows: Iterable[Optimiser]) -> list[Check]:
    """Return the checks of each optimiser; those of your own are welcome."""
    return [
        Check(f"optimiser/{short(o)}/{dtype}", _trace(o, dtype), needs=("float64", dtype))
        for o in rows
        for dtype in ("float32", "float64")
    ]


def slope(x: Any) -> Any:
    """Return the gradient of sum of sin(3 x) + x^2: of both signs, steep and flat."""
    return 3 * m.cos(3 * x) + 2 * x


def traced(
    optimiser: Optimiser, gradient: Callable[[Any], Any], count: int, dtype: str = "float64"
) -> tuple[Program, list[str]]:
    """Return the program of one step on the state `x`, and the names of the optimiser's own state."""
    p = Program()
    x = p.persistent("x", (count,), dtype)
    state = {
        name: p.persistent(name, entry.shape, dtype if entry.ndim else "float64")
        for name, entry in optimiser.initialise(count).items()
    }
    moved, new = record(p, optimiser, x, p.map(gradient, x), state)
    p.update("x", moved)
    for name, value in new.items():
        p.update(name, value)
    return p, list(state)


def _trace(optimiser: Optimiser, dtype: str) -> Callable[[Backend], None]:
    """Parameters and all state after each of 20 steps, as the eager definition has them."""

    def check(backend: Backend) -> None:
        x = np.random.default_rng(3).standard_normal(COUNT).astype(dtype).astype(np.float64)
        state = dict(optimiser.initialise(COUNT))
        program, names = traced(optimiser, slope, COUNT, dtype)
        executable = backend.compile(program)
        for name, content in (("x", x), *state.items()):
            executable.write(name, content)
        for number in range(1, STEPS + 1):
            executable.run()
            x, state = optimiser.update(state, x, slope(x))
            # an error of one step is carried into the next, and may grow by the curvature of 11
            tolerance = 1e-11 if dtype == "float64" else 1e-4
            close(
                f"{short(optimiser)}: parameters after {number}", executable.read("x"), x, tolerance
            )
            for name in names:
                what = f"{short(optimiser)}: {name} after {number}"
                close(what, executable.read(name), np.asarray(state[name]), tolerance)

    return check


CHECKS: list[Check] = checks_of(ROWS)

_MADE: dict[str, Callable[..., Optimiser]] = {
    "sgd": lambda learning_rate: Sgd(learning_rate),
    "adadelta": lambda old_weight, epsilon: Adadelta(old_weight, epsilon),
    "adam": lambda step_size, beta1, beta2, epsilon: Adam(step_size, beta1, beta2, epsilon),
}
GOLDENS = {e["name"]: e for e in load("optimisers")}


def _golden(name: str) -> tuple[dict[str, Any], Any]:
    entry = GOLDENS[name]
    return entry, _MADE[entry["optimiser"]](**entry["arguments"])


def _one_step(name: str) -> Callable[[Backend], None]:
    def check(backend: Backend) -> None:
        entry, optimiser = _golden(name)
        g = np.array(entry["gradient"], np.float64)
        p = Program()
        x, slopes = p.persistent("x", (3,), "float64"), p.input("g", (3,), "float64")
        start = dict(optimiser.initialise(3)) | entry.get("state", {})
        state = {n: p.persistent(n, np.shape(a), "float64") for n, a in start.items()}
        moved, new = record(p, optimiser, x, slopes, state)
        for n, value in {"x": moved, **new}.items():
            p.update(n, value)
        executable = backend.compile(p)
        for n, a in {"x": entry["parameters"], "g": g, **start}.items():
            executable.write(n, a)
        executable.run()
        limit = entry["tolerance"]
        within(name, executable.read("x"), entry["result"], limit)
        for n, a in entry.get("new_state", {}).items():
            # the file has ten digits
            within(f"{name}: {n}", executable.read(n), a, limit * max(1.0, np.abs(a).max()))

    return check


CHECKS += [
    Check(f"golden optimiser/{name}", _one_step(name), needs=("float64",))
    for name in ("sgd, one step", "adadelta, one step", "adam, one step")
]


@checking(CHECKS, "golden optimiser/adam, De Jong", needs=("float64",))
def adam_de_jong(backend: Backend) -> None:
    """Nineteen steps; a second buffer in the same program, that nobody updates, does not move."""
    entry, optimiser = _golden("adam, De Jong")
    program, _ = traced(optimiser, lambda x: 2 * x, 4)
    program.persistent("bystander", (4,), "float64")
    executable = backend.compile(program)
    executable.write("x", entry["start"])
    executable.write("bystander", entry["start"])
    for number, wanted in enumerate(entry["steps"], 1):
        executable.run()
        within(f"step {number}", executable.read("x"), wanted, 1e-12)
    equal("the second buffer", executable.read("bystander"), np.array(entry["start"], np.float64))


@checking(CHECKS, "golden optimiser/adadelta of a network", needs=("float64",))
def network_adadelta(backend: Backend) -> None:
    """Ten equal examples through a linear layer: outputs, gradients, and one step of ADADELTA.

    The original's loss is half the sum of squares of an example, ours the mean of squares over two
    outputs: its gradient is the same.
    """
    entry, optimiser = _golden("adadelta, one step of a network")
    network = Network([("x", Input(2)), ("linear", Linear(2))], dtype="float64").with_parameters(
        {"linear.weights": entry["weights"], "linear.bias": entry["bias"]}
    )
    columns = {
        "x": entry["inputs"],
        "label": np.tile(np.array(entry["target"], np.float64), (10, 1)),
    }
    wrt = ["linear.weights", "linear.bias", "x"]
    probe = gradients(
        network, wrt=wrt, of="loss", loss=MeanSquaredError(), batch_size=10, backend=backend
    )
    step = training_step(
        network, optimiser=optimiser, loss=MeanSquaredError(), batch_size=10, backend=backend
    )
    for made in (probe, step):
        for name, array in columns.items():
            made.write(name, array)
        made.run()
    limit = entry["tolerance"]
    within("outputs", probe.read("linear"), np.tile(entry["outputs"], (10, 1)), limit)
    sums = [10 * probe.read(f"gradient.{n}").ravel() for n in wrt[:2]]
    within("weight gradient, summed", sums[0], entry["weight_gradient_sum"], limit)
    within("bias gradient, summed", sums[1], entry["bias_gradient_sum"], limit)
    within("input gradient", 10 * probe.read("gradient.x")[0], entry["input_gradient"], limit)
    within("weights", step.read("linear.weights").ravel(), entry["new_weights"], limit)
    within("bias", step.read("linear.bias"), entry["new_bias"], limit)


def _convnetjs() -> tuple[dict[str, Any], Any, Network]:
    entry, optimiser = _golden("ConvNetJS 2-2-2")
    layers = [("x", Input(2)), ("one", Linear(2)), Relu(), ("two", Linear(2)), Softmax()]
    arrays = {
        "one.weights": entry["weights1"], "one.bias": entry["bias1"],
        "two.weights": entry["weights2"], "two.bias": entry["bias2"],
    }  # fmt: skip
    return entry, optimiser, Network(layers, dtype="float64").with_parameters(arrays)


@checking(CHECKS, "golden optimiser/ConvNetJS", needs=("float64",))
def convnetjs(backend: Backend) -> None:
    """A 2-2-2 network beside the log of ConvNetJS: output, gradients of a point and of ten, a step.

    Its softmax passed the gradient of the loss (p - target) on unchanged, as the fused cross-entropy
    does; so the loss is that. It logs the second layer's gradients up to sign.
    """
    from cortex.losses import CategoricalCrossEntropy

    entry, optimiser, network = _convnetjs()
    points, names = (
        np.array(entry["inputs"]),
        ("one.weights", "one.bias", "two.weights", "two.bias"),
    )
    loss, limit = CategoricalCrossEntropy(), entry["tolerance"]
    for count, wanted in ((1, entry["first_gradients"]), (10, entry["sum_of_gradients"])):
        made = gradients(
            network, wrt=names, of="loss", loss=loss, batch_size=count, backend=backend
        )
        made.write("x", points[:count])
        made.write("label", np.ones(count, np.int32))
        made.run()
        if count == 1:
            out = made.read("output")[0]
            within("first output", out, entry["first_output"], entry["first_output_tolerance"])
        w1, b1, w2, b2 = (count * made.read(f"gradient.{n}") for n in names)
        within(f"dW1 of {count}", w1.ravel(), wanted["weights1"], limit)
        within(f"db1 of {count}", b1, wanted["bias1"], limit)
        within(f"dW2 of {count}", np.abs(w2), np.tile(wanted["weights2_up_to_sign"], (2, 1)), limit)
        within(f"db2 of {count}", np.abs(b2), [wanted["bias2_up_to_sign"]] * 2, limit)
    step = training_step(network, optimiser=optimiser, loss=loss, batch_size=10, backend=backend)
    step.write("x", points)
    step.write("label", np.ones(10, np.int32))
    step.run()
    after, logged = entry["after_one_step"], entry["logged_after_one_step"]
    within("W1 after a step", step.read("one.weights").ravel(), after["weights1"], 1e-6)
    within("W1 after a step, logged", step.read("one.weights").ravel(), logged["weights1"], limit)
    within("b1 after a step, logged", step.read("one.bias"), logged["bias1"], limit)
