"""The compiled engine `cortex.compute._native`, or the reason why it is missing."""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np


@cache
def native() -> ModuleType | None:
    """Return the compiled engine, or None where it was not built or `CORTEX_NATIVE=0` switches it off."""
    return _load()[0]


@cache
def engine() -> str:
    """Return `native:<instruction set>`, or `fallback: <reason>`."""
    module, reason = _load()
    return f"native:{module.isa()}" if module is not None else f"fallback: {reason}"


COPIED_TOGETHER = 256 << 10  # bytes from which all threads copy; one alone takes 25 us for as many


def copy_array(target: np.ndarray, given: np.ndarray) -> None:
    """Copy an array into one of its shape and perhaps another dtype, by all threads where it is large.

    What all cores have just read is slow to write (docs/performance.md), and twice as fast for two: the batch of an
    MLP, 0.8 MB, took 70 us of a step of 3.2 ms and takes half of that.
    """
    module = native()
    plain = target.dtype == given.dtype and target.flags.c_contiguous and given.flags.c_contiguous
    if module is None or target.nbytes < COPIED_TOGETHER or not plain:
        np.copyto(target, given, casting="unsafe")
    else:
        module.copy(target, given)


@cache
def _load() -> tuple[Any, str]:
    if os.environ.get("CORTEX_NATIVE") == "0":
        return None, "switched off by CORTEX_NATIVE=0"
    try:
        from cortex.compute import _native
    except ImportError as error:
        return (
            None,
            f"the compiled engine is missing ({error}); install with a C++ compiler to build it",
        )
    return _native, ""
