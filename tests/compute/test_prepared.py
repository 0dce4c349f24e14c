"""What depends on state alone is computed once, and again when somebody changes that state."""

from __future__ import annotations

import numpy as np
import pytest

import cortex
from cortex import layers, models, optimise
from cortex.compute.cpu.backend import CpuBackend
from cortex.compute.program import Program
from cortex.network import Network

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def product() -> Program:
    """y = x scale(w), z = scale(w), where only w is state."""
    program = Program()
    x, w = program.input("x", (4, 3)), program.persistent("w", (3,))
    scale = program.map(lambda w: 1 / (1 + w * w), w)
    program.output("y", x * scale.program.map(lambda s: s + 1, scale))
    program.output("z", scale)
    return program


def test_prepared_work_runs_once_per_change_of_its_state() -> None:
    executable = CpuBackend().compile(product())
    assert executable.report.bytes["prepared"] >= 64
    executable.write("x", X)
    assert len(executable.profile()) == 1  # what is left of a run: one map
    for w in (np.array([1, 2, 3], np.float32), np.array([-1, 0, 5], np.float32)):
        executable.write("w", w)
        for _ in range(2):
            executable.run()
            scale = 1 / (1 + w * w)
            np.testing.assert_allclose(executable.read("z"), scale, rtol=1e-6)
            np.testing.assert_allclose(executable.read("y"), X * (scale + 1), rtol=1e-6)


def test_state_that_the_program_changes_is_not_prepared() -> None:
    program = product()
    program.update("w", program.map(lambda w: w + 1, program.state["w"]))
    executable = CpuBackend().compile(program)
    assert executable.report.bytes["prepared"] == 0
    executable.write("x", X)
    for w in range(3):
        executable.run()
        np.testing.assert_allclose(executable.read("z"), np.full(3, 1 / (1 + w * w)), rtol=1e-6)


def test_an_executable_sees_the_changes_that_another_makes() -> None:
    program = product()
    changing = Program()
    changing.update("w", changing.map(lambda w: w + 1, changing.persistent("w", (3,))))
    backend = CpuBackend()
    reader = backend.compile(program)
    writer = backend.compile(changing, reader.memory)
    reader.write("x", X)
    for w in range(3):
        reader.run()
        np.testing.assert_allclose(reader.read("z"), np.full(3, 1 / (1 + w * w)), rtol=1e-6)
        writer.run()


@pytest.mark.parametrize(
    "network", [models.lenet(), models.lenet_normalised()], ids=["plain", "bn"]
)
def test_inference_follows_training(network: Network) -> None:
    random = np.random.default_rng(1)
    step = cortex.training_step(network, optimiser=optimise.Adam(), batch_size=8, backend="cpu")
    asking = cortex.inference(network, batch_size=2, backend="cpu", memory=step.memory)
    reference = cortex.inference(network, batch_size=2, backend="numpy")
    step.write("image", random.integers(0, 255, (8, 1, 28, 28)).astype(np.uint8))
    step.write("label", random.integers(0, 10, 8))
    images = random.integers(0, 255, (2, 1, 28, 28)).astype(np.uint8)
    for _ in range(2):
        step.run()
        for name in network.parameter_specs:
            reference.write(name, step.read(name))
        for executable in (asking, reference):
            executable.write("image", images)
            executable.run()
        np.testing.assert_allclose(asking.read("output"), reference.read("output"), atol=2e-5)


def test_frozen_layers_are_prepared_in_training_too() -> None:
    network = Network(
        [
            layers.Input(3),
            ("scale", layers.ScaleShift() if hasattr(layers, "ScaleShift") else layers.Linear(3)),
        ]
    )
    assert network
