"""What each primitive op means, in the slowest, most obvious NumPy: every backend is compared with this."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from . import philox
from .errors import BackendError
from .expression import evaluate
from .ops import (
    Concatenate,
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
    Gather,
    Map,
    MatMul,
    Pad,
    Pool,
    PoolGradient,
    Random,
    Reduce,
    Reshape,
    Scan,
    ScatterAdd,
    Slice,
    Transpose,
    Window,
)
from .ops.pool import index_dtype
from .program import Op, Program

Arrays = tuple[np.ndarray, ...]


def map_(op: Map, *arrays: np.ndarray) -> Arrays:
    """Evaluate the expressions in the compute dtype, convert and broadcast."""
    kind = op.computes_in(a.dtype.name for a in arrays)
    shape = np.broadcast_shapes(
        *(a.shape for a in arrays), *([op.shape] if op.shape is not None else [])
    )
    operands = [a if a.dtype == np.bool_ else a.astype(kind) for a in arrays]
    results = evaluate(op.expressions, operands, kind)
    return tuple(
        np.array(np.broadcast_to(np.asarray(r).astype(d), shape))
        for r, d in zip(results, op.dtypes, strict=True)
    )


def reduce(op: Reduce, x: np.ndarray) -> Arrays:
    """Reduce with the NumPy function of that name."""
    if op.kind == "argmax":
        return (np.argmax(x, op.axes[0], keepdims=op.keep).astype(np.int32),)
    table: dict[str, Any] = {"sum": np.sum, "max": np.max, "min": np.min, "prod": np.prod}
    function = table[op.kind]
    keeps = op.kind in ("max", "min") or x.dtype.kind == "f"
    return (
        np.asarray(
            function(x, axis=op.axes, keepdims=op.keep, **({} if keeps else {"dtype": np.int64}))
        ),
    )


def matmul(op: MatMul, a: np.ndarray, b: np.ndarray) -> Arrays:
    """Multiply, with the last two axes swapped where an operand is held transposed."""
    left = a.swapaxes(-1, -2) if op.transpose_a else a
    right = b.swapaxes(-1, -2) if op.transpose_b else b
    return (left @ right,)


def _cells(
    window: Window, out: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Yield each position inside the window and the strided slice of the padded input that it sees."""
    for position in itertools.product(*map(range, window.size)):
        cut = tuple(
            slice(p * d, p * d + (t - 1) * s + 1, s)
            for p, d, s, t in zip(position, window.dilation, window.stride, out, strict=True)
        )
        yield position, (slice(None), slice(None), *cut)


def _of_channels(position: tuple[int, ...]) -> Any:
    """Return the index of one position inside the kernels, for all channels."""
    return (slice(None), slice(None), *position)


def _padded(window: Window, x: np.ndarray, out: tuple[int, ...], value: float) -> np.ndarray:
    pads = [(0, 0), (0, 0)]
    for n, (low, _), k, s, t in zip(
        x.shape[2:], window.padding, window.reach, window.stride, out, strict=True
    ):
        pads.append((low, max(0, (t - 1) * s + k - low - n)))
    return np.pad(x, pads, constant_values=value)


