"""Winograd convolutions on arranged values: fewer multiplications for kernels of 2 x 2 to 5 x 5 with stride 1.

A tile of m x m results of an r x r kernel, m + r = 7, takes 36 multiplications for each pair of channels instead of
m m r r (csrc/winograd.h). All three passes have that form in batch lanes, the forward pass also in channels last. The
transformed kernels are an instruction of their own: in inference they are prepared once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...layouts import BATCH_LANES, CHANNELS_LAST, LANES
from ...ops import Convolution, ConvolutionInputGradient, ConvolutionKernelGradient
from ...ops.arranged import Arranged
from ...ops.fused import Fused
from ...program import Op, Step, Value
from ...spec import Shape, Spec
from ..instruction import Instruction, Operand
from ..lowering import Lowering
from ..native import native
from . import lanes
from .contraction import NONE, Finish, finish

PRODUCTS = 36
CACHED_FILTERS = (
    6 << 20
)  # bytes of U that a unit may read: beyond a part of L3, stages read it once for all tiles
STAGE_BYTES = 12 << 20  # of transforms between the stages, to stay in L3 beside U
SUMS_BYTES = 8 << 20  # of transforms whose products are summed at a time

# Of one core, measured on an EPYC of family 25 (117 GFLOP/s at most); only ratios to other kernels' times matter.
RATE = 95e9  # operations a second in the products
SUM_RATE = 75e9  # in sums over tiles, whose results are added up across a vector
TILE = 30e-9  # seconds to transform one tile of one channel in 16 lanes
FILTER = 5e-9  # seconds to transform one kernel
STREAM = 12e9  # bytes a second through L3


@dataclass(frozen=True)
class Geometry:
    """A forward convolution on arranged images, as the kernels take it."""

    batch: int
    channels: int
    extents: Shape
    filters: int
    kernel: int
    padding: tuple[int, int, int, int]  # top, bottom, left, right
    channels_last: bool

    @property
    def step(self) -> int:
        """Results of a tile along a side."""
        return 7 - self.kernel

    @property
    def results(self) -> Shape:
        """Height and width of the results."""
        top, bottom, left, right = self.padding
        h, w = self.extents
        return h + top + bottom - self.kernel + 1, w + left + right - self.kernel + 1

    @property
    def tiles(self) -> int:
        """Tiles of all images; one of sixteen examples in batch lanes."""
        blocks = self.batch if self.channels_last else -(-self.batch // LANES)
        return blocks * math.prod(-(-n // self.step) for n in self.results)

    def backwards(self) -> Geometry:
        """Return the convolution of dy with the flipped kernel that gives dx."""
        padding = tuple(self.kernel - 1 - p for p in self.padding)
        return replace(
            self,
            channels=self.filters,
            filters=self.channels,
            extents=self.results,
            padding=padding,
        )

    def integers(
        self, end: Finish | None = None, first: int = 0, count: int = 0, rows: bool = False
    ) -> tuple[int, ...]:
        """Return the integers of the kernels (csrc/winograd_plans.h)."""
        bias, kind = (end.bias is not None, end.activation) if end is not None else (False, NONE)
        return (
            self.batch, self.channels, *self.extents, self.filters, self.kernel, *self.padding,
            int(self.channels_last), int(bias), kind, first, count, int(rows),
        )  # fmt: skip


def geometry(op: Arranged, inputs: Sequence[Spec], outputs: Sequence[Spec]) -> Geometry | None:
    """Return the forward convolution behind an arranged pass, or None where these kernels do not run it."""
    inner = op.op
    if type(inner) not in (Convolution, ConvolutionInputGradient, ConvolutionKernelGradient):
        return None
    images, results = {
        Convolution: (inputs[0], outputs[0]),
        ConvolutionInputGradient: (outputs[0], inputs[0]),
        ConvolutionKernelGradient: (inputs[0], inputs[1]),
    }[type(inner)]
    window, last = inner.window, op.layout == CHANNELS_LAST  # type: ignore[attr-defined]
    square = window.rank == 2 and window.size[0] == window.size[1] and 2 <= window.size[0] <= 5
    plain = window.stride == (1, 1) and window.dilation == (1, 1) and inner.groups == 1  # type: ignore[attr-defined]
    fits = images.dtype == "float32" and not (last and not isinstance(inner, Convolution))
    if native() is None or not (square and plain and fits and images.size and results.size):
        return None
    n, c, h, w = op.layout.dense(images.shape, op.batch)
    filters = op.layout.dense(results.shape, op.batch)[1]
    (top, bottom), (left, right) = window.padding
    return Geometry(n, c, (h, w), filters, window.size[0], (top, bottom, left, right), last)


def seconds(
    op: Arranged, inputs: Sequence[Spec], outputs: Sequence[Spec], exact: bool
) -> float | None:
    """Return the estimated time of one core for an arranged pass, or None where these kernels do not run it."""
    g = geometry(op, inputs, outputs)
    if g is None or exact:
        return None
    width = 1 if g.channels_last else LANES
    pairs = g.channels * g.filters
    if isinstance(op.op, ConvolutionInputGradient) and _flipped(g):
        g = g.backwards()
    work = 2 * PRODUCTS * g.tiles * width * pairs
    transforms = g.tiles * width / LANES * (g.channels + g.filters) * TILE
    rate = SUM_RATE if isinstance(op.op, ConvolutionKernelGradient) else RATE
    total = work / rate + transforms + pairs * FILTER
    staged = isinstance(op.op, ConvolutionKernelGradient) or 4 * PRODUCTS * pairs > CACHED_FILTERS
    if staged:
        total += 8 * PRODUCTS * (g.tiles * width * (g.channels + g.filters) + pairs) / STREAM
    return total


def _flipped(g: Geometry) -> bool:
    """Whether dx takes no more tiles than dy: then no sums over overlapping tiles are needed."""
    return g.backwards().tiles <= g.tiles


def pays(op: Arranged, inputs: Sequence[Spec], outputs: Sequence[Spec], exact: bool) -> bool:
    """Whether these kernels run a pass, and faster than the direct ones."""
    mine = seconds(op, inputs, outputs, exact)
    other = lanes.seconds(op, *inputs)
    return mine is not None and (other is None or mine < other)


def keeps(step: Step) -> bool:
    """Whether these kernels can run an arranged op; whether they are the fastest is decided later."""
    op, specs = step.op, ([v.spec for v in step.inputs], [v.spec for v in step.outputs])
    return isinstance(op, Arranged) and geometry(op, *specs) is not None


def accepts_epilogue(op: Fused, inputs: Sequence[Value]) -> bool:
    """Whether a Winograd convolution adds this bias and applies this activation."""
    inner = op.op
    if not isinstance(inner, Arranged) or not isinstance(inner.op, Convolution):
        return False
    specs = [v.spec for v in inputs]
    return geometry(inner, specs, op.infer(*specs)) is not None and _end(op, specs) is not None


def _end(op: Fused, inputs: Sequence[Spec]) -> Finish | None:
    out = op.infer(*inputs)[0]
    axis = 1 if isinstance(op.op, Arranged) and op.op.layout == BATCH_LANES else -1
    return finish(op.expression, out, inputs[op.arity :], axis, takes_dense=False)


def arranged(low: Lowering, step: Step) -> list[Instruction] | None:
    """One pass of an arranged convolution."""
    op = step.op
    inputs, outputs = low.operands(step.inputs), low.operands(step.outputs)
    if not isinstance(op, Arranged):
        return None
    specs = [o.spec for o in inputs], [o.spec for o in outputs]
    g = geometry(op, *specs)
    if g is None or not pays(op, *specs, low.exact):
        return None
    passes: dict[type[Op], Any] = {
        Convolution: _forward,
        ConvolutionInputGradient: _input_gradient,
        ConvolutionKernelGradient: _kernel_gradient,
    }
    made: list[Instruction] = passes[type(op.op)](low, g, outputs[0], *inputs)
    return made


def fused(low: Lowering, step: Step) -> list[Instruction] | None:
    """An arranged convolution with its bias and activation."""
    op = step.op
    if not isinstance(op, Fused) or not isinstance(op.op, Arranged):
        return None
    inputs, target = low.operands(step.inputs), low.operand(step.outputs[0])
    specs, out = [o.spec for o in inputs], [target.spec]
    g, end = geometry(op.op, specs, out), _end(op, specs)
    if g is None or end is None or not isinstance(op.op.op, Convolution):
        return None
    if not pays(op.op, specs, out, low.exact):
        return None
    bias = inputs[op.arity :] if end.bias is not None else ()
    return _forward(low, g, target, *inputs[: op.arity], *bias, end=end)


def _call(
    name: str, target: Operand, inputs: Sequence[Operand], integers: tuple[int, ...]
) -> Instruction:
    module: Any = native()
    name = f"winograd_{name}_f32"
    units, scratch, _ = module.plan(name, list(integers))
    return Instruction(
        "native", name, (target,), tuple(inputs), integers=integers, reals=(0.0,), units=units,
        scratch=scratch, provider="native winograd",
    )  # fmt: skip


def _size(name: str, integers: tuple[int, ...]) -> int:
    """Return the elements of memory that lies between instructions (csrc/winograd_plans.h)."""
    module: Any = native()
    return int(module.plan(f"winograd_{name}_f32", list(integers))[2])


def _filters(
    low: Lowering,
    w: Operand,
    rows: int,
    depth: int,
    moves: tuple[int, int],
    flipped: bool,
    panels: bool,
) -> tuple[Instruction, Operand]:
    """Return the instruction that transforms kernels, and where they lie then."""
    kernel = w.spec.shape[-1]
    integers = (rows, depth, kernel, *moves, int(flipped), int(panels))
    u = low.temporary((_size("filter", integers),), "float32")
    return _call("filter", u, (w,), integers), u


def _forward(
    low: Lowering,
    g: Geometry,
    y: Operand,
    x: Operand,
    w: Operand,
    *bias: Operand,
    end: Finish | None = None,
    flipped: bool = False,
) -> list[Instruction]:
    taps = g.kernel * g.kernel
    along = g.filters * taps if flipped else taps
    row = taps if flipped else g.channels * taps
    transform, u = _filters(low, w, g.filters, g.channels, (row, along), flipped, g.channels_last)
    if 4 * PRODUCTS * g.channels * g.filters <= CACHED_FILTERS:
        return [transform, _call("convolution", y, (x, u, *bias), g.integers(end))]
    made = [transform]
    for first, count in _chunks(g, STAGE_BYTES):
        integers = g.integers(end, first, count)
        v = low.temporary((_size("source", integers),), "float32")
        m = low.temporary((_size("result", integers),), "float32")
        made += [
            _call("source", v, (x,), integers),
            _call("product", m, (v, u), integers),
            _call("result", y, (m, *bias), integers),
        ]
    return made


def _chunks(g: Geometry, limit: int) -> list[tuple[int, int]]:
    """Cut the tiles so that the transforms of a chunk take so many bytes; an even number of tiles each."""
    width = 1 if g.channels_last else LANES
    most = max(4, limit // (4 * PRODUCTS * width * (g.channels + g.filters)) // 2 * 2)
    pieces = -(-g.tiles // most)
    even = -(-g.tiles // pieces) // 2 * 2 + 2 if pieces > 1 else g.tiles
    return [(first, min(even, g.tiles - first)) for first in range(0, g.tiles, even)]


def _input_gradient(
    low: Lowering, g: Geometry, dx: Operand, dy: Operand, w: Operand
) -> list[Instruction]:
    if _flipped(g):
        return _forward(low, g.backwards(), dx, dy, w, flipped=True)
    taps = g.kernel * g.kernel
    transform, u = _filters(low, w, g.channels, g.filters, (taps, g.channels * taps), False, False)
    return [transform, _call("input_gradient", dx, (dy, u), g.integers())]


def _kernel_gradient(
    low: Lowering, g: Geometry, dw: Operand, x: Operand, dy: Operand
) -> list[Instruction]:
    sums = low.temporary((_size("correlate", g.integers()),), "float32")
    made = []
    for first, count in _chunks(g, SUMS_BYTES):
        integers = g.integers(None, first, count, rows=True)
        v = low.temporary((_size("source", integers),), "float32")
        e = low.temporary((_size("spread", integers),), "float32")
        made += [
            _call("source", v, (x,), integers),
            _call("spread", e, (dy,), integers),
            _call("correlate", sums, (e, v), integers),
        ]
    return [*made, _call("kernel", dw, (sums,), g.integers())]
