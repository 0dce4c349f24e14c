"""Every loss: as data, its number and gradients, with missing targets and sample weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortex import losses
from cortex.build import Build
from cortex.compute.autodiff import gradients
from cortex.compute.backend import Backend
from cortex.compute.program import Program
from cortex.compute.registry import get_backend
from cortex.compute.verify import Check, Mismatch, close, execute, within
from cortex.description import short
from cortex.gradient_check import GradientError, gradient_check
from cortex.layers import register_function
from cortex.losses import loss_value
from cortex.protocols import Loss

CLASSES = 4
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def _numbers(g: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return g.normal(size=shape)


def _shares(g: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return g.uniform(0.05, 0.95, shape)


def _distribution(g: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    x = np.exp(g.normal(size=shape))
    return x / x.sum(1, keepdims=True)


def _labels(g: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return g.integers(0, CLASSES, (shape[0], *shape[2:])).astype(np.int32)


def _labels_of_examples(g: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return g.integers(0, CLASSES, shape[:1]).astype(np.int32)


def _log_distribution(g: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.log(_distribution(g, shape))


@dataclass(frozen=True)
class Row:
    """A loss, the shape of an output without the batch, and how outputs and targets are drawn."""

    loss: Loss
    shape: tuple[int, ...]
    output: Draw = _numbers
    target: Draw = _numbers

    @property
    def name(self) -> str:
        """The loss, the shape of the output and what the target is."""
        size = "x".join(map(str, self.shape)) or "1"
        return f"{short(self.loss)} of {size}, {self.target.__name__[1:]}"

    def draw(self, batch: int, missing: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return outputs and targets; with `missing`, a few of the targets are not there."""
        generator = np.random.default_rng(batch)
        shape = (batch, *self.shape)
        output, target = self.output(generator, shape), self.target(generator, shape)
        if missing:
            gone = generator.uniform(size=target.shape) < 0.3
            gone[0] = True
            target = np.where(gone, np.nan if target.dtype.kind == "f" else -1, target)
        return output, target


def _cubed_distance(o: Any, t: Any) -> Any:
    from cortex.compute import math as m

    return m.absolute(o - t) * (o - t) * (o - t)


register_function("verify.cubed_distance", _cubed_distance)

ROWS = (
    Row(losses.MeanSquaredError(), (3,)),
    Row(losses.MeanSquaredError(), ()),
    Row(losses.MeanSquaredError(), (2, 3, 4)),
    Row(losses.MeanAbsoluteError(), (5,)),
    Row(losses.Huber(0.7), (5,)),
    Row(losses.Elementwise(_cubed_distance), (3,)),
    Row(losses.BinaryCrossEntropy(), (3,), _shares, _shares),
    Row(losses.BinaryCrossEntropyWithLogits(2.5), (3,), _numbers, _shares),
    Row(losses.CategoricalCrossEntropy(), (CLASSES,), _distribution, _labels),
    Row(losses.CategoricalCrossEntropy(0.1), (CLASSES,), _distribution, _distribution),
    Row(losses.SoftmaxCrossEntropy(), (CLASSES,), _numbers, _labels),
    Row(losses.SoftmaxCrossEntropy(), (CLASSES, 3, 2), _numbers, _labels),
    Row(losses.SoftmaxCrossEntropy(0.1, (1.0, 2.0, 0.5, 3.0)), (CLASSES,), _numbers, _distribution),
    Row(losses.NegativeLogLikelihood(), (CLASSES,), _log_distribution, _labels),
    Row(losses.CentreLoss(CLASSES), (CLASSES,), _numbers, _labels),
    Row(losses.CentreLoss(CLASSES, 0.9, 10.0), (2, 3), _numbers, _labels_of_examples),
)


def uncovered() -> list[str]:
    """Return the registered losses of cortex that no row of the table has."""
    ours = {n for n, t in losses.LOSSES.types.items() if t.__module__.startswith("cortex.losses")}
    return sorted(ours - {type(r.loss).__name__ for r in ROWS})


def checks_of(rows: Iterable[Row]) -> list[Check]:
    """Return the checks of each row; rows for losses of your own are welcome."""
    found = []
    for row in rows:
        start = f"loss/{row.name}"
        found.append(Check(f"{start}/data", _data(row)))
        for dtype in ("float32", "float64"):
            found.append(Check(f"{start}/{dtype}", _numbers_of(row, dtype), needs=(dtype,)))
        found.append(Check(f"{start}/gradient", _differences(row), needs=("float64",)))
    return found


