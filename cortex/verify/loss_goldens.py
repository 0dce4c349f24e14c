"""Losses against historical values (`cortex.compute.verify.golden`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cortex import layers, losses
from cortex.build import Build
from cortex.compute.autodiff import gradients
from cortex.compute.backend import Backend
from cortex.compute.program import Program
from cortex.compute.verify import Check, close, execute, within
from cortex.compute.verify.golden import array, load
from cortex.executables import training_step
from cortex.losses import loss_value
from cortex.network import Network
from cortex.optimise.optimisers import Sgd

from .losses import Row, results_of


def _golden(entry: dict[str, Any], dtype: str) -> Callable[[Backend], None]:
    def check(backend: Backend) -> None:
        kinds = {"mse": losses.MeanSquaredError, "mae": losses.MeanAbsoluteError}
        row = Row(kinds[entry["loss"]](), tuple(entry["output"]["shape"][1:]))
        output, target = array(entry["output"]), array(entry["target"])
        got = results_of(backend, row, dtype, output, target, None)
        limit = max(entry["tolerance"], 1e-6 if dtype == "float32" else 1e-12)
        if "filled" in entry:  # missing: as if the target were the output
            filled = array(entry["filled"])
            there = ~np.isnan(target)
            close("what is there", np.where(there, target, output), filled)
            within("value", got["value"], np.mean((output - filled)[there] ** 2), 1e-5)
            within("gradient of what is missing", got["gradient"][~there], 0 * output[~there], 0)
            return
        within("value", got["value"], entry["value"], limit)
        within("gradient", got["gradient"], array(entry["gradient"]), limit)

    return check


def _golden_centres(entry: dict[str, Any], dtype: str) -> Callable[[Backend], None]:
    """One training step: features pull as x - centre does, centres move and keep their length."""

    def check(backend: Backend) -> None:
        x, labels = array(entry["output"]), np.array(entry["labels"], np.int32)
        network = Network(
            [("x", layers.Input(5)), ("y", layers.Prelu(1.0, "element"))], dtype=dtype
        )
        loss = losses.CentreLoss(5, **entry["arguments"])
        step = training_step(
            network, optimiser=Sgd(1.0), batch_size=len(x), loss=loss, backend=backend
        )
        for name, content in (
            ("x", x), ("label", labels), ("loss.y.centres", array(entry["centres"])),
        ):  # fmt: skip
            step.write(name, content)
        step.run()
        limit, difference = entry["tolerance"], array(entry["difference"])
        within("new centres", step.read("loss.y.centres"), array(entry["new_centres"]), limit)
        within("loss", step.read("loss"), (difference**2).sum(1).mean() / 2, limit)
        # y = x where x > 0, else slope x: nothing below 0 is there, so the slopes stay
        within("slopes", step.read("y.slope"), np.ones(5), 0)
        row = Row(loss, (5,))
        got = _results_at(backend, row, dtype, x, labels, array(entry["centres"]))
        within("gradient", len(x) * got, difference, limit)

    return check


def _results_at(
    backend: Backend, row: Row, dtype: str, x: np.ndarray, labels: np.ndarray, centres: np.ndarray
) -> np.ndarray:
    p = Program()
    build = Build(p, False, dtype)
    o, t, c = (
        p.input("o", x.shape, dtype),
        p.input("t", labels.shape, "int32"),
        p.input("c", centres.shape, dtype),
    )
    p.output("gradient", gradients(p, loss_value(build, row.loss, o, t, centres=c), [o])[0])
    return execute(backend, p, {"o": x, "t": labels, "c": centres}).read("gradient")


def _goldens() -> list[Check]:
    found = []
    for entry in load("losses"):
        make = _golden_centres if entry["loss"] == "centre" else _golden
        for dtype in ("float32", "float64"):
            name = f"golden loss/{entry['name']}/{dtype}"
            found.append(Check(name, make(entry, dtype), needs=(dtype,)))
    return found


CHECKS = _goldens()
