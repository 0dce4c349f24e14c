"""What the CUDA backend asks of a library: plan once, then run on raw addresses.

A plan is made for fixed shapes. It says how many bytes of workspace it needs before it runs, so that the memory plan
includes them. `run` only enqueues work on a stream: no allocation, no synchronisation, so it may be captured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .dnn import Description
    from .products import Alignments, ProductArguments

WORKSPACE_LIMIT = 32 << 20  # bytes; what NVIDIA recommends for cuBLASLt on Hopper
ALIGNMENT = 256  # bytes, of workspaces and, unless said otherwise, of every operand


class ProductPlan(Protocol):
    """A matrix product that is ready to run."""

    @property
    def arguments(self) -> ProductArguments:
        """What was planned."""
        ...

    @property
    def workspace(self) -> int:
        """Bytes of scratch memory, aligned to 256, that `run` needs."""
        ...

    def run(
        self,
        a: int,
        b: int,
        d: int,
        *,
        c: int = 0,
        bias: int = 0,
        aux: int = 0,
        workspace: int = 0,
        stream: int = 0,
    ) -> None:
        """Enqueue D = epilogue(alpha A B + beta C); addresses of the row-major operands; `c` 0 means D itself.

        Raises:
            BackendError: an operand that the epilogue needs is 0, or an address is not aligned as planned.
        """
        ...


class MatmulOps(Protocol):
    """A library of matrix products."""

    def plan(
        self,
        arguments: ProductArguments,
        *,
        workspace_limit: int = WORKSPACE_LIMIT,
        alignments: Alignments | None = None,
    ) -> ProductPlan:
        """Choose an algorithm.

        Raises:
            Unsupported: the library has no kernel for this; the caller computes it in another way.
            BackendError: the library is missing or failed.
        """
        ...


class DnnPlan(Protocol):
    """A graph of cuDNN that is ready to run."""

    @property
    def description(self) -> Description:
        """What was planned."""
        ...

    @property
    def workspace(self) -> int:
        """Bytes of scratch memory, aligned to 256, that `run` needs."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth reporting: the engine chosen, tensor cores, determinism."""
        ...

    def run(self, addresses: Mapping[str, int], *, workspace: int = 0, stream: int = 0) -> None:
        """Enqueue the graph; one address for each name in the description's inputs and outputs.

        Raises:
            BackendError: an address is missing, or one that is not an operand was given.
        """
        ...


class DnnOps(Protocol):
    """A library of convolutions, normalisations and attention."""

    def plan(self, description: Description, choice: int = 0) -> DnnPlan:
        """Compile a description, or take it from the cache; `choice` counts plans from the one thought fastest.

        Raises:
            Unsupported: the library refuses it, or has not so many; the caller computes it in another way.
            BackendError: the library is missing or failed.
        """
        ...
