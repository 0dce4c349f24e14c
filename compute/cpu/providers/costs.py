"""What convolutions, pools and reorders cost in each layout: seconds of one core, for a choice between layouts.

The model counts cycles: products, at 16 float32 a cycle and a fraction of that which each kernel reaches; cache lines
of images read and written; elements packed. Its constants were fitted to one core of an AMD EPYC (Zen 4, 3.66 GHz) and
are within a third of what was measured; between layouts only their ratios matter.
"""

from __future__ import annotations

import math

from ...layouts import BATCH_LANES, LANES
from ...ops import (
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
    Dropout,
    Pool,
    PoolGradient,
    Window,
)
from ...ops.arranged import CARRIED, Arranged
from ...ops.chain import Chain
from ...ops.fused import Fused
from ...program import Op
from ...spec import Shape, Spec
from ..native import native

Pass = Convolution | ConvolutionInputGradient | ConvolutionKernelGradient

CYCLE = 1 / 3.66e9
CALL = 5000.0  # cycles around an instruction: the barrier, tables, the first misses
VECTOR_BYTES = 64
CACHE_BYTES = 8 << 20  # images beyond come from memory
NEAR_BYTES = 256 << 10  # images of one example or two stay in L2
LINE, FAR_LINE = 5.0, 10.0  # cycles to read or write a cache line, while computing
COPY_LINE, FAR_COPY_LINE = 8.0, 20.0  # cycles to read one line and write one, in another order
UNIT = 1500.0  # cycles to begin a group of channels of a block
DRAWN = 1.6  # cycles to draw a random number
SIDEWAYS = 1.5  # cycles an element of weights takes to pack for channels last


