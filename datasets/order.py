"""Random orders that depend on a seed and a few counters, and on nothing else.

An order is the sorting order of raw 64-bit outputs of Philox4x64-10 (Salmon et al., "Parallel
random numbers: as easy as 1, 2, 3", 2011). NumPy keeps raw bit streams the same in all versions
but not `Generator.permutation`, and a resumed run must see the order of the first one.
"""

from __future__ import annotations

import operator
from typing import SupportsIndex

import numpy as np

from .errors import DataError
from .protocol import Array, Rows

EPOCH, SPLIT, SHUFFLE, BALANCE = range(4)  # one independent stream for each use of a seed


def stream(seed: int, *path: int) -> np.random.Philox:
    """The bit generator of `seed` for one use, named by a path of numbers.

    Raises DataError for a seed or a path that is no whole number >= 0.
    """
    numbers = [whole("seed", seed, 0), *(whole("counter", number, 0) for number in path)]
    # The path goes into the spawn key: as further entropy, (2**32, 0) and (0, 1) would coincide.
    return np.random.Philox(np.random.SeedSequence(numbers[0], spawn_key=tuple(numbers[1:])))


def permutation(count: int, seed: int, *path: int) -> Rows:
    """The numbers 0 .. count-1 [count], int64, in the random order of (seed, path)."""
    keys: Array = stream(seed, *path).random_raw(count)
    return np.argsort(keys, kind="stable").astype(np.int64, copy=False)


def whole(name: str, value: SupportsIndex, least: int) -> int:
    """`value` as an int that is at least `least`, or DataError naming the argument."""
    try:
        number = operator.index(value)
    except TypeError:
        raise DataError(f"{name} must be a whole number, got {value!r}") from None
    if number < least:
        raise DataError(f"{name} must be at least {least}, got {number}")
    return number
