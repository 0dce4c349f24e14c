"""Which parts of the CUDA backend are here, which version each has, and why one is missing.

    >>> from cortex.gpu_compute.libraries.report import collect
    >>> [row["name"] for row in collect()]
    ['driver', 'runtime', 'CuPy', 'bindings', 'cuBLASLt', 'cuDNN', "cuDNN's frontend"]

Nothing is imported that is not needed to answer: CuPy and the frontend answer from their installation's metadata, the
libraries by one call each. None of it touches a GPU.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from importlib import metadata
from typing import TypedDict

from cortex.compute.errors import BackendError

from . import cublas
from .locate import bindings, candidates, opened

CUPY = ("cupy-cuda13x", "cupy-cuda12x", "cupy")  # names of the same package for different CUDAs
FRONTEND = "nvidia-cudnn-frontend"


class Row(TypedDict):
    """One part: its version and where it was found, or None and the reason why it cannot be used."""

    name: str
    version: str | None
    detail: str


def collect() -> list[Row]:
    """Return a row for each part, in the order in which they build on each other."""
    return [_row(name, ask) for name, ask in PARTS.items()]


def _row(name: str, ask: Callable[[], tuple[str, str]]) -> Row:
    try:
        version, where = ask()
    except BackendError as error:
        return {"name": name, "version": None, "detail": " ".join(str(error).split())}
    return {"name": name, "version": version, "detail": where}


def _driver() -> tuple[str, str]:
    """Return the newest CUDA that the driver runs."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise BackendError(
            f"there is no NVIDIA driver ({error}); install one that runs CUDA 12 or later"
        ) from None
    return _cuda_version(library.cuDriverGetVersion, "libcuda.so.1"), "libcuda.so.1"


def _runtime() -> tuple[str, str]:
    reasons = []
    for file in candidates("cudart"):
        try:
            library = ctypes.CDLL(file)
        except OSError as error:
            reasons.append(str(error))
            continue
        return _cuda_version(library.cudaRuntimeGetVersion, file), file
    raise BackendError(f"the CUDA runtime cannot be opened: {'; '.join(reasons)}")


def _cuda_version(ask: Callable[..., int], file: str) -> str:
    number = ctypes.c_int()
    status = ask(ctypes.byref(number))
    if status:
        raise BackendError(f"{file} does not say its version: it answers error {status}")
    return f"{number.value // 1000}.{number.value % 1000 // 10}"


def _cupy() -> tuple[str, str]:
    for name in CUPY:
        try:
            return metadata.version(name), name
        except metadata.PackageNotFoundError:
            continue
    raise BackendError(f"CuPy is not installed; pip install {CUPY[0]}")


def _bindings() -> tuple[str, str]:
    module = bindings()
    return str(module.version), str(module.__file__)


def _cublas() -> tuple[str, str]:
    return cublas.version(), opened("cublasLt")


def _cudnn() -> tuple[str, str]:
    file = opened("cudnn")
    number = bindings().library_version("cudnn")
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}", file


def _frontend() -> tuple[str, str]:
    try:
        return metadata.version(FRONTEND), FRONTEND
    except metadata.PackageNotFoundError:
        raise BackendError(f"cuDNN's frontend is not installed; pip install {FRONTEND}") from None


PARTS: dict[str, Callable[[], tuple[str, str]]] = {
    "driver": _driver,
    "runtime": _runtime,
    "CuPy": _cupy,
    "bindings": _bindings,
    "cuBLASLt": _cublas,
    "cuDNN": _cudnn,
    "cuDNN's frontend": _frontend,
}
