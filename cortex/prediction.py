"""`predict`: the outputs of a network for any number of examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cortex.compiled import NetworkExecutable, batch_size_problems, compiled
from cortex.compute.backend import Backend, Memory
from cortex.compute.errors import DescriptionError, near
from cortex.datasets import Dataset
from cortex.network import Network
from cortex.tracing import trace_inference


def predict(
    network: Network,
    data: Any,
    *,
    batch_size: int = 256,
    backend: str | Backend | None = None,
    memory: Memory | None = None,
) -> np.ndarray | dict[str, np.ndarray]:
    """Return exactly one output per input: an array [n, ...], or a dict of them where there are several outputs.

    `data` is an array [n, ...] for a network with one input, a mapping of arrays by the names of the inputs (columns
    that parameters are bound to have the parameter's shape), or a data set, whose other columns are not read. The last,
    smaller batch has an executable of its own over the same memory. An output that does not depend on the inputs is
    repeated.

    Raises:
        DescriptionError: inputs are missing, unknown, or of unequal length; all at once.
        ShapeError: an input has another shape or dtype than the network asks for.
    """
    problems = batch_size_problems(batch_size)
    if problems:
        raise DescriptionError("predict", problems)
    made: dict[int, NetworkExecutable] = {}
    pieces: dict[str, list[np.ndarray]] = {name: [] for name in network.outputs}
    for batch, size in _batches(network, data, batch_size):
        if size not in made:
            made[size] = compiled(trace_inference(network, size), backend, memory)
            memory = made[size].memory
        executable = made[size]
        for name, array in batch.items():
            executable.write(name, array)
        executable.run()
        for name, outputs in pieces.items():
            outputs.append(_one_per_example(executable.read(name), size))
    results = {name: _joined(network, name, outputs) for name, outputs in pieces.items()}
    return results if len(results) > 1 else next(iter(results.values()))


def _batches(network: Network, data: Any, batch_size: int) -> Iterator[tuple[dict[str, Any], int]]:
    names = list(network.inputs)
    if isinstance(data, Dataset):
        problems = [
            f"no column is named {n!r}{near(n, data.columns)}"
            for n in names
            if n not in data.columns
        ]
        if problems:
            raise DescriptionError("predict", problems)
        for batch in data.batches(batch_size):
            yield {n: batch[n] for n in names}, len(batch[names[0]])
        return
    arrays, fixed = _arrays(network, data, names)
    total = len(arrays[names[0]])
    for start in range(0, total, batch_size):
        size = min(batch_size, total - start)
        yield {**fixed, **{n: a[start : start + size] for n, a in arrays.items()}}, size


def _arrays(
    network: Network, data: Any, names: list[str]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    columns = list(network.shapes.columns)
    problems = []
    if not isinstance(data, Mapping):
        wanted = [*names, *columns]
        if len(wanted) > 1:
            problems.append(
                f"the network reads {', '.join(wanted)}; expected a mapping of arrays, given one array"
            )
        data = {names[0]: data}
    given = {name: np.asarray(array) for name, array in data.items()}
    known = [*names, *columns]
    problems += [f"no input is named {n!r}{near(str(n), known)}" for n in given if n not in known]
    if not problems:
        problems += [
            f"the input {n!r} is missing; given: {', '.join(given) or 'none'}"
            for n in known
            if n not in given
        ]
    arrays = {n: a for n, a in given.items() if n in names}
    problems += [
        f"{n}: expected an array [n, ...], given one number"
        for n, a in arrays.items()
        if not a.ndim
    ]
    lengths = {n: len(a) for n, a in arrays.items() if a.ndim}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{n} {length}" for n, length in lengths.items())
        problems.append(f"the inputs must have one length, given {listed}")
    if problems:
        raise DescriptionError("predict", problems)
    return arrays, {n: a for n, a in given.items() if n in columns}


def _one_per_example(output: np.ndarray, size: int) -> np.ndarray:
    return output if len(output) == size else np.repeat(output, size, axis=0)


def _joined(network: Network, name: str, outputs: list[np.ndarray]) -> np.ndarray:
    spec = network.specs[name]
    return np.concatenate(outputs) if outputs else np.empty((0, *spec.shape), spec.dtype)
