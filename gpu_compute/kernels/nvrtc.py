"""CUDA compiled at run time, straight through NVRTC; needs no driver and no GPU (CuPy's compiler needs both).

The library comes with the wheel nvidia-cuda-nvrtc or with an installed toolkit. The result is machine code (a cubin)
for one architecture, never PTX: PTX of a newer compiler is refused by an older driver.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import glob
import importlib.util
import os
from functools import cache
from typing import Any

from ...compute.errors import BackendError
from .cache import kept

_BUILTINS = "libnvrtc-builtins.so.*"
# --fmad=false: + - * / sqrt give the bits that the host gives.
OPTIONS = ("-std=c++17", "-default-device", "--fmad=false")


@cache
def library() -> Any:
    """Return NVRTC.

    Raises:
        BackendError: it is not installed.
    """
    for name in (*_of_wheels(), "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", *_of_toolkits()):
        try:
            for builtins in glob.glob(os.path.join(os.path.dirname(name) or "/none", _BUILTINS)):
                ctypes.CDLL(builtins)  # some builds find it only once it is loaded
            found = ctypes.CDLL(name)
        except OSError:
            continue
        found.nvrtcGetErrorString.restype = ctypes.c_char_p
        return found
    raise BackendError(
        "kernels: NVRTC is not installed, so nothing can be compiled for a GPU; "
        "pip install nvidia-cuda-nvrtc, or install the CUDA toolkit"
    )


def available() -> str | None:
    """Return why NVRTC cannot be used, or None where it can."""
    try:
        library()
    except BackendError as error:
        return str(error)
    return None


def _of_wheels() -> list[str]:
    spec = importlib.util.find_spec("nvidia")
    places = list(spec.submodule_search_locations or ()) if spec else []
    patterns = ("*/lib/libnvrtc.so.*", "*/*/lib/libnvrtc.so.*")
    return sorted(
        (f for p in places for q in patterns for f in glob.glob(os.path.join(p, q))), reverse=True
    )


def _of_toolkits() -> list[str]:
    root = os.environ.get("CUDA_PATH", "/usr/local/cuda")
    return sorted(glob.glob(os.path.join(root, "lib64", "libnvrtc.so.*")))


@cache
def version() -> tuple[int, int]:
    """Return major and minor version of NVRTC."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)), "nvrtcVersion")
    return major.value, minor.value


def compile_cuda(source: str, architecture: int, options: tuple[str, ...] = OPTIONS) -> bytes:
    """Return the cubin of a translation unit for `sm_<architecture>` (90 for an H100 or H200), kept on disk.

    Raises:
        BackendError: NVRTC is missing, or it refuses the source; the message has its log.
    """
    flags = (*options, f"-arch=sm_{architecture}")
    key = (source, *flags, "nvrtc", *map(str, version()))
    return kept(".cubin", key, lambda: compile_with_log(source, flags)[0])[0]


def compile_with_log(source: str, flags: tuple[str, ...]) -> tuple[bytes, str]:
    """Return the cubin and what the compiler said; nothing is kept on disk.

    Raises:
        BackendError: as `compile_cuda`.
    """
    nvrtc, program, size = library(), ctypes.c_void_p(), ctypes.c_size_t()
    made = nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None
    )
    _check(made, "nvrtcCreateProgram")
    try:
        given = (ctypes.c_char_p * len(flags))(*(f.encode() for f in flags))
        status = nvrtc.nvrtcCompileProgram(program, len(flags), given)
        _check(nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)), "nvrtcGetProgramLogSize")
        log = ctypes.create_string_buffer(size.value)
        _check(nvrtc.nvrtcGetProgramLog(program, log), "nvrtcGetProgramLog")
        if status:
            raise BackendError(
                f"kernels: NVRTC {'.'.join(map(str, version()))} refused the source with {' '.join(flags)}:\n"
                f"{log.value.decode(errors='replace')[:4000]}"
            )
        _check(nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)), "nvrtcGetCUBINSize")
        cubin = ctypes.create_string_buffer(size.value)
        _check(nvrtc.nvrtcGetCUBIN(program, cubin), "nvrtcGetCUBIN")
        return cubin.raw, log.value.decode(errors="replace")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _check(status: int, call: str) -> None:
    if status:
        reason = library().nvrtcGetErrorString(status).decode()
        raise BackendError(f"kernels: {call} failed: {reason}")
