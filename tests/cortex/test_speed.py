"""What makes a step fast, counted instead of timed: who runs it, in how many instructions, without allocations."""

from __future__ import annotations

import dataclasses
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest

from cortex import layers, models
from cortex.compiled import NetworkExecutable
from cortex.compute import math as m
from cortex.compute.cpu.native import native
from cortex.executables import inference, training_step
from cortex.network import Network
from cortex.optimise.optimisers import Adam

needs_engine = pytest.mark.skipif(
    native() is None, reason="the native engine is not built: sh scripts/build_native.sh"
)
LENET_STEP = 78  # instructions, all of them when this was written; lower it when a pass saves some
LENET_INFERENCE = 15


def own_relu(x: Any) -> Any:
    return m.where(x > 0, x, 0)


def own_swish(x: Any) -> Any:
    return x / (1 + m.exp(-x))


def own_gelu(x: Any) -> Any:
    return 0.5 * x * (1 + m.erf(x / math.sqrt(2)))


def own_leaky_relu(x: Any) -> Any:
    return m.maximum(x, 0.01 * x)


PAIRS = {
    "relu": (layers.Relu(), own_relu),
    "swish": (layers.Swish(), own_swish),
    "gelu": (layers.Gelu(), own_gelu),
    "leaky_relu": (layers.LeakyRelu(), own_leaky_relu),
}


def step_of(activation: Any) -> NetworkExecutable:
    nodes: list[Any] = [
        ("image", layers.Input(1, 12, 12)),
        layers.Convolution(6, 3),
        layers.MaxPooling(2),
        activation,
    ]
    network = Network([*nodes, layers.Linear(20), activation, layers.Linear(5), layers.Softmax()])
    return training_step(network, optimiser=Adam(), batch_size=8)


@needs_engine
@pytest.mark.parametrize("name", PAIRS)
def test_a_users_activation_takes_the_steps_of_the_built_in_one(name: str) -> None:
    built_in, own = PAIRS[name]
    expected, found = (step_of(a).report for a in (built_in, layers.Activation(own)))
    # one activation follows a product, which can do a relu and its gradient itself, in the form that it knows
    assert len(found.steps) <= len(expected.steps) + 2 * (name == "relu")
    assert "numpy" not in " ".join(found.providers())
    assert found.bytes["state"] == expected.bytes["state"]


@needs_engine
@pytest.mark.parametrize("name", PAIRS)
def test_the_same_formula_compiles_to_the_same_steps(name: str) -> None:
    layer = PAIRS[name][0]
    built_in, own = (
        step_of(a).report for a in (layer, layers.Activation(lambda x: layer.function(x)))
    )
    assert own.steps == relabelled(own, built_in)
    assert own.bytes == built_in.bytes


def relabelled(own: Any, built_in: Any) -> tuple[Any, ...]:
    """Return the steps of one report with the labels of another: nodes are named after their layers."""
    pairs = zip(built_in.steps, own.steps, strict=True)
    return tuple(dataclasses.replace(b, label=o.label) for b, o in pairs)


@needs_engine
@pytest.mark.parametrize(
    "make", [models.lenet, models.lenet_normalised, models.mlp], ids=lambda f: f.__name__
)
def test_nothing_of_a_training_step_runs_in_numpy(make: Any) -> None:
    report = training_step(make(), optimiser=Adam(), batch_size=7, clip=1.0).report
    assert not [s for s in report.steps if "numpy" in s.provider]


@needs_engine
def test_lenet_takes_few_instructions() -> None:
    step = training_step(
        models.lenet(), optimiser=Adam(), batch_size=64, metrics=("correct",), totals=True
    )
    once = inference(models.lenet(), batch_size=64)
    assert instructions(step) <= LENET_STEP
    assert instructions(once) <= LENET_INFERENCE


def instructions(made: NetworkExecutable) -> int:
    return len(made.executable.profile())  # type: ignore[attr-defined]


@needs_engine
def test_running_allocates_nothing() -> None:
    step = step_of(layers.Relu())
    step.write("image", np.zeros((8, 1, 12, 12), np.float32))
    step.run()
    tracemalloc.start()
    try:
        before = tracemalloc.take_snapshot()
        for _ in range(1000):
            step.run()
        after = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    grown = [
        s
        for s in after.compare_to(before, "filename")
        if "tracemalloc" not in s.traceback[0].filename
    ]
    assert sum(s.size_diff for s in grown) < 1024, grown[:5]


def test_siblings_share_the_parameters_in_memory() -> None:
    network = Network([("x", layers.Input(64)), layers.Linear(64), layers.Linear(3)])
    first = inference(network, batch_size=4)
    second = inference(network, batch_size=7, memory=first.memory)
    arrays = [made.executable._buffers.state for made in (first, second)]  # type: ignore[attr-defined]
    assert arrays[0].keys() == arrays[1].keys()
    assert all(np.shares_memory(a, arrays[1][name]) for name, a in arrays[0].items())
