"""`MatmulOps` by cuBLASLt (not verified on a GPU)."""

from __future__ import annotations

from functools import cache
from typing import Any

from cortex.compute.errors import BackendError

from .errors import Unsupported
from .locate import bindings, opened
from .products import ITEM_BYTES, LIBRARY_TYPE, Alignments, ProductArguments
from .protocols import WORKSPACE_LIMIT


def available() -> tuple[bool, str]:
    """Say whether cuBLASLt can be used here, and which one or why not; says nothing about a GPU."""
    try:
        return True, f"cuBLASLt {version()} ({opened('cublasLt')})"
    except BackendError as error:
        return False, str(error)


def version() -> str:
    """Return the version of cuBLASLt, such as 13.10.0.

    Raises:
        BackendError: the library is missing.
    """
    opened("cublasLt")
    number = bindings().library_version("cublasLt")
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def library_arguments(arguments: ProductArguments) -> dict[str, Any]:
    """Return the arguments of `_cuda.Product`: numbers of the library's enumerations."""
    constants = bindings().constants
    g, wide = arguments, arguments.dtype == "float64"
    return {
        **{name: getattr(g, name) for name in _AS_THEY_ARE},
        "type": constants["CUDA_" + LIBRARY_TYPE[g.dtype]],
        "type_d": constants["CUDA_" + LIBRARY_TYPE[g.out_dtype]],
        "type_bias": constants["CUDA_" + LIBRARY_TYPE[g.bias_dtype]],
        "type_scale": constants["CUDA_R_64F" if wide else "CUDA_R_32F"],
        "compute": constants["CUBLAS_" + g.compute],
        "epilogue": constants["CUBLASLT_" + g.library_epilogue],
        "bias_stride": 0,
    }


_AS_THEY_ARE = (
    *("m", "n", "k", "transpose_a", "transpose_b", "lda", "ldb", "ldd", "alpha", "beta"),
    *("batch", "stride_a", "stride_b", "stride_d", "aux_ld", "aux_stride"),
)


class CublasPlan:
    """A product with its descriptors and algorithm; `workspace` in bytes."""

    def __init__(
        self, arguments: ProductArguments, handle: int, workspace_limit: int, alignments: Alignments
    ) -> None:
        self.arguments = arguments
        self._sizes = (ITEM_BYTES[arguments.dtype], ITEM_BYTES[arguments.out_dtype])
        self._product: Any = None
        if arguments.empty:
            return
        at = _with_offsets(alignments, arguments, *self._sizes)
        try:
            self._product = bindings().Product(**library_arguments(arguments))
            # The library's A is our right operand.
            c = min(at.c, at.d)  # D is C where none is given
            self._product.plan(
                handle, workspace_limit, a=at.b, b=at.a, c=c, d=at.d, bias=at.bias, aux=at.aux
            )
        except bindings().Unsupported as error:
            raise Unsupported(
                f"cuBLASLt has no algorithm for {describe(arguments)} within {workspace_limit} bytes of workspace "
                f"({error}); use separate steps for product and epilogue, or a larger workspace"
            ) from None
        except bindings().StatusError as error:
            raise BackendError(f"cuBLASLt could not plan {describe(arguments)}: {error}") from None

    @property
    def workspace(self) -> int:
        """Bytes of scratch memory that the chosen algorithm needs."""
        return int(self._product.workspace) if self._product else 0

    @property
    def choices(self) -> list[tuple[int, float]]:
        """Workspace in bytes and waves on the device of each algorithm found, the heuristic's best first."""
        return list(self._product.choices()) if self._product else []

    def choose(self, choice: int) -> None:
        """Take another of the algorithms found; `workspace` changes with it.

        Raises:
            IndexError: there are not so many.
        """
        self._product.choose(choice)

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
        """Enqueue the product; see `ProductPlan`."""
        check_operands(self.arguments, bias, aux)
        if self._product is None:
            return
        item, out = self._sizes
        try:
            for left, right, result in self.arguments.offsets:
                self._product.run(
                    b + right * item,
                    a + left * item,
                    c + result * out if c else 0,
                    d + result * out,
                    bias,
                    aux,
                    workspace,
                    self.workspace,
                    stream,
                )
        except (ValueError, bindings().StatusError) as error:
            raise BackendError(
                f"cuBLASLt failed to run {describe(self.arguments)}: {error}"
            ) from None


class CublasLt:
    """Matrix products by cuBLASLt on one device, which must be the current one when this is made.

    Raises:
        BackendError: the library is missing, or there is no usable GPU.
    """

    def __init__(self, device: int = 0) -> None:
        opened("cublasLt")
        self._handle = _handle(device)

    def plan(
        self,
        arguments: ProductArguments,
        *,
        workspace_limit: int = WORKSPACE_LIMIT,
        alignments: Alignments | None = None,
    ) -> CublasPlan:
        """Choose an algorithm; see `MatmulOps`."""
        return CublasPlan(arguments, self._handle, workspace_limit, alignments or Alignments())


@cache
def _handle(device: int) -> int:
    """Return the handle of a device; it lives as long as the process, so that no capture sees one destroyed."""
    try:
        return int(bindings().create_handle())
    except bindings().StatusError as error:
        raise BackendError(
            f"cuBLASLt cannot be used on device {device}: {error}; `nvidia-smi` says whether driver and GPU work"
        ) from None


def describe(arguments: ProductArguments) -> str:
    """Return a product in words, row-major."""
    g = arguments
    return (
        f"[{g.n}, {g.k}]{' transposed' * g.transpose_b} x [{g.k}, {g.m}]{' transposed' * g.transpose_a} of {g.dtype}"
        f" to {g.out_dtype}, batch {g.batch}, {g.compute}, epilogue {g.epilogue}"
    )


def check_operands(arguments: ProductArguments, bias: int, aux: int) -> None:
    """Raise BackendError where an operand of the epilogue is missing, or one was given that it has not."""
    for name, address, wanted in (
        ("bias", bias, arguments.has_bias),
        ("aux", aux, arguments.has_aux),
    ):
        if bool(address) != wanted:
            raise BackendError(
                f"cuBLASLt product: epilogue {arguments.epilogue} {'needs' if wanted else 'has no'} {name}, "
                f"given address {address}"
            )


def _with_offsets(
    alignments: Alignments, arguments: ProductArguments, item: int, out: int
) -> Alignments:
    """Return what still holds of the alignments of A, B, C and D at every offset."""

    def lowered(alignment: int, steps: list[int]) -> int:
        return min([alignment, *(s & -s for s in steps if s)])

    left, right, result = (list(column) for column in zip(*arguments.offsets, strict=True))
    return Alignments(
        a=lowered(alignments.a, [s * item for s in left]),
        b=lowered(alignments.b, [s * item for s in right]),
        c=lowered(alignments.c, [s * out for s in result]),
        d=lowered(alignments.d, [s * out for s in result]),
        bias=alignments.bias,
        aux=alignments.aux,
    )
