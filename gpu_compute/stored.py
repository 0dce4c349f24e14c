"""Floats of 16 bits as the host sees them in memory: NumPy has no bfloat16, so that is the bits, as uint16."""

from __future__ import annotations

from typing import Any

import numpy as np


def memory_dtype(dtype: str) -> np.dtype[Any]:
    """Return the NumPy dtype of an array that holds values of `dtype`."""
    return np.dtype("uint16" if dtype == "bfloat16" else dtype)


def widened(stored: np.ndarray, dtype: str) -> np.ndarray:
    """Return numbers to compute with: float32 for 16 bits, else the array itself."""
    if dtype == "bfloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32) if dtype == "float16" else stored


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return numbers as they are held, rounded to the nearest, ties to even; too large ones become infinite."""
    if dtype != "bfloat16":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    bits = np.ascontiguousarray(values, np.float32).reshape(values.shape).view(np.uint32)
    even = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, even).astype(np.uint16)
