"""Optimisers against historical values: single steps, a path, steps of networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cortex.compute.backend import Backend
from cortex.compute.program import Program
from cortex.compute.verify import Check, checking, equal, within
from cortex.compute.verify.golden import load
from cortex.executables import gradients, training_step
from cortex.layers import Input, Linear, Relu, Softmax
from cortex.losses import CategoricalCrossEntropy, MeanSquaredError
from cortex.network import Network
from cortex.optimise.optimisers import Adadelta, Adam, Sgd
from cortex.optimise.trace import record
from cortex.protocols import Optimiser

from .optimisers import traced

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


CHECKS: list[Check] = [
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