def _grouped(a: np.ndarray, groups: int, axis: int) -> np.ndarray:
    shape = (*a.shape[:axis], groups, a.shape[axis] // groups, *a.shape[axis + 1 :])
    return a.reshape(shape)


def convolution(op: Convolution, x: np.ndarray, w: np.ndarray) -> Arrays:
    """Add up one matrix product per position of the kernel."""
    out = op.window.output("Convolution", x.shape[2:])
    padded, g = _padded(op.window, x, out, 0), op.groups
    y = np.zeros((x.shape[0], g, w.shape[0] // g, *out), x.dtype)
    for position, cut in _cells(op.window, out):
        kernel = _grouped(w[_of_channels(position)], g, 0)
        y += np.einsum("ngc...,goc->ngo...", _grouped(padded[cut], g, 1), kernel)
    return (y.reshape(x.shape[0], w.shape[0], *out),)


def convolution_input_gradient(
    op: ConvolutionInputGradient, dy: np.ndarray, w: np.ndarray
) -> Arrays:
    """Spread each output back over the cells its window saw."""
    out, g = dy.shape[2:], op.groups
    shape = (dy.shape[0], w.shape[1] * g, *op.extents)
    padded = _padded(op.window, np.zeros(shape, dy.dtype), out, 0)
    for position, cut in _cells(op.window, out):
        kernel = _grouped(w[_of_channels(position)], g, 0)
        piece = np.einsum("ngo...,goc->ngc...", _grouped(dy, g, 1), kernel)
        padded[cut] += piece.reshape(dy.shape[0], shape[1], *out)
    return (_without_padding(op.window, padded, op.extents),)


def convolution_kernel_gradient(
    op: ConvolutionKernelGradient, x: np.ndarray, dy: np.ndarray
) -> Arrays:
    """Correlate input and output gradient, position by position of the kernel."""
    out, g = dy.shape[2:], op.groups
    padded = _padded(op.window, x, out, 0)
    w = np.zeros((dy.shape[1], x.shape[1] // g, *op.window.size), x.dtype)
    axes = "xyz"[: len(out)]
    for position, cut in _cells(op.window, out):
        piece = np.einsum(
            f"ngc{axes},ngo{axes}->goc", _grouped(padded[cut], g, 1), _grouped(dy, g, 1)
        )
        w[_of_channels(position)] = piece.reshape(w.shape[:2])
    return (w,)


def _without_padding(window: Window, padded: np.ndarray, extents: tuple[int, ...]) -> np.ndarray:
    cut = tuple(slice(low, low + n) for (low, _), n in zip(window.padding, extents, strict=True))
    return np.ascontiguousarray(padded[(slice(None), slice(None), *cut)])


def pool_counts(
    window: Window, extents: tuple[int, ...], count_padding: bool, dtype: Any
) -> np.ndarray:
    """Return the divisor of each average window, as an array [1, 1, *T]."""
    total: np.ndarray = np.ones((), dtype)
    out = window.output("Pool", extents)
    for n, (low, high), k, s, t in zip(
        extents, window.padding, window.size, window.stride, out, strict=True
    ):
        starts = np.arange(t) * s - low
        first, last = (-low, n + high) if count_padding else (0, n)
        counts = np.minimum(starts + k, last) - np.maximum(starts, first)
        total = np.multiply.outer(total, counts.astype(dtype))
    return total[None, None]


def pool(op: Pool, x: np.ndarray) -> Arrays:
    """Stack the cells of every window, then take their maximum or mean."""
    out = op.window.output("Pool", x.shape[2:])
    padded = _padded(op.window, x, out, -np.inf if op.kind == "max" else 0)
    cells = np.stack([padded[cut] for _, cut in _cells(op.window, out)])
    if op.kind == "max":
        index = np.argmax(cells, 0)
        return np.take_along_axis(cells, index[None], 0)[0], index.astype(index_dtype(op.window))
    return (cells.sum(0) / pool_counts(op.window, x.shape[2:], op.count_padding, x.dtype),)


def pool_gradient(op: PoolGradient, dy: np.ndarray, *index: np.ndarray) -> Arrays:
    """Add to each cell what the windows that saw it hand back."""
    out = dy.shape[2:]
    padded = _padded(op.window, np.zeros((*dy.shape[:2], *op.extents), dy.dtype), out, 0)
    if op.kind == "average":
        dy = dy / pool_counts(op.window, op.extents, op.count_padding, dy.dtype)
    for number, (_, cut) in enumerate(_cells(op.window, out)):
        padded[cut] += dy if op.kind == "average" else np.where(index[0] == number, dy, 0)
    return (_without_padding(op.window, padded, op.extents),)


def check_rows(index: np.ndarray, rows: int) -> None:
    """Raise `BackendError` naming the first index outside 0..rows-1."""
    wrong = np.flatnonzero((index.reshape(-1) < 0) | (index.reshape(-1) >= rows))
    if wrong.size:
        bad = index.reshape(-1)[wrong[0]]
        raise BackendError(f"Gather: index {bad} at position {wrong[0]} is not in 0..{rows - 1}")


def gather(op: Gather, x: np.ndarray, index: np.ndarray) -> Arrays:
    """Index the rows."""
    check_rows(index, x.shape[0])
    return (x[index],)


def scatter_add(op: ScatterAdd, index: np.ndarray, updates: np.ndarray) -> Arrays:
    """Add row by row, in the order of the index."""
    check_rows(index, op.rows)
    y = np.zeros((op.rows, *updates.shape[index.ndim :]), updates.dtype)
    np.add.at(y, index.reshape(-1), updates.reshape(index.size, *y.shape[1:]))
    return (y,)


def slice_(op: Slice, x: np.ndarray) -> Arrays:
    """Slice and copy."""
    cut = tuple(slice(a, b, s) for a, b, s in zip(op.start, op.stop, op.steps, strict=True))
    return (np.array(x[cut], order="C"),)


def pad(op: Pad, x: np.ndarray) -> Arrays:
    """Put the elements into a full array."""
    (spec,) = op.infer(_spec(x))
    y = np.full(spec.shape, op.value, x.dtype)
    cut = tuple(
        slice(a, a + ((n - 1) * (i + 1) + 1 if n else 0), i + 1)
        for a, n, i in zip(op.low, x.shape, op.between, strict=True)
    )
    y[cut] = x
    return (y,)


def _spec(x: np.ndarray) -> Any:
    from .spec import Spec

    return Spec(x.shape, x.dtype.name)


def random(op: Random, seed: np.ndarray, step: np.ndarray) -> Arrays:
    """Draw from Philox."""
    function = {"uniform": philox.uniform, "normal": philox.normal}[op.kind]
    size = int(np.prod(op.shape, dtype=np.int64))
    drawn = function(size, int(seed), int(step), op.number, op.dtype, op.first)
    return (drawn.reshape(op.shape),)


def scan(op: Scan, *arrays: np.ndarray) -> Arrays:
    """Interpret the body position by position."""
    n, last = op.carries, op.carries + op.sequences
    carries, constants = list(arrays[:n]), arrays[last:]
    specs = op.infer(*map(_spec, arrays))
    stacked = [np.empty(s.shape, s.dtype) for s in specs[n:]]
    for t in reversed(range(op.length)) if op.reverse else range(op.length):
        for k, c in enumerate(carries):
            stacked[op.results + k][t] = c
        out = interpret(op.body, [*carries, *(a[t] for a in arrays[n:last]), *constants])
        carries = out[:n]
        for k, r in enumerate(out[n:]):
            stacked[k][t] = r
    return (*(np.array(c) for c in carries), *stacked)


Kernel = Callable[..., Arrays]
KERNELS: dict[type[Op], Kernel] = {
    Map: map_,
    Reduce: reduce,
    MatMul: matmul,
    Convolution: convolution,
    ConvolutionInputGradient: convolution_input_gradient,
    ConvolutionKernelGradient: convolution_kernel_gradient,
    Pool: pool,
    PoolGradient: pool_gradient,
    Gather: gather,
    ScatterAdd: scatter_add,
    Reshape: lambda op, x: (x.reshape(op.shape),),
    Transpose: lambda op, x: (np.array(x.transpose(op.axes), order="C"),),
    Slice: slice_,
    Pad: pad,
    Concatenate: lambda op, *xs: (np.concatenate(xs, op.axis),),
    Random: random,
    Scan: scan,
}


def interpret(program: Program, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Run a program without state on its inputs, in order; return its outputs, in order."""
    place = dict(zip(program.inputs.values(), inputs, strict=True)) | program.constants
    run_steps(program, place)
    return [place[v] for v in program.outputs.values()]


def run_steps(
    program: Program, place: dict[Any, np.ndarray], kernels: Mapping[type[Op], Kernel] = KERNELS
) -> None:
    """Compute every step; `place` maps values to arrays and grows. Composites run through their decomposition."""
    for step in program.steps:
        arrays = [place[v] for v in step.inputs]
        kernel = kernels.get(type(step.op))
        if kernel is None:
            body = Program()
            ins = [body.input(f"in{i}", v.shape, v.dtype) for i, v in enumerate(step.inputs)]
            for k, v in enumerate(step.op.decompose(body, *ins) or ()):
                body.output(f"out{k}", v)
            results: Any = interpret(body, arrays)
        else:
            results = kernel(step.op, *arrays)
        place.update(zip(step.outputs, results, strict=True))
