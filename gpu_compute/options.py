"""`Options`: how programs are to run on a GPU; plain values, checked when a backend is made."""

from __future__ import annotations

from dataclasses import dataclass

from cortex.compute.errors import BackendError, near
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

    `precision` is a name of `PRECISIONS`. `deterministic` admits only library plans that give equal bits every time.
    `capture` replays a captured graph from the first run on; without it every run enqueues each kernel. `debug` runs
    kernel by kernel, stops at the first that gives a NaN, and checks labels. `steps_per_launch` is the number of steps
    that one launch of `run(count)` may hold.

    Raises:
        BackendError: an unknown precision, or less than one step per launch.
    """

    precision: str = "float32"
    deterministic: bool = True
    capture: bool = True
    debug: bool = False
    steps_per_launch: int = 1

    @property
    def held(self) -> str:
        """The dtype in which convolutions of float32 read, and activations and gradients are held."""
        return self.precision if self.precision in HALVES else "float32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise BackendError(
                f"cuda: unknown precision {self.precision!r}{near(self.precision, PRECISIONS)}"
            )
        if not isinstance(self.steps_per_launch, int) or self.steps_per_launch < 1:
            raise BackendError(
                f"cuda: steps_per_launch: expected an integer >= 1, given {self.steps_per_launch!r}"
            )
