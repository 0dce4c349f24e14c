"""`Options`: how programs are to run on a GPU; plain values, checked when a backend is made."""

from __future__ import annotations

from dataclasses import dataclass

from cortex.compute.errors import BackendError, near
from cortex.compute.options import option
from cortex.compute.spec import HALVES

# What each name does to programs of float32; state and sums are float32 in all of them.
PRECISIONS = {
    "float32": "24-bit mantissas everywhere",
    "tf32": "products and convolutions round their operands to 10 bits of mantissa",
    "bfloat16": "activations and gradients are held in bfloat16 (7 bits), which products and convolutions read",
    "float16": "the same in float16 (10 bits, nothing above 65504): scale the loss lest gradients vanish",
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
    def held(self) -> str:
        """The dtype in which convolutions of float32 read, and activations and gradients are held."""
        return self.precision if self.precision in HALVES else "float32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise BackendError(
                f"unknown precision {self.precision!r}{near(self.precision, PRECISIONS)}"
            )
        if not isinstance(self.steps_per_launch, int) or self.steps_per_launch < 1:
            raise BackendError(
                f"steps_per_launch: expected an integer >= 1, given {self.steps_per_launch!r}"
            )