def _data(row: Row) -> Callable[[Backend], None]:
    def check(backend: Backend) -> None:
        again = losses.from_data(json.loads(json.dumps(losses.to_data(row.loss), allow_nan=False)))
        if again != row.loss:
            raise Mismatch(f"{row.loss}: came back as {again}")

    return check


def results_of(
    backend: Backend, row: Row, dtype: str, output: np.ndarray, target: np.ndarray, weights: Any
) -> dict[str, np.ndarray]:
    """Return the number, its gradient and the loss's own statistics after the run."""
    p = Program()
    build = Build(p, True, dtype)
    kind = dtype if target.dtype.kind == "f" else target.dtype.name
    o, t = p.input("output", output.shape, dtype), p.input("target", target.shape, kind)
    w = None if weights is None else build.constant(weights)
    generator, contents = np.random.default_rng(9), {"output": output, "target": target}
    own = {}
    for name, parameter in row.loss.parameters(o.spec, t.spec).items():
        own[name] = p.persistent(name, parameter.shape, dtype)
        contents[name] = generator.normal(size=parameter.shape)
    value = loss_value(build, row.loss, o, t, w, **own)
    p.output("value", value)
    p.output("gradient", gradients(p, value, [o])[0])
    for statistic, new in build.statistics.items():
        p.update(statistic.name, new)
    executable = execute(backend, p, contents)
    return {name: executable.read(name) for name in ("value", "gradient", *own)}


def _numbers_of(row: Row, dtype: str) -> Callable[[Backend], None]:
    """With and without missing targets and sample weights, against the NumPy backend."""

    def check(backend: Backend) -> None:
        for batch in (1, 7):
            weights = np.random.default_rng(1).uniform(0, 2, batch)
            for missing in (False, True):
                for w in (None, weights):
                    data = row.draw(batch, missing)
                    got, wanted = (
                        results_of(b, row, dtype, *data, w) for b in (backend, get_backend("numpy"))
                    )
                    what = f"{row.name}, batch {batch}" + ", targets missing" * missing
                    for name, found in got.items():
                        close(f"{what}, {name}", found, wanted[name], factor=3)
                        if not np.isfinite(found).all():
                            raise Mismatch(f"{what}: {name} is not finite: {found}")
                    if missing and np.abs(got["gradient"][0]).max() != 0:
                        raise Mismatch(f"{what}: a missing target pulls: {got['gradient'][0]}")

    return check


def _differences(row: Row) -> Callable[[Backend], None]:
    def check(backend: Backend) -> None:
        for missing in (False, True):
            output, target = row.draw(5, missing)
            for weights in (None, [1.0, 2.0, 0.0, 0.5, 1.0]):
                try:
                    gradient_check(
                        row.loss, output, target, sample_weights=weights, backend=backend
                    )
                except GradientError as error:
                    raise Mismatch(f"{row.name}: {error}") from error

    return check


def _large_logits(backend: Backend) -> None:
    """Logits of +-1000 and +-60: the loss is their difference or 0, the gradient p - q, finite."""
    for dtype in ("float32", "float64"):
        if dtype not in backend.capabilities.dtypes:
            continue
        for size in (60.0, 1000.0):
            x = np.array([[size, -size, 0, 0], [-size, size, 0, 0], [size] * 4])
            row = Row(losses.SoftmaxCrossEntropy(), (CLASSES,))
            got = results_of(backend, row, dtype, x, np.zeros(3, np.int32), None)
            close("loss", got["value"], (0 + 2 * size + np.log(4)) / 3)
            wanted = np.array([[0, 0, 0, 0], [-1, 1, 0, 0], [-0.75, 0.25, 0.25, 0.25]]) / 3
            within("gradient", got["gradient"], wanted, 1e-6)
            row = Row(losses.BinaryCrossEntropyWithLogits(), (2,))
            z, t = np.array([[size, -size]]), np.array([[1.0, 1.0]])
            got = results_of(backend, row, dtype, z, t, None)
            close("binary loss", got["value"], size / 2)
            within("binary gradient", got["gradient"], [[0, -0.5]], 1e-6)


CHECKS = [*checks_of(ROWS), Check("loss/logits of a thousand", _large_logits)]
