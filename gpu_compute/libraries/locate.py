"""Where NVIDIA's libraries are: under their names, in the wheels of NVIDIA, in a toolkit."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from cortex.compute.errors import BackendError

# File name of each library, and its folder inside the namespace package `nvidia`; newest first.
NAMES = {
    "cublasLt": (
        ("libcublasLt.so.13", "cu13/lib"),
        ("libcublasLt.so.12", "cublas/lib"),
    ),
    "cudnn": (("libcudnn.so.9", "cudnn/lib"),),
    "cudart": (
        ("libcudart.so.13", "cu13/lib"),
        ("libcudart.so.12", "cuda_runtime/lib"),
    ),
}
WHEELS = {
    "cublasLt": "nvidia-cublas",
    "cudnn": "nvidia-cudnn-cu13",
    "cudart": "nvidia-cuda-runtime",
}
TOOLKITS = ("CUDA_HOME", "CUDA_PATH")  # environment variables


def candidates(library: str) -> tuple[str, ...]:
    """Return the file names to try, best first, for `cublasLt`, `cudnn` or `cudart`.

    The bare name comes first: it finds what the process has loaded already, then what the system has.
    """
    found = []
    for file, folder in NAMES[library]:
        found.append(file)
        found += [str(p) for p in (root / folder / file for root in _wheels()) if p.is_file()]
        toolkits = [Path(os.environ[v]) for v in TOOLKITS if os.environ.get(v)]
        places = [t / "lib64" / file for t in (*toolkits, Path("/usr/local/cuda"))]
        found += [str(p) for p in places if p.is_file()]
    return tuple(dict.fromkeys(found))


def _wheels() -> list[Path]:
    spec = find_spec("nvidia")
    return [Path(p) for p in (spec.submodule_search_locations or ())] if spec else []


@cache
def bindings() -> ModuleType:
    """Return the compiled bindings, `cortex.gpu_compute._cuda`.

    Raises:
        BackendError: they were not built.
    """
    try:
        from cortex.gpu_compute import _cuda
    except ImportError as error:
        raise BackendError(
            f"the bindings of CUDA's libraries (cortex.gpu_compute._cuda) cannot be imported: {error}; install cortex "
            "where a C++ compiler is, or build them in a checkout with `sh scripts/build_native.sh`"
        ) from None
    return _cuda


@cache
def opened(library: str) -> str:
    """Open `cublasLt` or `cudnn` for the bindings; return the file that was opened.

    Raises:
        BackendError: the bindings are missing, or the library is; the message says what was tried.
    """
    try:
        return str(bindings().open_library(library, candidates(library)))
    except RuntimeError as error:
        if isinstance(error, BackendError):
            raise
        raise BackendError(f"{error}\n  install it: pip install {WHEELS[library]}") from None
