"""`Instruction`: what the executor runs. Operands are places until the plan gives them addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..plan.storage import Operand

__all__ = ["Instruction", "Kind", "Operand"]

Kind = Literal["native", "function", "python"]


@dataclass(frozen=True)
class Instruction:
    """One kernel call over `units` of work, handed out in pieces of at least `grain`.

    `native`: `target` names a kernel of the compiled engine. `function`: it is the address of compiled machine code
    with the signature of a `Function` (csrc/kernel.h), `keep` holds what must stay alive for it. `python`: it is called
    with the arrays of the inputs and of the outputs.
    """

    kind: Kind
    target: str | int | Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], None]
    outputs: tuple[Operand, ...]
    inputs: tuple[Operand, ...]
    order: tuple[int, ...] = ()  # buffers by position in outputs + inputs; empty: in that order
    integers: tuple[int, ...] = ()
    reals: tuple[float, ...] = ()
    units: int = 1
    grain: int = 1
    scratch: int = 0
    stretches: tuple[int, ...] = ()  # first and end of each: units in the order that threads take
    provider: str = "native"
    keep: object = field(default=None, repr=False)

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Outputs, then inputs."""
        return self.outputs + self.inputs

    @property
    def buffers(self) -> list[int]:
        """The addresses in the order that the kernel documents."""
        every = self.operands
        chosen = [every[i] for i in self.order] if self.order else every
        return [o.place.address for o in chosen]
