"""Winograd convolutions of arranged images: square kernels of 2 to 5, stride 1, one group, float32.

The filters are transformed by an instruction of their own, for every pass of every run. Where they are small (both
transforms of a few tiles and the filters share L2) all stages run in one unit, else each stage is an instruction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...layouts import BATCH_LANES, CHANNELS_LAST, LANES
from ...ops import Convolution, ConvolutionInputGradient, ConvolutionKernelGradient, Window
from ...ops.arranged import Arranged
from ...ops.fused import Fused
from ...program import Op, Step
from ...spec import Shape, Spec
from ..instruction import Instruction, Operand
from ..lowering import Lowering
from ..native import native
from . import costs, lanes
from .contraction import NONE

POINTS, PRODUCTS = 6, 36
LEAST_DEPTH = 8  # channels and filters below which the transforms cost more than they save
LARGE = 1 << 16  # channels x filters: transformed filters of 9.4 MB, read once per instruction
CHUNK_BYTES = 8 << 20  # transforms of a chunk of tiles, within L3
SUM_BYTES = (
    3 << 20
)  # the same for the kernel gradient: 8 MB took 1.6 times as long beside busy neighbours

# Measured on one core of Zen 4 with a peak of 117 GFLOP/s: products, and bytes of images and transforms moved.
PRODUCT_RATE, TRANSFORM_RATE = 95e9, 25e9


@dataclass(frozen=True)
class Shapes:
    """The forward convolution that a pass belongs to."""

    batch: int
    channels: int
    image: tuple[int, int]
    filters: int
    kernel: int
    padding: tuple[int, int, int, int]  # top, bottom, left, right; negative cuts
    last: bool  # channels last, else batch lanes

    @property
    def out(self) -> tuple[int, int]:
        """Size of the result."""
        top, bottom, left, right = self.padding
        less = 1 - self.kernel
        return self.image[0] + top + bottom + less, self.image[1] + left + right + less

    @property
    def step(self) -> int:
        """Results of a tile along one side."""
        return POINTS + 1 - self.kernel

    @property
    def tiles(self) -> int:
        """Tiles of all blocks of examples."""
        blocks = self.batch if self.last else -(-self.batch // LANES)
        return blocks * -(-self.out[0] // self.step) * -(-self.out[1] // self.step)

    @property
    def lanes(self) -> int:
        """Examples of a tile."""
        return 1 if self.last else LANES

    def flipped(self) -> Shapes:
        """The forward convolution, with flipped filters, that is this one's input gradient."""
        top, bottom, left, right = (self.kernel - 1 - p for p in self.padding)
        return Shapes(
            self.batch, self.filters, self.out, self.channels, self.kernel,
            (top, bottom, left, right), self.last,
        )  # fmt: skip

    def integers(
        self, bias: int = 0, kind: int = NONE, first: int = 0, count: int = 0, rows: int = 0
    ) -> tuple[int, ...]:
        """The integers of the kernels (csrc/winograd_plans.h)."""
        return (
            self.batch, self.channels, *self.image, self.filters, self.kernel, *self.padding,
            int(self.last), bias, kind, first, count, rows,
        )  # fmt: skip


def shapes(op: Op, *specs: Spec) -> Shapes | None:
    """Return the forward convolution behind an arranged convolution or gradient, None where Winograd does not fit."""
    if not isinstance(op, Arranged) or op.layout not in (BATCH_LANES, CHANNELS_LAST):
        return None
    inner, last = op.op, op.layout == CHANNELS_LAST
    if isinstance(inner, Convolution):
        x, filters = op.layout.dense(specs[0].shape, op.batch), specs[1].shape[0]
    elif isinstance(inner, ConvolutionInputGradient) and not last:
        filters, channels = specs[1].shape[:2]
        x = (op.batch, channels, *inner.extents)
    elif isinstance(inner, ConvolutionKernelGradient) and not last:
        x, filters = op.layout.dense(specs[0].shape, op.batch), specs[1].shape[1]
    else:
        return None
    if not _fits(inner.window, inner.groups, specs[0].dtype, x):
        return None
    (top, bottom), (left, right) = inner.window.padding
    found = Shapes(
        op.batch,
        x[1],
        (x[2], x[3]),
        filters,
        inner.window.size[0],
        (top, bottom, left, right),
        last,
    )
    return found if min(found.channels, found.filters) >= LEAST_DEPTH else None


