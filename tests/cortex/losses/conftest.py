"""How the tests of losses evaluate them: a program on the NumPy backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cortex import losses as L
from cortex.build import Build
from cortex.compute.autodiff import gradients
from cortex.compute.program import Program, Value
from cortex.compute.registry import get_backend


def _evaluate(
    function: Callable[..., dict[str, Value]], training: bool = False, **arrays: Any
) -> tuple[dict[str, np.ndarray], Build]:
    """Run `function(build, **values)` on the NumPy backend; return what it names, and the build."""
    program = Program()
    given = {n: np.asarray(a) for n, a in arrays.items()}
    build = Build(program, training=training, dtype="float64")
    values = {n: program.input(n, a.shape, a.dtype.name) for n, a in given.items()}
    for name, value in function(build, **values).items():
        program.output(f"{name}.out", value)
    executable = get_backend("numpy").compile(program)
    for n, a in given.items():
        executable.write(n, a)
    executable.run()
    return {n.removesuffix(".out"): executable.read(n) for n in program.outputs}, build


def _loss_of(
    loss: Any, output: Any, target: Any, sample_weights: Any = None
) -> tuple[float, np.ndarray]:
    """The loss of a batch and its gradient with respect to the output."""
    extra = {} if sample_weights is None else {"w": np.asarray(sample_weights, np.float64)}

    def record(b: Build, output: Value, target: Value, w: Value | None = None) -> dict[str, Value]:
        value = L.loss_value(b, loss, output, target, w)
        return {"value": value, "gradient": gradients(b.program, value, [output])[0]}

    output = np.asarray(output, np.float64)
    found, _ = _evaluate(record, output=output, target=np.asarray(target), **extra)
    return float(found["value"]), found["gradient"]


@pytest.fixture(scope="session")
def evaluate() -> Any:
    """evaluate(function, training=False, **arrays): run what the function records; see above."""
    return _evaluate


@pytest.fixture(scope="session")
def loss_of() -> Any:
    """loss_of(loss, output, target, sample_weights=None): the loss and its gradient."""
    return _loss_of
