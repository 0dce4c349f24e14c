"""Memory in large pages: alignment, zeros, room behind the end, and that the large pages are there."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

import numpy as np
import pytest

from cortex.compute.pages import HUGE, SPARE, allocate

SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")
SMAPS = Path("/proc/self/smaps")
SIZES = (0, 1, 100, HUGE // 2 - SPARE - 1, HUGE // 2 - SPARE, HUGE, HUGE + 5, 3 * HUGE - 1)


def writable(array: np.ndarray) -> None:
    """Write every byte of an allocation and the spare ones behind it."""
    array[:] = 1
    behind = np.lib.stride_tricks.as_strided(array, (array.size + SPARE,), (1,))
    behind[:] = 2


@pytest.mark.parametrize("size", SIZES)
def test_zeroed_aligned_and_with_room_behind(size: int) -> None:
    found = allocate(size)
    assert found.shape == (size,) and found.dtype == np.uint8
    assert not found.any()
    assert size == 0 or found.ctypes.data % 64 == 0
    writable(found)


def huge_bytes(address: int) -> int:
    """Return the bytes in large pages of the mapping that holds an address."""
    inside = False
    for line in SMAPS.read_text().splitlines():
        bounds = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if bounds:
            inside = int(bounds[1], 16) <= address < int(bounds[2], 16)
        elif inside and line.startswith("AnonHugePages:"):
            return int(line.split()[1]) * 1024
    return 0


@pytest.mark.skipif(
    not SWITCH.exists() or "[never]" in SWITCH.read_text(), reason="this system has no large pages"
)
def test_large_blocks_lie_in_large_pages() -> None:
    found = allocate(4 * HUGE)
    found[:] = 1
    assert found.ctypes.data % HUGE == 0
    assert huge_bytes(found.ctypes.data) >= 3 * HUGE  # one may be refused where memory is scattered


def test_little_goes_unused() -> None:
    """A remainder below half a large page lies in small ones: the mapping asks for none there."""
    asked: list[int] = []

    class Counting(mmap.mmap):
        def madvise(self, option: int, start: int = 0, length: int = 0) -> None:
            asked.append(length)
            super().madvise(option, start, length)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmap, "mmap", Counting)
        for size in (HUGE // 2, HUGE + 100, HUGE + HUGE // 2, 5 * HUGE):
            writable(allocate(size))
    assert asked == [HUGE, HUGE, 2 * HUGE, 5 * HUGE]


def test_a_system_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(mmap.mmap):
        def madvise(self, option: int, start: int = 0, length: int = 0) -> None:
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(mmap, "mmap", Refusing)
    writable(allocate(4 * HUGE))


def test_a_system_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    found = allocate(4 * HUGE)
    assert found.ctypes.data % 64 == 0 and not found.any()
    writable(found)
