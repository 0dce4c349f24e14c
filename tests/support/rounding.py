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
from cortex.gpu_compute.libraries.emulated import EmulatedGraph
from cortex.gpu_compute.libraries.products import MASK_BITS
from cortex.gpu_compute.passes.gates import GatedProduct, ProductWithMask
from cortex.gpu_compute.passes.graph import DnnGraph
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
    op = step.op
    if isinstance(op, DnnGraph):
        return _graph(step, inputs)
    if isinstance(op, ProductWithMask):
        (y,) = _alone(replace(step, op=op.product, outputs=step.outputs[:1]), inputs)
        return [y, _packed(y > 0)]
    if isinstance(op, GatedProduct):
        (y,) = _alone(replace(step, op=op.product), inputs[:2])
        return [np.where(_unpacked(inputs[2], y.shape), y, 0)]
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


def _graph(step: Step, inputs: list[np.ndarray]) -> list[np.ndarray]:
    description = replace(step.op.description, dtype="float32")
    results = [np.zeros(v.shape, "float32" if v.dtype in HALVES else v.dtype) for v in step.outputs]
    given = [np.ascontiguousarray(a) for a in inputs]
    names = (*description.inputs, *description.outputs)
    arrays = zip(names, (*given, *results), strict=True)
    EmulatedGraph(description).run({name: a.ctypes.data for name, a in arrays})
    return results


def _packed(mask: np.ndarray) -> np.ndarray:
    """Return one bit of each element, rows padded to whole blocks."""
    rows, columns = mask.shape
    padded = np.zeros((rows, -(-columns // MASK_BITS) * MASK_BITS), bool)
    padded[:, :columns] = mask
    return np.packbits(padded, bitorder="little")


def _unpacked(bits: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.unpackbits(bits, bitorder="little").reshape(shape[0], -1)[:, : shape[1]]
