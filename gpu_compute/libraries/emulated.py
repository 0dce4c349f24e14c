"""`MatmulOps` and `DnnOps` by NumPy, on addresses of the host: GPU programs run in tests without a GPU.

Products are computed from the library's column-major arguments and nothing else, so that a wrong argument gives a wrong
result here too. float16 and bfloat16 operands are computed in float32 and rounded once, at the end.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cortex.compute.errors import BackendError

from ..stored import memory_dtype, rounded, widened
from . import dnn
from .cublas import check_operands
from .emulated_dnn import FORMULAS
from .errors import Unsupported
from .products import ITEM_BYTES, Alignments, ProductArguments
from .protocols import WORKSPACE_LIMIT


class EmulatedProducts:
    """Matrix products by NumPy; addresses are those of the host."""

    def plan(
        self,
        arguments: ProductArguments,
        *,
        workspace_limit: int = WORKSPACE_LIMIT,
        alignments: Alignments | None = None,
    ) -> EmulatedProduct:
        """Return the plan; there is nothing to choose."""
        return EmulatedProduct(arguments, alignments or Alignments())


class EmulatedProduct:
    """A product by NumPy that needs no workspace, and refuses addresses that are not aligned as planned."""

    workspace = 0

    def __init__(self, arguments: ProductArguments, alignments: Alignments) -> None:
        self.arguments, self._alignments = arguments, alignments

    def run(
        self,
        a: int,
        b: int,
        d: int,
        *,
        c: int = 0,
        bias: int = 0,
        aux: int = 0,
        workspace: int = 0,
        stream: int = 0,
    ) -> None:
        """Compute the product at once; see `ProductPlan`."""
        g = self.arguments
        check_operands(g, bias, aux)
        given = {"a": a, "b": b, "c": c, "d": d, "bias": bias, "aux": aux}
        for name, address in given.items():
            if address % getattr(self._alignments, name):
                raise BackendError(
                    f"cuBLASLt product: {name} at address {address} is not aligned to the "
                    f"{getattr(self._alignments, name)} bytes that it was planned with"
                )
        if g.empty:
            return
        item, out = ITEM_BYTES[g.dtype], ITEM_BYTES[g.out_dtype]
        for left, right, result in g.offsets:
            for i in range(g.batch):
                one_product(
                    g,
                    b + (right + i * g.stride_a) * item,
                    a + (left + i * g.stride_b) * item,
                    (c or d) + (result + i * g.stride_d) * out,
                    d + (result + i * g.stride_d) * out,
                    bias,
                    aux,
                )


def one_product(g: ProductArguments, a: int, b: int, c: int, d: int, bias: int, aux: int) -> None:
    """Compute what cuBLASLt does with these arguments: column-major, its A first."""
    op_a = _column_major(g.dtype, a, g.m, g.k, g.lda, g.transpose_a)
    op_b = _column_major(g.dtype, b, g.k, g.n, g.ldb, g.transpose_b)
    kind = op_a.dtype.type
    z = kind(g.alpha) * (op_a @ op_b)
    if g.beta:
        z = z + kind(g.beta) * _column_major(g.out_dtype, c, g.m, g.n, g.ldd, False)
    if g.has_bias and not g.writes_bias:
        z = z + read(g.bias_dtype, bias, (g.m,))[:, None]
    z, gradient = _activated(g, z, aux)
    if g.epilogue == "bgrad_right":
        gradient = op_a.sum(1)  # our right operand is the library's A
    elif g.epilogue == "bgrad_left":
        gradient = op_b.sum(0)
    if g.writes_bias:
        write(g.bias_dtype, bias, gradient)
    stored = rounded(z, g.out_dtype)
    _memory(g.out_dtype, d, (g.m, g.n), (1, g.ldd))[...] = stored


def _activated(g: ProductArguments, z: np.ndarray, aux: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the result after activation or derivative, and its sum over the columns."""
    if "relu" in g.epilogue:
        if g.has_aux:
            bits = _memory("bits", aux, (g.aux_ld // 8, g.n), (1, g.aux_ld // 8))
            if g.writes_aux:
                padded = np.zeros((g.aux_ld, g.n), np.uint8)
                padded[: g.m] = z > 0
                bits[...] = np.packbits(padded, 0, "little")
            else:
                z = z * np.unpackbits(bits, axis=0, bitorder="little")[: g.m].astype(z.dtype)
        z = np.maximum(z, 0) if g.epilogue.startswith("relu") else z
    elif "gelu" in g.epilogue:
        x = z
        if g.has_aux:
            kept = _memory(g.out_dtype, aux, (g.m, g.n), (1, g.aux_ld))
            if g.writes_aux:
                kept[...] = rounded(z, g.out_dtype)
            x = widened(kept, g.out_dtype)
        z = z * gelu_slope(x) if g.epilogue.startswith("d") else gelu(z)
    return z, z.sum(1)


def gelu(x: np.ndarray) -> np.ndarray:
    """Return x times the normal distribution function, by its tanh approximation (Hendrycks and Gimpel 2016)."""
    return np.asarray(
        0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))), x.dtype
    )