def _fits(window: Window, groups: int, dtype: str, x: Shape) -> bool:
    return (
        window.rank == 2
        and window.size[0] == window.size[1]
        and 2 <= window.size[0] <= 5
        and window.stride == window.dilation == (1, 1)
        and not window.ceil
        and groups == 1
        and dtype == "float32"
        and 0 not in x
    )


def seconds(op: Op, *specs: Spec) -> float | None:
    """Estimated seconds on one core of an arranged convolution or gradient, None where Winograd does not apply.

    36 products of channels x filters for each tile, and memory traffic: each pixel once, each transform of a tile
    written and read, in batch lanes the transformed filters written and read.
    """
    s = shapes(op, *specs)
    if s is None:
        return None
    tiles = s.tiles
    if isinstance(op, Arranged) and isinstance(op.op, ConvolutionInputGradient):
        tiles = s.tiles if _as_adjoint(s) else s.flipped().tiles
    columns = tiles * s.lanes
    products = 2 * PRODUCTS * s.channels * s.filters * columns
    moved = 4 * 3 * PRODUCTS * columns * (s.channels + s.filters)
    if not s.last:  # with channels last, in inference, the filters are transformed once
        moved += 8 * PRODUCTS * s.channels * s.filters
    return products / PRODUCT_RATE + moved / TRANSFORM_RATE


def applies(op: Op, *specs: Spec) -> bool:
    """Whether the compiled engine is there and has Winograd kernels for an op."""
    return native() is not None and shapes(op, *specs) is not None


def _chosen(low: Lowering, op: Op, *specs: Spec) -> Shapes | None:
    if native() is None or low.exact:
        return None
    return shapes(op, *specs)


def is_faster(op: Op, *specs: Spec) -> bool:
    """Whether the direct kernels would take longer."""
    mine, direct = seconds(op, *specs), costs.seconds(op, *specs)
    return mine is not None and (direct is None or mine < direct)


def arranged(low: Lowering, step: Step) -> list[Instruction] | None:
    """An arranged convolution or gradient, where that is faster than the direct kernels."""
    return convolution(low, step) if is_faster(step.op, *(v.spec for v in step.inputs)) else None


def convolution(low: Lowering, step: Step) -> list[Instruction] | None:
    """An arranged convolution, or one of its gradients."""
    s = _chosen(low, step.op, *(v.spec for v in step.inputs))
    if s is None or not isinstance(step.op, Arranged):
        return None
    a, b = low.operands(step.inputs)
    out = low.operand(step.outputs[0])
    if isinstance(step.op.op, Convolution):
        return _forward(low, s, out, a, b)
    if isinstance(step.op.op, ConvolutionInputGradient):
        return _input_gradient(low, s, out, a, b)
    return _kernel_gradient(low, s, out, a, b)


def fused(low: Lowering, step: Step) -> list[Instruction] | None:
    """An arranged convolution that adds its bias and applies its activation."""
    op, specs = step.op, [v.spec for v in step.inputs]
    end = lanes.end_of(op, specs) if isinstance(op, Fused) else None
    if not isinstance(op, Fused) or end is None:
        return None
    s = _chosen(low, op.op, *specs[: op.arity])
    if s is None:
        return None
    x, w, *bias = low.operands(step.inputs)
    out = low.operand(step.outputs[0])
    return _forward(low, s, out, x, w, bias[0] if bias else None, end.activation)


def fused_if_faster(low: Lowering, step: Step) -> list[Instruction] | None:
    """As `fused`, where that is faster than the direct kernels."""
    op = step.op
    if not isinstance(op, Fused) or not is_faster(op.op, *(v.spec for v in step.inputs)):
        return None
    return fused(low, step)


