"""`Spec`: the shape and dtype of a value, known before anything is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .errors import ShapeError, near

Shape = tuple[int, ...]

ITEM_BYTES = {
    "bool": 1,
    "uint8": 1,
    "int32": 4,
    "int64": 8,
    "uint64": 8,
    "float32": 4,
    "float64": 8,
    "float16": 2,
    "bfloat16": 2,
}
FLOATS = ("float32", "float64")  # what is computed in
# How a backend may hold results of float32 between its own steps. Programs do not name them; sums of them are float32.
HALVES = ("float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class Spec:
    """Shape and dtype of a value; a dtype is one of the names in `ITEM_BYTES`.

    Raises:
        ShapeError: a negative or non-integer extent, or an unknown dtype.
    """

    shape: Shape
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if any(not isinstance(n, (int, np.integer)) or n < 0 for n in self.shape):
            raise ShapeError(f"Spec: a shape holds integers >= 0, given {self.shape}")
        if self.dtype not in ITEM_BYTES:
            raise ShapeError(f"Spec: unknown dtype {self.dtype!r}{near(self.dtype, ITEM_BYTES)}")
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Number of bytes of a dense array."""
        return self.size * ITEM_BYTES[self.dtype]

    @property
    def is_float(self) -> bool:
        """Whether the dtype is a floating-point one."""
        return self.dtype in FLOATS or self.dtype in HALVES

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


def common_float(*specs: Spec) -> str:
    """Return the float dtype that a computation on `specs` has: float64 where any is, else float32."""
    return "float64" if any(s.dtype == "float64" for s in specs) else "float32"


def broadcast(operation: str, *shapes: Shape) -> Shape:
    """Return the shape to which `shapes` broadcast by NumPy's rule.

    Raises:
        ShapeError: they do not; the message lists them.
    """
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        listed = ", ".join(map(str, shapes))
        raise ShapeError(
            f"{operation}: shapes {listed} do not broadcast; extents must be equal or 1, aligned at the last axis"
        ) from None