def gelu_slope(x: np.ndarray) -> np.ndarray:
    """Return the derivative of `gelu`."""
    root = math.sqrt(2 / math.pi)
    t = np.tanh(root * (x + 0.044715 * x**3))
    slope = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x)
    return np.asarray(slope, x.dtype)


class EmulatedDnn:
    """Convolution, normalisation and attention by NumPy; addresses are those of the host."""

    def plan(self, description: dnn.Description, choice: int = 0) -> EmulatedGraph:
        """Return the plan; there is nothing to compile, and one choice."""
        if choice:
            raise Unsupported(
                f"the emulation has one plan of {description}, asked for number {choice}"
            )
        return EmulatedGraph(description)


class EmulatedGraph:
    """A description of `dnn` computed by NumPy; it needs no workspace."""

    workspace = 0
    notes = ("NumPy",)

    def __init__(self, description: dnn.Description) -> None:
        self.description = description

    def run(self, addresses: Mapping[str, int], *, workspace: int = 0, stream: int = 0) -> None:
        """Compute the graph at once; see `DnnPlan`."""
        inputs, outputs = self.description.inputs, self.description.outputs
        dnn.check_addresses(self.description, addresses)
        arrays = {name: load(o, addresses[name]) for name, o in inputs.items()}
        results = FORMULAS[type(self.description)](self.description, **arrays)
        for (name, o), result in zip(outputs.items(), results, strict=True):
            save(o, addresses[name], np.asarray(result).reshape(o.shape))


def load(operand: dnn.Operand, address: int) -> np.ndarray:
    """Return an operand of the host as numbers to compute with, logical shape."""
    if operand.dtype != "bits":
        stored = _memory(operand.dtype, address, operand.shape, operand.strides)
        return widened(np.array(stored), operand.dtype)  # a copy: results may be written over it
    count = math.prod(operand.shape)
    packed = _memory("bits", address, (operand.bytes,), (1,))
    flat = np.unpackbits(packed, count=count, bitorder="little")
    return np.lib.stride_tricks.as_strided(flat, operand.shape, operand.strides)


def save(operand: dnn.Operand, address: int, values: np.ndarray) -> None:
    """Store an operand of logical shape at an address of the host, rounded to nearest even."""
    if operand.dtype != "bits":
        place = _memory(operand.dtype, address, operand.shape, operand.strides)
        place[...] = rounded(values, operand.dtype)
        return
    flat = np.zeros(math.prod(operand.shape), np.uint8)
    np.lib.stride_tricks.as_strided(flat, operand.shape, operand.strides)[...] = values
    _memory("bits", address, (operand.bytes,), (1,))[...] = np.packbits(flat, bitorder="little")


def read(dtype: str, address: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return a dense row-major array of the host as numbers to compute with: 16-bit floats become float32."""
    return load(dnn.Operand(shape, dtype), address)


def write(dtype: str, address: int, values: np.ndarray) -> None:
    """Store an array densely at an address of the host, rounded to nearest even."""
    save(dnn.Operand(values.shape, dtype), address, values)


def _memory(
    dtype: str, address: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> np.ndarray:
    """Return a view of memory as it is stored; strides in elements."""
    stored = memory_dtype("uint8" if dtype == "bits" else dtype)
    if 0 in shape:
        return np.zeros(shape, stored)
    last = sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    block: Any = (ctypes.c_char * ((last + 1) * stored.itemsize)).from_address(address)
    flat = np.frombuffer(block, stored)
    steps = [s * stored.itemsize for s in strides]
    return np.lib.stride_tricks.as_strided(flat, shape, steps)


def _column_major(
    dtype: str, address: int, rows: int, columns: int, ld: int, transposed: bool
) -> np.ndarray:
    """Return op(X) [rows, columns] of a column-major matrix X whose columns are `ld` apart."""
    shape = (columns, rows) if transposed else (rows, columns)
    held = widened(_memory(dtype, address, shape, (1, ld)), dtype)
    return held.T if transposed else held