def seconds(op: Op, *inputs: Spec) -> float | None:
    """Return the seconds of an arranged op, fused or not, on its arranged inputs; None where no kernel takes it."""
    if isinstance(op, Fused):
        return seconds(op.op, *inputs[: op.arity])
    if isinstance(op, Chain):  # maxima in registers cost what writing y would
        return seconds(op.first, *inputs)
    if not isinstance(op, Arranged) or native() is None:
        return None
    inner, lanes = op.op, op.layout == BATCH_LANES
    carried, _ = CARRIED[type(inner)]
    dense = [
        Spec(op.layout.dense(s.shape, op.batch), s.dtype) if inside else s
        for s, inside in zip(inputs, carried, strict=False)
    ]
    if isinstance(inner, Dropout):
        return dense_seconds(inner, *dense) if lanes else None
    batch = -(-op.batch // LANES) * LANES if lanes else op.batch
    if isinstance(inner, Pool) or (lanes and isinstance(inner, PoolGradient)):
        channels = dense[0].shape[1]
        waste = 1.0 if lanes else 2 * -(-channels // 16) * 16 / channels  # of a pixel's last vector
        return waste * _pool(inner, batch, dense[0])
    if lanes and isinstance(inner, Pass):
        return _convolution(inner, batch, dense)
    return _channels_last(inner, dense) if isinstance(inner, Convolution) else None


def reorder_seconds(spec: Spec) -> float:
    """Return the seconds that arranging or restoring a value takes."""
    line = COPY_LINE if 2 * spec.bytes <= CACHE_BYTES else FAR_COPY_LINE
    return (CALL + line * spec.bytes / VECTOR_BYTES) * CYCLE


def dense_seconds(op: Op, *inputs: Spec) -> float | None:
    """Return the seconds of a convolution, one of its gradients, a pool or a dropout on dense values, or None."""
    if isinstance(op, Fused):
        return dense_seconds(op.op, *inputs[: op.arity])
    if isinstance(op, (Pool, PoolGradient)):
        return _dense_pool(op, inputs[0])
    if isinstance(op, Dropout):
        return (CALL + DRAWN * inputs[0].size) * CYCLE
    if not isinstance(op, Pass):
        return None
    x, y, filters = _images(op, inputs)
    pixels = math.prod(y[2:])
    products = _products(op, x, y, filters, inside=False) / _vector(inputs[0])
    strides = math.prod(op.window.stride)
    line = 25.0 if 4 * (math.prod(x) + math.prod(y)) > NEAR_BYTES else 8.0
    if isinstance(op, ConvolutionKernelGradient):
        products /= 0.75 if strides == 1 else 0.55 * pixels / (pixels + 10)
        lines = 8.0 * _lines(y, inputs[0])
    elif isinstance(op, ConvolutionInputGradient):
        products *= (1 + 1.5 * op.groups / x[1]) / (0.75 if pixels >= 64 else 0.55)
        lines = line * _lines(x, inputs[0])
    else:
        products /= 0.88 * pixels / (pixels + 12)
        lines = line * _lines(y, inputs[0])
    if strides > 1:  # windows are gathered element by element
        lines += 2.0 * x[0] * x[1] * pixels * math.prod(op.window.size)
    if op.groups > 1:  # the few filters of a group fill no tile
        products *= 1 + 4 * op.groups / filters
    return (CALL + products + lines) * CYCLE


def _vector(spec: Spec) -> int:
    """Elements of a vector of AVX-512."""
    return VECTOR_BYTES * spec.size // max(1, spec.bytes)


def _lines(shape: Shape, like: Spec) -> float:
    return math.prod(shape) / _vector(like)


def _line(*shapes: Shape) -> float:
    """Cycles of a cache line, by how much there is in all."""
    return LINE if 4 * sum(map(math.prod, shapes)) <= CACHE_BYTES else FAR_LINE


def _images(op: Pass, inputs: tuple[Spec, ...] | list[Spec]) -> tuple[Shape, Shape, int]:
    """Return the dense shapes of x and y, and the number of filters."""
    out = op.infer(*inputs[:2])[0].shape
    if isinstance(op, Convolution):
        return inputs[0].shape, out, inputs[1].shape[0]
    if isinstance(op, ConvolutionInputGradient):
        return out, inputs[0].shape, inputs[1].shape[0]
    return inputs[0].shape, inputs[1].shape, out[0]


def _products(op: Pass, x: Shape, y: Shape, filters: int, inside: bool) -> float:
    """Multiply-adds of a pass; `inside`: without those that meet padding."""
    taps = 1.0
    for n, t, k, s, d, (low, _) in _axes(op.window, x, y):
        meets = sum(0 <= i * s - low + j * d < n for i in range(t) for j in range(k))
        taps *= meets if inside else t * k
    return y[0] * filters * (x[1] // op.groups) * taps


def _axes(
    window: Window, x: Shape, y: Shape
) -> list[tuple[int, int, int, int, int, tuple[int, int]]]:
    return list(
        zip(x[2:], y[2:], window.size, window.stride, window.dilation, window.padding, strict=True)
    )


def _convolution(op: Pass, batch: int, dense: list[Spec]) -> float:
    """Seconds in batch lanes, where all lanes of a block cost the same."""
    x, y, filters = _images(op, dense)
    x, y = (batch, *x[1:]), (batch, *y[1:])
    products = _products(op, x, y, filters, inside=True) / _vector(dense[0])
    rows = (x[1] if isinstance(op, ConvolutionInputGradient) else filters) // op.groups
    reached = {Convolution: 0.88, ConvolutionInputGradient: 0.78}.get(type(op), 0.82)
    few = 1 + 1 / min(rows, 14) ** 2  # one filter a group: as many loads as products
    lines = _lines(x, dense[0]) + _lines(y, dense[0])
    groups = UNIT * op.groups * batch / LANES
    return (CALL + groups + few * products / reached + lines * _line(x, y)) * CYCLE


def _channels_last(op: Convolution, dense: list[Spec]) -> float:
    x, y, filters = _images(op, dense)
    products = _products(op, x, y, filters, inside=True) / _vector(dense[0])
    group = filters // op.groups
    waste = -(-group // 16) * 16 / group
    lines = _lines(x, dense[0]) + _lines(y, dense[0])
    packed = SIDEWAYS * dense[1].size
    return (CALL + waste * products / 0.88 + packed + lines * _line(x, y)) * CYCLE


def _cells(op: Pool | PoolGradient, batch: int, images: Spec) -> tuple[float, Shape]:
    """Cells of all windows, and the shape of the outputs."""
    y = op.infer(images)[0].shape if isinstance(op, Pool) else images.shape
    y = (batch, *y[1:])
    return math.prod(y) * math.prod(op.window.size), y


def _pool(op: Pool | PoolGradient, batch: int, images: Spec) -> float:
    cells, _ = _cells(op, batch, images)
    cycles = 5.0 if (type(op), op.kind) == (Pool, "average") else 7.0
    return (CALL + cycles * cells / _vector(images)) * CYCLE


def _dense_pool(op: Pool | PoolGradient, images: Spec) -> float:
    cells, y = _cells(op, images.shape[0], images)
    if op.window.size == op.window.stride == (2, 2) and min(y[2:]) >= 2:
        narrow = max(1.0, 16 / y[-1])  # a vector of neighbours in a row
        return (CALL + 6.5 * cells / _vector(images) * narrow) * CYCLE
    each = {(Pool, "max"): 2.5, (Pool, "average"): 1.3, (PoolGradient, "max"): 0.9}
    return (CALL + each.get((type(op), op.kind), 3.4) * cells) * CYCLE
