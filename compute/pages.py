"""Host memory in large pages, where the system has them.

With pages of 4 KB a network's memory lies in thousands of them, and finding the next one holds up the kernels:
products of an MLP at batch 256 ran 3 to 9 % faster with pages of 2 MB (Zen 4, in a virtual machine, where a miss costs
two searches).
"""

from __future__ import annotations

import mmap

import numpy as np

HUGE = 2 << 20  # bytes of a large page, on x86 and on ARM with small pages of 4 KB
ALIGNMENT = 64
SPARE = 64  # bytes behind the end that a vector may touch


def allocate(size: int) -> np.ndarray:
    """Return `size` zeroed bytes at an address that is a multiple of 64, with 64 spare bytes behind them.

    From 1 MB on they are asked for in pages of 2 MB; the last part of such a page has one where it fills half of it, so
    that at most 1 MB goes unused. Where the system has no such pages, or refuses, they are small.
    """
    if size + SPARE < HUGE // 2 or not hasattr(mmap, "MADV_HUGEPAGE"):
        raw = np.zeros(size + ALIGNMENT + SPARE, np.uint8)
        return _at(raw, ALIGNMENT, size)
    whole = (size + SPARE + HUGE // 2) // HUGE * HUGE
    mapped = mmap.mmap(
        -1, max(whole, size + SPARE) + HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    )
    raw = np.frombuffer(mapped, np.uint8)
    try:
        mapped.madvise(mmap.MADV_HUGEPAGE, -raw.ctypes.data % HUGE, whole)
    except OSError:  # a kernel that was built without them
        pass
    return _at(raw, HUGE, size)


def _at(raw: np.ndarray, alignment: int, size: int) -> np.ndarray:
    """Return the first `size` bytes at a multiple of `alignment`."""
    offset = -raw.ctypes.data % alignment
    return raw[offset : offset + size]
