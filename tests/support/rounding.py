"""A rewritten program by NumPy: one op at a time in float32, each result rounded to the dtype it is held in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from cortex.compute import Program
from cortex.compute.numpy_backend import NumpyBackend
from cortex.compute.ops import Map, MatMul
from cortex.compute.ops.fused import Fused
from cortex.compute.program import Op, Step, Value
from cortex.compute.spec import HALVES
from cortex.gpu_compute.stored import rounded, widened


def held(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return float32 numbers rounded to what a dtype can hold; others as they are."""
    return widened(rounded(values, dtype), dtype) if dtype in HALVES else values


def by_numpy(program: Program, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return outputs and updates for given inputs and state."""
    place: dict[Value, np.ndarray] = dict(program.constants)
    for name, value in (program.inputs | program.state).items():
        place[value] = np.asarray(given[name], value.dtype).reshape(value.shape)
    for step in program.steps:
        results = _alone(step, [place[v] for v in step.inputs])
        for value, result in zip(step.outputs, results, strict=True):
            place[value] = held(result, value.dtype)
    return {n: place[v] for n, v in (program.outputs | program.updates).items()}


def _alone(step: Step, inputs: list[np.ndarray]) -> list[np.ndarray]:
    one = Program()
    values = [one.input(f"x{k}", a.shape, a.dtype.name) for k, a in enumerate(inputs)]
    found = one.apply(_wide(step.op), *values)
    for k, value in enumerate(found if isinstance(found, tuple) else (found,)):
        one.output(f"y{k}", value)
    executable = NumpyBackend().compile(one)
    for k, a in enumerate(inputs):
        executable.write(f"x{k}", a)
    executable.run()
    return [executable.read(f"y{k}") for k in range(len(step.outputs))]


def _wide(op: Op) -> Op:
    if isinstance(op, Map):
        return replace(op, dtypes=tuple("float32" if d in HALVES else d for d in op.dtypes))
    if isinstance(op, MatMul):
        return replace(op, dtype=None)
    return replace(op, op=_wide(op.op)) if isinstance(op, Fused) else op
