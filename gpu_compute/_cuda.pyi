"""Bindings of cuBLASLt and cuDNN, which are opened at run time; imports where there is no CUDA.

Everything here is the library's own convention: column-major matrices, numbers of its enumerations (`constants`).
`cortex.gpu_compute.libraries` is what people use. Not verified on a GPU.
"""

from collections.abc import Sequence

version: str
"""Version of the package this module was built from."""
constants: dict[str, int]
"""Numbers of the library's enumerations, by the name each has in NVIDIA's headers."""

class StatusError(RuntimeError):
    """A call failed; the message has the library's name and text of the status."""

class Unsupported(StatusError):
    """The library has no kernel for what was asked."""

def open_library(name: str, names: Sequence[str]) -> str:
    """Open `cublasLt` or `cudnn` under the first of the file names that loads; return the one that is open.

    A library stays open; a second call returns what the first one opened.

    Raises:
        RuntimeError: none loads; the message lists every name with the loader's reason.
        ValueError: the library is neither of the two.
    """

def library_version(name: str) -> int:
    """Return the version number of an open library, as it counts: cuBLASLt 13.10 is 131000, cuDNN 9.28 is 92800.

    Raises:
        RuntimeError: the library is not open.
    """

def create_handle() -> int:
    """Create a cuBLASLt handle on the current device; it is never destroyed.

    Raises:
        StatusError: there is no usable GPU.
        RuntimeError: the library is not open.
    """

class Product:
    """D = epilogue(alpha op(A) op(B) + beta C), column-major; extents and strides in elements.

    Making one needs the library but no GPU; `plan` needs a handle, hence a GPU.
    """

    def __init__(
        self,
        *,
        m: int,
        n: int,
        k: int,
        transpose_a: bool,
        transpose_b: bool,
        lda: int,
        ldb: int,
        ldd: int,
        batch: int,
        stride_a: int,
        stride_b: int,
        stride_d: int,
        type: int,
        type_d: int,
        type_bias: int,
        compute: int,
        type_scale: int,
        epilogue: int,
        bias_stride: int,
        aux_ld: int,
        aux_stride: int,
        alpha: float,
        beta: float,
    ) -> None: ...
    def plan(
        self,
        handle: int,
        workspace: int,
        *,
        a: int = 256,
        b: int = 256,
        c: int = 256,
        d: int = 256,
        bias: int = 256,
        aux: int = 256,
        limit: int = 8,
    ) -> None:
        """Take the heuristic's best algorithm within `workspace` bytes for operands of these alignments in bytes.

        Raises:
            Unsupported: there is none.
            StatusError: the library failed.
        """

    def choices(self) -> list[tuple[int, float]]:
        """Return workspace in bytes and waves of each algorithm found, the heuristic's best first."""

    def choose(self, choice: int) -> None:
        """Take another of the algorithms found.

        Raises:
            IndexError: there are not so many.
        """

    @property
    def workspace(self) -> int:
        """Bytes that the chosen algorithm needs.

        Raises:
            RuntimeError: nothing was planned yet.
        """

    def bias_and_aux(self) -> tuple[int, int]:
        """Return the addresses of bias and auxiliary buffer that the descriptor holds."""

    def run(
        self,
        a: int,
        b: int,
        c: int,
        d: int,
        bias: int,
        aux: int,
        workspace: int,
        workspace_bytes: int,
        stream: int,
    ) -> None:
        """Enqueue the product on a stream; `c` 0 means D.

        Raises:
            ValueError: an address is not aligned as planned, or the workspace is too small.
            StatusError: the library failed.
        """
