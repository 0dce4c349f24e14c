"""Whether the CUDA backend can run here and, if not, everything that is missing, in words."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import metadata

DRIVER = "libcuda.so.1"
OLDEST_CUPY = 14  # the first whose wheels follow CUDA 13, and what our capture was written for
INSTALL = 'pip install "cortex[gpu]"'


@dataclass(frozen=True)
class Driver:
    """What NVIDIA's driver says: the CUDA version it speaks and the number of GPUs, or what is wrong."""

    version: int = 0
    devices: int = 0
    problem: str = ""


def driver(load: Callable[[str], ctypes.CDLL] = ctypes.CDLL) -> Driver:
    """Ask the driver, without CuPy: it takes a millisecond and gives the best reason."""
    try:
        cuda = load(DRIVER)
    except OSError as error:
        return Driver(problem=f"no NVIDIA driver: {error}")
    version, count = ctypes.c_int(0), ctypes.c_int(0)
    if (status := cuda.cuInit(0)) != 0:
        return Driver(problem=f"the NVIDIA driver does not start (cuInit gives error {status})")
    cuda.cuDriverGetVersion(ctypes.byref(version))
    cuda.cuDeviceGetCount(ctypes.byref(count))
    problem = "" if count.value else "the NVIDIA driver finds no GPU"
    return Driver(version.value, count.value, problem)


def cupy_problem(found: str | None) -> str:
    """Return what is wrong with a version of CuPy (None: it is not installed), or nothing."""
    if found is None:
        return f"CuPy is not installed; {INSTALL}"
    number = int((re.match(r"\d+", found) or ["0"])[0])
    if number < OLDEST_CUPY:
        return f"CuPy {found} is too old, {OLDEST_CUPY} or later is needed; {INSTALL}"
    return ""


@cache
def cupy_version() -> str | None:
    """Return the version of CuPy that is installed, under whichever of its names, or None."""
    for distribution in metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower()
        if re.fullmatch(r"cupy(-cuda\d+x?)?", name):
            return str(distribution.version)
    return None


def cuda() -> tuple[bool, str, bool]:
    """Return whether CUDA works here, why or why not, and whether there is a GPU that goes unused.

    All that is missing is named at once. cuBLASLt and cuDNN are no condition: where one is missing the reason says so.
    """
    gpu = driver()
    compiler = "" if gpu.problem else nvrtc_problem()  # asked for last: what it imports takes time
    problems = [p for p in (gpu.problem, cupy_problem(cupy_version()), compiler) if p]
    if problems:
        return False, "; ".join(problems), gpu.devices > 0
    try:
        from .cuda import CudaDevice

        device = CudaDevice()
    except Exception as error:  # CuPy fails in many ways; the reason is what people need
        return False, f"CuPy cannot use the GPU: {type(error).__name__}: {error}", True
    found = device.properties
    text = f"{found.name}, compute capability {found.capability}, CuPy {found.versions['cupy']}"
    slow = "missing, so that our plain kernels stand in, many times slower"
    missing = [n for n, works in libraries().items() if not works]
    return True, text + (f"; {' and '.join(missing)} {slow}" if missing else ""), True


def nvrtc_problem() -> str:
    """Return why NVRTC cannot compile kernels, or nothing."""
    from .kernels import nvrtc

    return nvrtc.available() or ""


def libraries() -> dict[str, bool]:
    """Return of cuBLASLt and cuDNN whether each can be opened; `cortex info` says why not."""
    from .libraries import cublas, frontend

    return {"cuBLASLt": cublas.available()[0], "cuDNN": frontend.available()[0]}
