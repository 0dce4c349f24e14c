"""`Options`: how programs are to run on a GPU; plain values, checked when a backend is made."""

from __future__ import annotations

from dataclasses import dataclass

from cortex.compute.errors import BackendError, near
from cortex.compute.options import option

# What each name lets products and convolutions of float32 do; results and weights stay float32 in all of them.
PRECISIONS = {
    "float32": "24-bit mantissas everywhere",
    "tf32": "products and convolutions round their operands to 10 bits of mantissa and add up in float32",
    "bfloat16": "products and convolutions round their operands to bfloat16 (7 bits) and add up in float32",
}


@dataclass(frozen=True)
class Options:
    """How a backend runs programs.

    Raises:
        BackendError: an unknown precision, or less than one step per launch.
    """

    precision: str = option(
        "float32", f"what products and convolutions multiply: {', '.join(PRECISIONS)}"
    )
    deterministic: bool = option(True, "only library plans that give equal bits every time")
    capture: bool = option(True, "replay a captured graph; false enqueues each kernel at each run")
    debug: bool = option(
        False, "kernel by kernel; stop at the first that gives a NaN, and check labels"
    )
    steps_per_launch: int = option(1, "how many steps one launch of `run(count)` may hold")

    @property
    def multiplies_in(self) -> str:
        """The dtype to which operands of float32 products and convolutions are rounded; TF32 rounds by itself."""
        return "bfloat16" if self.precision == "bfloat16" else "float32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise BackendError(
                f"unknown precision {self.precision!r}{near(self.precision, PRECISIONS)}"
            )
        if not isinstance(self.steps_per_launch, int) or self.steps_per_launch < 1:
            raise BackendError(
                f"steps_per_launch: expected an integer >= 1, given {self.steps_per_launch!r}"
            )
