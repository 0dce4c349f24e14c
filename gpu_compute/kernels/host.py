"""The kernels compiled for this machine's processor: what tests compare with NumPy and the emulated device runs.

The compiler is $CXX, else c++, g++ or clang++. A library is kept on disk by a digest of its source, compiler and flags.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ...compute.errors import BackendError
from .arguments import Arguments
from .cache import kept

# No contraction, as --fmad=false on the GPU: + - * / sqrt give the same bits everywhere.
FLAGS = (
    "-O2",
    "-ftree-vectorize",
    "-std=c++17",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-Wall",
    "-Wextra",
)
# The CUDA branch, one std::thread per CUDA thread.
EMULATOR_FLAGS = ("-O1", "-std=c++20", "-ffp-contract=off", "-pthread", "-DCX_EMULATOR")


class HostLibrary:
    """Kernels by name: `library[name]` is called with `Arguments`."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._found: dict[str, Callable[[Arguments], None]] = {}

    def __getitem__(self, name: str) -> Callable[[Arguments], None]:
        if name not in self._found:
            try:
                function = self._library[name]
            except AttributeError:
                raise BackendError(f"kernels: this library has no kernel {name!r}") from None
            function.argtypes, function.restype = [ctypes.c_void_p], None
            self._found[name] = lambda arguments: function(arguments.address)
        return self._found[name]


@cache
def compiler() -> str:
    """Return the path of the C++ compiler.

    Raises:
        BackendError: there is none.
    """
    asked = os.environ.get("CXX")
    for name in (asked,) if asked else ("c++", "g++", "clang++"):
        found = shutil.which(name)
        if found:
            return found
    raise BackendError(
        f"kernels: {f'CXX is {asked!r}, which is no program' if asked else 'no C++ compiler (c++, g++, clang++)'}; "
        "the emulated device compiles its kernels: install g++ or set CXX"
    )


@cache
def _version(program: str) -> str:
    result = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return result.stdout.splitlines()[0] if result.stdout else program


def build(
    source: str, flags: tuple[str, ...], suffix: str = ".so", program: str | None = None
) -> bytes:
    """Return what the C++ compiler makes of a text.

    Raises:
        BackendError: there is no compiler, or it refuses; the message has its log.
    """
    chosen = program or compiler()
    with tempfile.TemporaryDirectory() as scratch:
        text, target = Path(scratch) / "unit.cpp", Path(scratch) / f"unit{suffix}"
        text.write_text(source, encoding="utf-8")
        command = [chosen, *flags, str(text), "-o", str(target)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise BackendError(
                f"kernels: {' '.join([Path(chosen).name, *flags])} failed:\n{result.stderr[:4000]}"
            )
        return target.read_bytes()


def host_library(source: str) -> HostLibrary:
    """Return the kernels of a translation unit, compiled for this processor or loaded from the disk.

    Raises:
        BackendError: there is no compiler, or it refuses the source.
    """
    return HostLibrary(compiled(source, (*FLAGS, "-shared", "-fPIC")))


_loose: list[
    tempfile.TemporaryDirectory[str]
] = []  # libraries of a machine whose cache cannot be written


def compiled(source: str, flags: tuple[str, ...]) -> Path:
    """Return the file of a compiled translation unit."""
    program = compiler()
    content, path = kept(".so", (source, *flags, _version(program)), lambda: build(source, flags))
    if path is None:
        _loose.append(tempfile.TemporaryDirectory())
        path = Path(_loose[-1].name) / "unit.so"
        path.write_bytes(content)
    return path
