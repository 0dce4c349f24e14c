"""cortex."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from harness import STEPS_CHECKED, Contender, Settings
from networks import Batch, Workload

import cortex
from cortex.losses import SoftmaxCrossEntropy
from cortex.network import Network
from cortex.optimise.optimisers import Adam, Sgd

OPTIMISERS = {"adam": Adam(0.001), "sgd": Sgd(0.01, momentum=0.9)}


def each(settings: Settings, make: Callable[..., Contender], *given: Any) -> list[Contender]:
    """Return what `make(*given, name=..)` compiles: for this processor, then for the instruction sets asked for."""
    made = [make(*given, name="cortex")]
    for isa in settings.isas:
        with forced(isa):
            made.append(make(*given, name=f"cortex {isa}"))
    return made


@contextmanager
def forced(isa: str) -> Iterator[None]:
    """Compile for an instruction set of the engine.

    Raises:
        SystemExit: there is no engine, or this processor does not have the instructions.
    """
    from cortex.compute.cpu.native import native

    engine = native()
    if engine is None:
        raise SystemExit(f"--isa {isa}: the compiled engine is missing")
    before = engine.isa()
    try:
        engine.set_isa(isa)
    except ValueError as error:
        raise SystemExit(f"--isa {isa}: {error}") from None
    try:
        yield
    finally:
        engine.set_isa(before)


def training_step(
    workload: Workload, size: int, network: Network | None = None, backend: Any = None
) -> Any:
    """Return the executable of a training step."""
    network = workload.network if network is None else network
    optimiser = OPTIMISERS[workload.optimiser]
    return cortex.training_step(
        network,
        optimiser=optimiser,
        batch_size=size,
        loss=SoftmaxCrossEntropy(),
        backend=backend,
    )


def training(
    workload: Workload, batch: Batch, activation: Any = None, name: str = "cortex"
) -> Contender:
    """Return the training step; `activation` stands in place of relu."""
    network = None if activation is None else workload.with_activation(activation)
    step = training_step(workload, len(batch.labels), network)
    labels = batch.labels.astype(np.int32)

    def run(count: int) -> None:
        for _ in range(count):
            step.write("image", batch.images)
            step.write("label", labels)
            step.run()

    def once() -> float:
        run(1)
        return float(step.read("loss"))

    losses = lambda: [once() for _ in range(STEPS_CHECKED)]  # noqa: E731
    return Contender(name, run, losses, step.program)


def resident_training(workload: Workload, batch: Batch, backend: Any) -> tuple[Any, Contender]:
    """Return the executable of a training step whose batch lies on the device of `backend`, and its contender."""
    step = training_step(workload, len(batch.labels), backend=backend)
    step.write("image", batch.images)
    step.write("label", batch.labels.astype(np.int32))

    def once() -> float:
        step.run()
        return float(step.read("loss"))

    losses = lambda: [once() for _ in range(STEPS_CHECKED)]  # noqa: E731
    return step, Contender("cortex", step.executable.run, losses, step.program)


def inference(workload: Workload, images: np.ndarray, name: str = "cortex") -> Contender:
    """Return the inference of a batch."""
    once = cortex.inference(workload.network, batch_size=len(images))

    def run(count: int) -> Any:
        for _ in range(count):
            once.write("image", images)
            once.run()
            y = once.read("output")
        return y

    return Contender(name, run, lambda: run(1), once.program)


def adam(gradient: np.ndarray, name: str = "cortex") -> Contender:
    """Return Adam's update of as many parameters as the gradient has, and nothing else."""
    from cortex.compute import Program, get_backend
    from cortex.compute.ops import Map
    from cortex.optimise.trace import trace

    t = trace(Adam())
    p = Program()
    flat = [p.persistent(n, gradient.shape) for n in ("parameters", "gradient", *t.vectors)]
    scalars = [p.persistent(n, (), "float64") for n in t.scalars]
    dtypes = ("float64",) * len(t.scalars) + ("float32",) * len(t.coefficients)
    small = p.apply(Map((*t.scalar_updates, *t.coefficients), dtypes), *scalars)
    updates = Map(tuple(t.vector_updates), ("float32",) * len(t.vector_updates))
    new = p.apply(updates, *flat, *small[len(scalars) :])
    for state, value in zip(("parameters", *t.vectors, *t.scalars), (*new, *small), strict=False):
        p.update(state, value)
    update = get_backend("cpu").compile(p)
    update.write("gradient", gradient)

    def run(count: int) -> None:
        for _ in range(count):
            update.run()

    def first() -> np.ndarray:
        run(1)
        return update.read("parameters")[:1000]

    return Contender(name, run, first)


def product(
    a: np.ndarray, b: np.ndarray, transpose_a: bool, transpose_b: bool, name: str = "cortex"
) -> Contender:
    """Return one matrix product; a transposed operand holds its axes swapped."""
    from cortex.compute import Program, get_backend
    from cortex.compute.ops import MatMul

    p = Program()
    # inputs, not state, which would be multiplied once
    left, right = (p.input(n, x.shape, x.dtype.name) for n, x in (("a", a), ("b", b)))
    p.outputs["c"] = p.apply(MatMul(transpose_a, transpose_b), left, right)
    made = get_backend("cpu").compile(p)
    made.write("a", a)
    made.write("b", b)

    def run(count: int) -> None:
        for _ in range(count):
            made.run()

    def once() -> np.ndarray:
        made.run()
        return made.read("c")

    return Contender(name, run, once, p)