def _run(
    name: str,
    out: Operand,
    inputs: tuple[Operand, ...],
    integers: tuple[int, ...],
) -> Instruction:
    module: Any = native()
    units, scratch, _ = module.plan(f"winograd_{name}_f32", list(integers))
    return Instruction(
        "native", f"winograd_{name}_f32", (out,), inputs, integers=integers, reals=(0.0,),
        units=units, scratch=scratch, provider="winograd",
    )  # fmt: skip


def _made(
    low: Lowering, name: str, inputs: tuple[Operand, ...], integers: tuple[int, ...]
) -> tuple[Operand, Instruction]:
    """Return what only other kernels read, of as many elements as the engine plans, and the kernel that writes it."""
    out = _memory(low, name, integers)
    return out, _run(name, out, inputs, integers)


def _memory(low: Lowering, name: str, integers: tuple[int, ...]) -> Operand:
    module: Any = native()
    elements = module.plan(f"winograd_{name}_f32", list(integers))[2]
    return low.temporary((elements,), "float32")


def filters(
    low: Lowering, w: Operand, transposed: bool, flipped: bool, panels: bool
) -> tuple[Operand, Instruction]:
    """U = G w G^T as operand of a product whose rows are the filters, or the channels where `transposed`."""
    (o, c), r = w.spec.shape[:2], w.spec.shape[2]
    along_filters, along_channels = c * r * r, r * r
    rows, depth = (c, o) if transposed else (o, c)
    strides = (along_channels, along_filters) if transposed else (along_filters, along_channels)
    integers = (rows, depth, r, *strides, int(flipped), int(panels))
    return _made(low, "filter", (w,), integers)


def _forward(
    low: Lowering,
    s: Shapes,
    y: Operand,
    x: Operand,
    w: Operand,
    bias: Operand | None = None,
    kind: int = NONE,
    flip: bool = False,
) -> list[Instruction]:
    u, made = filters(low, w, flip, flip, s.last)
    end = () if bias is None else (bias,)
    form = (int(bias is not None), kind)
    if s.channels * s.filters < LARGE:
        return [made, _run("convolution", y, (x, u, *end), s.integers(*form))]
    instructions = [made]
    columns = max(128, CHUNK_BYTES // (PRODUCTS * 2 * (s.channels + s.filters)))
    chunk = min(s.tiles, -(-columns // s.lanes // 2) * 2)
    for first in range(0, s.tiles, chunk):
        count = min(chunk, s.tiles - first)
        integers = s.integers(*form, first, count)
        v, source = _made(low, "source", (x,), integers)
        m, product = _made(low, "product", (v, u), integers)
        instructions += [source, product, _run("result", y, (m, *end), integers)]
    return instructions


def _as_adjoint(s: Shapes) -> bool:
    """Whether the tiles of dy are so much fewer than those of dx that sums over overlapping tiles pay."""
    return 10 * s.tiles <= 8 * s.flipped().tiles


def _input_gradient(
    low: Lowering, s: Shapes, dx: Operand, dy: Operand, w: Operand
) -> list[Instruction]:
    if not _as_adjoint(s):
        return _forward(low, s.flipped(), dx, dy, w, flip=True)
    u, made = filters(low, w, True, False, False)
    return [made, _run("input_gradient", dx, (dy, u), s.integers())]


def _kernel_gradient(
    low: Lowering, s: Shapes, dw: Operand, x: Operand, dy: Operand
) -> list[Instruction]:
    du = _memory(low, "correlate", s.integers(rows=1))
    tile = PRODUCTS * (s.channels + s.filters) * 4 * LANES
    chunk = min(s.tiles, max(4, SUM_BYTES // tile // 2 * 2))
    instructions = []
    for first in range(0, s.tiles, chunk):
        count = min(chunk, s.tiles - first)
        integers = s.integers(first=first, count=count, rows=1)
        v, source = _made(low, "source", (x,), integers)
        e, spread = _made(low, "spread", (dy,), integers)
        instructions += [source, spread, _run("correlate", du, (e, v), integers)]
    return [*instructions, _run("kernel", dw, (du,), s.integers())]
