"""Matrix products by cuBLASLt: a row-major `MatMul` as the library's column-major arguments, planned once.

A row-major matrix is, read column by column, its transpose. So C = A B is asked of the library as C^T = B^T A^T: its
left operand is our right one, its rows are our columns. A bias, one number per row of the library's result, is then one
number per column of ours: the features of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from cortex.compute.errors import ShapeError, near
from cortex.compute.ops.matmul import MatMul
from cortex.compute.spec import Shape, broadcast

from .errors import Unsupported

Epilogue = Literal[
    "none",
    "bias",
    "relu",
    "relu_bias",
    "relu_aux",
    "relu_aux_bias",
    "gelu",
    "gelu_bias",
    "gelu_aux",
    "gelu_aux_bias",
    "drelu",
    "drelu_bgrad",
    "dgelu",
    "dgelu_bgrad",
    "bgrad_left",
    "bgrad_right",
]
"""What follows a product D [m, n] = A B, in row-major terms; `bias` is [n] but where said otherwise.

- `bias`, `relu`, `gelu` and both: D = activation(A B + bias), gelu by its tanh approximation.
- `..._aux...`: also writes what the backward pass needs: the bits of "> 0" (relu), or A B + bias (gelu).
- `drelu`, `dgelu`: D = A B times the derivative, read from that auxiliary buffer.
- `..._bgrad`: also writes the sum of D over its rows, the gradient of the bias before the activation, into `bias`.
- `bgrad_left`, `bgrad_right`: also writes the sum over k of A into `bias` [m], of B into `bias` [n].
"""
LIBRARY_EPILOGUE = {
    "none": "DEFAULT",
    "bgrad_left": "BGRADB",  # our left operand is the library's B
    "bgrad_right": "BGRADA",
}
MASK_BITS = 128  # rows of bits are padded to a multiple of these: the library's rule
ITEM_BYTES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}
LIBRARY_TYPE = {"float32": "R_32F", "float64": "R_64F", "float16": "R_16F", "bfloat16": "R_16BF"}


@dataclass(frozen=True)
class Alignments:
    """Bytes that each operand's address is a multiple of (a power of two)."""

    a: int = 256
    b: int = 256
    c: int = 256
    d: int = 256
    bias: int = 256
    aux: int = 256

    @staticmethod
    def of(**addresses: int) -> Alignments:
        """Return the alignments of addresses, 256 at most; of 0 too."""
        return Alignments(**{n: min(256, v & -v) if v else 256 for n, v in addresses.items()})


@dataclass(frozen=True)
class ProductArguments:
    """A product as cuBLASLt takes it, column-major: its A is our right operand, its B our left one.

    D [m, n] = epilogue(alpha op(A) op(B) + beta C); extents and strides in elements. `offsets` has one triple (our
    left, our right, D) for each call of the library: a broadcast that is not one strided batch takes several.
    """

    m: int
    n: int
    k: int
    transpose_a: bool
    transpose_b: bool
    lda: int
    ldb: int
    ldd: int
    dtype: str
    out_dtype: str
    bias_dtype: str
    compute: str
    epilogue: Epilogue
    batch: int = 1
    stride_a: int = 0
    stride_b: int = 0
    stride_d: int = 0
    aux_ld: int = 0
    alpha: float = 1.0
    beta: float = 0.0
    offsets: tuple[tuple[int, int, int], ...] = ((0, 0, 0),)

    @property
    def library_epilogue(self) -> str:
        """Name of the epilogue in NVIDIA's header."""
        return "EPILOGUE_" + LIBRARY_EPILOGUE.get(self.epilogue, self.epilogue.upper())

    @property
    def has_bias(self) -> bool:
        """Whether `bias` is read or written."""
        return "bias" in self.epilogue or self.writes_bias

    @property
    def writes_bias(self) -> bool:
        """Whether `bias` is an output: a gradient."""
        return "bgrad" in self.epilogue

    @property
    def bias_size(self) -> int:
        """Elements of `bias`."""
        return (self.n if self.epilogue == "bgrad_left" else self.m) if self.has_bias else 0

    @property
    def has_aux(self) -> bool:
        """Whether the auxiliary buffer is read or written."""
        return self.writes_aux or self.epilogue.startswith("d")

    @property
    def writes_aux(self) -> bool:
        """Whether the auxiliary buffer is an output."""
        return "_aux" in self.epilogue

    @property
    def aux_stride(self) -> int:
        """Elements (relu: bits) of the auxiliary buffer per member of the batch."""
        return self.aux_ld * self.n

    @property
    def aux_bytes(self) -> int:
        """Bytes of the auxiliary buffer."""
        count = self.aux_stride * self.batch
        return count // 8 if "relu" in self.epilogue else count * ITEM_BYTES[self.out_dtype]

    @property
    def empty(self) -> bool:
        """Whether D has no elements, so that there is nothing to run."""
        return not (self.m and self.n and self.batch and self.offsets)

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.m * self.n * self.k * self.batch * len(self.offsets)


