"""Launch arguments: every value cast to the exact C type of its parameter, and the array of addresses a launch takes.

The same `void**` serves cuLaunchKernel, the kernels compiled for the host and the block emulator. A Python float that
went as a double to a `float`, or an int as 64 bits to an `int`, would be read as rubbish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...compute.errors import BackendError
from .source import Kernel, Variant


class Arguments:
    """The arguments of one launch: `values` (size-one arrays of the exact types) and `address` (of the `void**`).

    The arrays are not moved as long as this object lives; `set` changes one of them in place.
    """

    def __init__(self, kernel: Kernel, variant: Variant, values: Sequence[Any]) -> None:
        if len(values) != len(kernel.parameters):
            raise BackendError(
                f"kernels: {kernel} takes {len(kernel.parameters)} arguments, given {len(values)}"
            )
        self.kernel = kernel
        self.values = [np.zeros(1, p.dtype(variant)) for p in kernel.parameters]
        for number, value in enumerate(values):
            self.set(number, value)
        self.pointers = np.array([v.ctypes.data for v in self.values], np.uint64)

    @property
    def address(self) -> int:
        """Address of the array of addresses, for `void** arguments`."""
        return self.pointers.ctypes.data

    def set(self, number: int, value: Any) -> None:
        """Write argument `number`: an address (or None) for a pointer, a mapping for a structure, else a number.

        Raises:
            BackendError: the value does not fit its type; the message names kernel and parameter.
        """
        target, parameter = self.values[number], self.kernel.parameters[number]
        try:
            if parameter.fields:
                _fill(target, value)
            elif parameter.is_pointer:
                target[0] = 0 if value is None else int(value)
            elif target.dtype.kind in "iu":
                if int(value) != value:
                    raise ValueError(f"{value} is not a whole number")
                target[0] = int(value)
            else:
                target[0] = value
        except (ValueError, TypeError, OverflowError, KeyError) as error:
            raise BackendError(
                f"kernels: {self.kernel.name}: argument {parameter.name} ({parameter.type}) does not take "
                f"{value!r}: {error}"
            ) from None


def _fill(target: np.ndarray, values: Mapping[str, Any]) -> None:
    names = target.dtype.names or ()
    if set(values) != set(names):
        wrong = sorted(set(values) ^ set(names))
        raise ValueError(
            f"the structure has fields {', '.join(names)}; missing or unknown: {', '.join(wrong)}"
        )
    for name in names:
        target[name][0] = values[name]
