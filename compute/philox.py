"""Philox4x32-10, a counter-based random generator, in plain NumPy: the definition that every backend must equal.

Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011). The counter of a block is
(block low, block high, step, op); block i gives elements 4i .. 4i + 3 of one array.
"""

from __future__ import annotations

import math

import numpy as np

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox4x32(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Encrypt counters uint32 [n, 4] under a key of two 32-bit words; returns uint32 [n, 4]."""
    c0, c1, c2, c3 = (np.asarray(counter[:, i], np.uint64) for i in range(4))
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(10):
        p0, p1 = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (p1 >> SHIFT) ^ c1 ^ k0, p1 & LOW, (p0 >> SHIFT) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    return np.stack([c0, c1, c2, c3], 1).astype(np.uint32)


def words(size: int, seed: int, step: int, number: int, first: int = 0) -> np.ndarray:
    """Return `size` random 32-bit words of random op `number` at `step` under a 64-bit `seed`.

    `first`, a multiple of 4, is the number of the first of them.
    """
    blocks = np.arange(-(-size // 4), dtype=np.uint64) + np.uint64(first // 4)
    counter = np.empty((len(blocks), 4), np.uint32)
    counter[:, 0], counter[:, 1] = blocks & LOW, blocks >> SHIFT
    counter[:, 2], counter[:, 3] = step & 0xFFFFFFFF, number
    return philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32)).reshape(-1)[:size]


def uniform(
    size: int, seed: int, step: int, number: int, dtype: str = "float32", first: int = 0
) -> np.ndarray:
    """Return numbers in [0, 1), one word each: its upper 24 bits in float32, all 32 in float64."""
    w = words(size, seed, step, number, first)
    if dtype == "float32":
        return (w >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)
    return w * 2.0**-32


def normal(
    size: int, seed: int, step: int, number: int, dtype: str = "float32", first: int = 0
) -> np.ndarray:
    """Return standard normal numbers: Box-Muller on the word pairs (0, 1) and (2, 3) of each block."""
    w = words(-(-size // 4) * 4, seed, step, number, first).reshape(-1, 2).astype(np.float64)
    radius = np.sqrt(-2 * np.log((w[:, 0] + 1) * 2.0**-32))
    angle = 2 * math.pi * w[:, 1] * 2.0**-32
    both = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return both.reshape(-1)[:size].astype(dtype)
