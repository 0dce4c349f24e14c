"""The executor in Python, for when there is no native engine: the same instructions, one thread."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence

_SIGNATURE = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)


class Interpreter:
    """Runs functions by address and Python callables, in order."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], None]] = []

    def add_function(
        self,
        address: int,
        buffers: Sequence[int],
        integers: Sequence[int],
        reals: Sequence[float],
        units: int,
        grain: int,
    ) -> None:
        """Append a call of compiled machine code over all its units."""
        function = _SIGNATURE(address)
        b = (ctypes.c_void_p * max(1, len(buffers)))(*buffers)
        i = (ctypes.c_int64 * max(1, len(integers)))(*integers)
        r = (ctypes.c_double * max(1, len(reals)))(*reals)
        self._calls.append(lambda: function(b, i, r, 0, units))

    def add_python(self, function: Callable[[], None]) -> None:
        """Append a call of a Python function."""
        self._calls.append(function)

    def run(self) -> None:
        """Run all instructions in order."""
        for call in self._calls:
            call()

    def profile(self) -> list[float]:
        """Run once and return the seconds of each instruction."""
        seconds = []
        for call in self._calls:
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        return seconds
