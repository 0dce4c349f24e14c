"""The CUDA backend: programs of `cortex.compute` on an NVIDIA GPU, or on a device that is emulated on the host.

| module | what lives there |
|---|---|
| `backend` | `CudaBackend`: passes and compilation; whether CUDA works here |
| `options` | precision, determinism, capture, debug, steps per launch |
| `device` | the `Device` protocol: memory, copies, launches, capture, replay |
| `cuda`, `emulated` | the two devices: CuPy, and the host |
| `executable`, `memory` | a program at fixed addresses; buffers by name |
| `lowering`, `instruction`, `modules` | steps to launches; compiled kernels |
| `providers` | who runs an op: libraries, then our kernels |
| `passes` | channels last around convolutions; sums inside products |
| `kernels`, `libraries` | single-source kernels; cuBLASLt and cuDNN |
| `availability` | everything that is missing, in words |

Not verified on a GPU: docs/cuda.md says what was checked without one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .options import Options

if TYPE_CHECKING:
    from .backend import CudaBackend

__all__ = ["CudaBackend", "Options", "available"]


def available() -> tuple[bool, str, bool]:
    """Return whether there is a GPU that this backend can use, why or why not, and whether there is one at all.

    This package is light, because `auto` asks on every machine: what a GPU needs is imported where there is one.
    """
    from .availability import cuda

    return cuda()


def __getattr__(name: str) -> Any:
    if name != "CudaBackend":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .backend import CudaBackend

    return CudaBackend