def cublas_arguments(
    op: MatMul,
    a: Shape,
    b: Shape,
    dtype: str = "float32",
    *,
    strides_a: Sequence[int] | None = None,
    strides_b: Sequence[int] | None = None,
    strides_d: Sequence[int] | None = None,
    out_dtype: str | None = None,
    bias_dtype: str | None = None,
    tf32: bool = False,
    epilogue: Epilogue = "none",
    alpha: float = 1.0,
    beta: float = 0.0,
) -> ProductArguments:
    """Return what cuBLASLt must be told so that D = op(A, B) as `MatMul` defines it.

    Shapes and strides (in elements; dense where None) are those of the operands as they are held, that is before
    `transpose_a` and `transpose_b`; either of the last two axes may be the contiguous one. Products of float16 and
    bfloat16 are summed in float32; `tf32` lets float32 operands be rounded to 10 bits of mantissa.

    Raises:
        ShapeError: shapes do not fit, or a dtype or epilogue is unknown.
        Unsupported: the library has no form for it; the message says what to do.
    """
    out_dtype = out_dtype or dtype
    _check(a, b, dtype, out_dtype, epilogue)
    left = _Matrix.of("the left operand", a, strides_a, op.transpose_a)
    right = _Matrix.of("the right operand", b, strides_b, op.transpose_b)
    (m, k), (inner, n) = left.extents, right.extents
    if k != inner:
        raise ShapeError(f"cuBLASLt product: the inner extents differ: {k} and {inner}")
    batch = broadcast("cuBLASLt product: batch", a[:-2], b[:-2])
    out = _Matrix.of("the result", (*batch, m, n), strides_d, False)
    if out.transposed:
        raise Unsupported(
            "cuBLASLt product: the result's last axis must be contiguous; compute its transpose instead"
        )
    if k == 0:
        raise Unsupported(
            "cuBLASLt product: the inner extent is 0; fill the result with zeros instead"
        )
    axes = _merged(batch, left.spread(batch), right.spread(batch), out.spread(batch))
    m, axes = _folded(m, axes, left, out, epilogue)
    count, steps, offsets = _launches(axes)
    if epilogue not in ("none", "relu", "gelu", "bias", "relu_bias", "gelu_bias") and (
        count > 1 or len(offsets) > 1
    ):
        raise Unsupported(
            f"cuBLASLt product: epilogue {epilogue} takes one product, given a batch {batch}; "
            "compute gradient and product in separate steps"
        )
    aux = "_aux" in epilogue or epilogue.startswith("d")
    unit = MASK_BITS if "relu" in epilogue else 8
    return ProductArguments(
        m=n,
        n=m,
        k=k,
        transpose_a=right.transposed,
        transpose_b=left.transposed,
        lda=right.ld,
        ldb=left.ld,
        ldd=out.ld,
        dtype=dtype,
        out_dtype=out_dtype,
        bias_dtype=bias_dtype or out_dtype,
        compute=_compute(dtype, tf32),
        epilogue=epilogue,
        batch=count,
        stride_a=steps[1],
        stride_b=steps[0],
        stride_d=steps[2],
        aux_ld=-(-n // unit) * unit if aux else 0,
        alpha=alpha,
        beta=beta,
        offsets=offsets,
    )


def _check(a: Shape, b: Shape, dtype: str, out_dtype: str, epilogue: str) -> None:
    if len(a) < 2 or len(b) < 2:
        raise ShapeError(
            f"cuBLASLt product: expected two operands of rank >= 2, given shapes {a} and {b}"
        )
    for name in (dtype, out_dtype):
        if name not in ITEM_BYTES:
            raise ShapeError(f"cuBLASLt product: unknown dtype {name!r}{near(name, ITEM_BYTES)}")
    if out_dtype != dtype and (out_dtype != "float32" or dtype == "float64"):
        raise ShapeError(
            f"cuBLASLt product: operands of {dtype} give {dtype} or, from 16 bits, float32; asked for {out_dtype}"
        )
    if epilogue not in get_args(Epilogue):
        known = get_args(Epilogue)
        raise ShapeError(f"cuBLASLt product: unknown epilogue {epilogue!r}{near(epilogue, known)}")


def _compute(dtype: str, tf32: bool) -> str:
    if dtype == "float64":
        return "COMPUTE_64F"
    return "COMPUTE_32F_FAST_TF32" if tf32 and dtype == "float32" else "COMPUTE_32F"


@dataclass(frozen=True)
class _Matrix:
    """A row-major operand: extents as the product sees them, distance of rows as held, strides of its batch axes."""

    extents: tuple[int, int]
    ld: int
    transposed: bool
    batch: tuple[tuple[int, int], ...]  # extent and stride of each leading axis

    @staticmethod
    def of(what: str, shape: Shape, strides: Sequence[int] | None, transposed: bool) -> _Matrix:
        if strides is None:
            strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        if len(strides) != len(shape):
            raise ShapeError(
                f"cuBLASLt product: {what} has shape {shape}, but {len(strides)} strides"
            )
        extents = (shape[-1], shape[-2]) if transposed else (shape[-2], shape[-1])
        (rows, columns), (row, column) = shape[-2:], strides[-2:]
        if column != 1 and columns > 1:  # held column by column: the transpose, held row by row
            rows, columns, row, column, transposed = columns, rows, column, row, not transposed
        if column != 1 and columns > 1 or (row < columns and rows > 1):
            raise Unsupported(
                f"cuBLASLt product: {what} of shape {shape} and strides {tuple(strides)} needs one contiguous axis "
                "among its last two and rows that do not overlap; copy it first"
            )
        leading = tuple(zip(shape[:-2], strides[:-2], strict=True))
        return _Matrix(
            extents, max(row, columns, 1) if rows > 1 else max(columns, 1), transposed, leading
        )

    def spread(self, batch: Shape) -> list[int]:
        """Return the stride along each axis of the broadcast batch, 0 where this operand is repeated."""
        missing = len(batch) - len(self.batch)
        return [0] * missing + [0 if n == 1 else s for n, s in self.batch]


_Axis = tuple[int, tuple[int, int, int]]  # extent, strides of left, right and result


def _merged(batch: Shape, *strides: list[int]) -> list[_Axis]:
    """Return the batch axes, those that are one in memory merged, outermost first."""
    axes: list[_Axis] = []
    for extent, a, b, d in zip(batch, *strides, strict=True):
        if extent == 1:
            continue
        inner = (a, b, d)
        if axes and all(o == i * extent for o, i in zip(axes[-1][1], inner, strict=True)):
            axes[-1] = (axes[-1][0] * extent, inner)
        else:
            axes.append((extent, inner))
    return axes


def _folded(
    m: int, axes: list[_Axis], left: _Matrix, out: _Matrix, epilogue: str
) -> tuple[int, list[_Axis]]:
    """Make the innermost batch axis rows of the left operand, where the right one is shared and rows are even."""
    if not axes or left.transposed or epilogue == "bgrad_left":
        return m, axes
    extent, (a, b, d) = axes[-1]
    even = a == m * left.ld and d == m * out.ld
    return (m * extent, axes[:-1]) if b == 0 and even else (m, axes)


def _launches(
    axes: list[_Axis],
) -> tuple[int, tuple[int, int, int], tuple[tuple[int, int, int], ...]]:
    """Make the longest axis the library's batch; return its extent, its strides and the offsets along the others."""
    if not axes:
        return 1, (0, 0, 0), ((0, 0, 0),)
    longest = max(range(len(axes)), key=lambda i: axes[i][0])
    offsets = [(0, 0, 0)]
    for extent, (a, b, d) in axes[:longest] + axes[longest + 1 :]:
        offsets = [(x + i * a, y + i * b, z + i * d) for x, y, z in offsets for i in range(extent)]
    return *axes[longest], tuple(offsets)
