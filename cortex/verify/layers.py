"""Every layer of the table: as data, its shapes, its numbers, its gradients, a step of training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cortex import layers
from cortex.compute.autodiff import gradients
from cortex.compute.backend import Backend
from cortex.compute.registry import get_backend
from cortex.compute.verify import Check, Mismatch, close
from cortex.executables import inference, training_step
from cortex.gradient_check import GradientError, gradient_check
from cortex.gradient_check.parts import weighted_sum
from cortex.losses import MeanSquaredError
from cortex.network import Network
from cortex.optimise.optimisers import Sgd
from cortex.tracing import Traced, output_value, trace_forward

from .rows import ROWS, Row

BATCHES = (1, 5)  # one example, and a number that no vector register holds
MODES = {"inference": False, "training": True}


def uncovered() -> list[str]:
    """Return the types of cortex's own layers that no row of the table has."""
    ours = {n for n, t in layers.TYPES.items() if t.__module__.startswith("cortex.layers")}
    return sorted(ours - {type(r.layer).__name__ for r in ROWS})


def checks_of(rows: Iterable[Row]) -> list[Check]:
    """Return the checks of each row; rows for layers of your own are welcome."""
    found = []
    for row in rows:
        start = f"layer/{row.name}"
        found.append(Check(f"{start}/data and shapes", _data(row)))
        for dtype in ("float32", "float64"):
            found.append(Check(f"{start}/{dtype}", _numbers(row, dtype), needs=(dtype,)))
        if row.dtype == "float32" or not isinstance(row.layer, layers.Input):
            found.append(Check(f"{start}/gradient", _differences(row), needs=("float64",)))
        for dtype in ("float32", "float64"):
            tags = frozenset({"quick"} if dtype == "float32" else ())
            found.append(Check(f"{start}/step in {dtype}", _step(row, dtype), tags, (dtype,)))
    return found


def _data(row: Row) -> Callable[[Backend], None]:
    def check(backend: Backend) -> None:
        network = row.network("float32")
        again = Network.from_data(json.loads(json.dumps(network.to_data(), allow_nan=False)))
        if again != network:
            raise Mismatch(f"{row.name}: {network.to_data()} came back as {again.to_data()}")
        for batch in BATCHES:
            made = inference(again, batch_size=batch, backend=backend)
            for name, array in row.columns(batch).items():
                made.write(name, array)
            made.run()
            for name in network.outputs:
                got, wanted = made.read(name), (batch, *network.specs[name].shape)
                if got.shape != wanted or got.dtype.name != network.specs[name].dtype:
                    raise Mismatch(
                        f"{row.name}: {name} is {got.dtype}{list(got.shape)} for a batch of "
                        f"{batch}, expected {network.specs[name].dtype}{list(wanted)}"
                    )

    return check


def traced(row: Row, dtype: str, batch: int, training: bool) -> Traced:
    """Return the program of a row: its outputs, all gradients, and its statistics renewed.

    Outputs: those of the network, `gradient.<name>` of a weighted sum of them and of the penalties.
    """
    network = row.network(dtype)
    made = trace_forward(network, batch, training)
    p, values = made.program, [output_value(made, name) for name in network.outputs]
    for name, value in zip(network.outputs, values, strict=True):
        p.output(name, value)
    total = weighted_sum(made.build, values, 0)
    for penalty in made.build.penalties:
        total = total + penalty
    wrt = {n: v for n, v in p.inputs.items() if v.spec.is_float}
    wrt |= {n: made.forward.own(n) for n in network.parameter_specs if n not in network.statistics}
    for name, g in zip(wrt, gradients(p, total, list(wrt.values())), strict=True):
        p.output(f"gradient.{name}", g)
    for statistic, value in made.build.statistics.items():
        p.update(statistic.name, value)
    return made


def _numbers(row: Row, dtype: str) -> Callable[[Backend], None]:
    """Outputs, gradients and statistics after two runs, against the NumPy backend in the same dtype."""

    def check(backend: Backend) -> None:
        for batch in BATCHES:
            for mode, training in MODES.items():
                got, wanted = (
                    _results(b, row, dtype, batch, training) for b in (backend, _reference())
                )
                # a backward pass chains about three ops, so it is allowed three times their error
                for name, array in got.items():
                    what = f"{row.name}, {mode}, batch {batch}, {name}"
                    close(what, array, wanted[name], factor=3 * row.factor)

    return check


def _results(
    backend: Backend, row: Row, dtype: str, batch: int, training: bool
) -> dict[str, np.ndarray]:
    made = traced(row, dtype, batch, training)
    executable = backend.compile(made.program)
    for name, array in {**row.columns(batch), **made.network.parameters}.items():
        executable.write(name, array)
    if "random.seed" in made.program.state:
        executable.write("random.seed", np.uint64(11))
    for _ in range(2):
        executable.run()
    names = [*made.program.outputs, *made.network.statistics]
    return {name: executable.read(name) for name in names}


def _differences(row: Row) -> Callable[[Backend], None]:
    def check(backend: Backend) -> None:
        network = row.network("float64")
        for batch in BATCHES:
            for training in MODES.values():
                chosen = list(network.shapes.owned) if row.stopped and training else None
                options: dict[str, Any] = {"training": training, "wrt": chosen}
                try:
                    gradient_check(network, row.columns(batch), backend=backend, **options)
                except GradientError as error:
                    raise Mismatch(f"{row.name}, batch {batch}: {error}") from error

    return check


def _step(row: Row, dtype: str) -> Callable[[Backend], None]:
    """Two steps of momentum through the layer: loss, parameters and statistics as on NumPy."""

    def check(backend: Backend) -> None:
        got, wanted = (_stepped(b, row, dtype) for b in (backend, _reference()))
        for name, array in got.items():
            close(f"{row.name}, {name} after two steps", array, wanted[name], factor=3 * row.factor)

    return check


def _stepped(backend: Backend, row: Row, dtype: str) -> dict[str, np.ndarray]:
    network, generator = row.network(dtype, slopes=True), np.random.default_rng(2)
    targets = {name: f"target{i}" for i, name in enumerate(network.outputs)}
    made = training_step(
        network, optimiser=Sgd(0.1, 0.9), batch_size=BATCHES[-1], seed=3, target=targets,
        loss={name: MeanSquaredError() for name in network.outputs}, backend=backend,
    )  # fmt: skip
    for name, array in row.columns(BATCHES[-1]).items():
        made.write(name, array)
    for name, column in targets.items():
        made.write(column, generator.normal(size=(BATCHES[-1], *network.specs[name].shape)))
    for _ in range(2):
        made.run()
    return {name: made.read(name) for name in ("loss", *network.parameter_specs)}


def _reference() -> Backend:
    return get_backend("numpy")


CHECKS = checks_of(ROWS)
