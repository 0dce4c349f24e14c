"""Device kernels run on arrays: compiled for the host, and in the block emulator with one thread per CUDA thread."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from cortex.compute import Program
from cortex.compute.autodiff import pull_back
from cortex.compute.errors import BackendError
from cortex.compute.reference import interpret
from cortex.gpu_compute.kernels import (
    Arguments,
    Kernel,
    Variant,
    host,
    host_library,
    kernel,
    launch_for,
    sources,
    translation_unit,
)

BITS = {"float16": np.uint16, "bfloat16": np.uint16}
RNG = np.random.default_rng(7)


def has_compiler() -> bool:
    try:
        return bool(host.compiler())
    except BackendError:
        return False


needs_compiler = pytest.mark.skipif(not has_compiler(), reason="no C++ compiler")


@cache
def library(source, variant):
    return host_library(translation_unit(source, variant))


@dataclass
class Case:
    """One launch; arrays among `values` are passed by address and changed in place."""

    name: str
    values: tuple
    variant: Variant = Variant()
    declared: Kernel | None = None  # of a kernel that is in no file

    @property
    def kernel(self):
        return self.declared or kernel(self.name)

    @property
    def arrays(self):
        return list({id(v): v for v in self.values if isinstance(v, np.ndarray)}.values())

    def arguments(self):
        given = [v.ctypes.data if isinstance(v, np.ndarray) else v for v in self.values]
        return Arguments(self.kernel, self.variant, given)

    def run(self):
        arguments = self.arguments()
        launch_for(arguments)  # every size of every declaration is evaluated
        library(self.kernel.source, self.variant)[self.name](arguments)


def run(name, *values, dtype="float32", wide=False):
    """Run a kernel on the host; arrays must be contiguous."""
    for v in values:
        assert not isinstance(v, np.ndarray) or v.flags.c_contiguous
    Case(name, values, Variant(dtype, wide)).run()


def normal(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


def to_bits(x, dtype):
    """The 16-bit form of float32 numbers, as uint16, to the nearest even."""
    x = np.asarray(x, np.float32)
    if dtype == "float16":
        with np.errstate(over="ignore"):
            return x.astype(np.float16).view(np.uint16)
    u = x.view(np.uint32)
    rounded = (u + np.uint32(0x7FFF) + ((u >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(x), (u >> np.uint32(16)) | np.uint32(0x40), rounded).astype(np.uint16)


def from_bits(bits, dtype):
    """The float32 numbers of 16-bit forms."""
    if dtype == "float16":
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def stored(x, dtype):
    """An array as the kernels of a dtype hold it: itself, or the bits of 16-bit floats."""
    return to_bits(x, dtype) if dtype in BITS else np.ascontiguousarray(x, dtype)


def numbers(x, dtype):
    return from_bits(x, dtype) if dtype in BITS else x


# ------------------------------------------------------------------------------ block emulator


VALUE, BUFFER, NOTHING, SAME = range(4)  # of an argument, in run_cases.inc


class Emulator:
    """A program with the CUDA branch of the kernels of a dtype (of all files, or these) that runs cases from a file."""

    def __init__(self, dtype="float32", names=None, sanitize=False, change=None, emitted=None):
        self.variant = Variant(dtype)
        names = names or tuple(n for n, s in sources().items() if dtype in s.dtypes)
        text = translation_unit(names, self.variant)
        found = [k for n in names for k in sources()[n].kernels]
        if emitted is not None:
            text, found = emitted
        if change is not None:
            changed = change(text)
            assert changed != text
            text = changed
        table = "\n".join(f'  {{"{k}", cx::{k}}},' for k in found)
        main = (Path(__file__).parent / "run_cases.inc").read_text(encoding="utf-8")
        flags = host.EMULATOR_FLAGS + (("-fsanitize=thread", "-g1") if sanitize else ())
        self.program = host.compiled(text + main.replace("  // TABLE", table), flags)
        self.program.chmod(0o755)

    def run(self, case, launch, folder, check=True):
        """Run a case; returns its arrays as the emulator left them, and what it said."""
        values = case.arguments().values
        parts = [struct.pack("<i", len(case.name)), case.name.encode(), struct.pack("<4I", *launch)]
        parts.append(struct.pack("<i", len(values)))
        places = {}  # of arrays met so far: a launch may pass one twice, to be changed in place
        for k, (given, value) in enumerate(zip(case.values, values, strict=True)):
            kind, data = VALUE, value.tobytes()
            if case.kernel.parameters[k].is_pointer:
                first = places.setdefault(id(given), k)
                kind = NOTHING if given is None else BUFFER if first == k else SAME
                data = given.tobytes() if kind == BUFFER else struct.pack("<q", first)
            parts.append(struct.pack("<iq", kind, len(data)) + data)
        source, target = folder / "case", folder / "result"
        source.write_bytes(b"".join(parts))
        done = subprocess.run(
            [*_still(), str(self.program), str(source), str(target)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert not check or done.returncode == 0, done.stderr[-3000:]
        content, at, arrays = target.read_bytes() if target.exists() else b"", 0, []
        for a in case.arrays if content else []:
            arrays.append(np.frombuffer(content, a.dtype, a.size, at).reshape(a.shape))
            at += a.nbytes
        return arrays, done.stderr


@cache
def _still():
    """ThreadSanitizer of older compilers wants addresses that are not randomised."""
    program = shutil.which("setarch")
    works = program and subprocess.run([program, "-R", "true"], capture_output=True).returncode == 0
    return [program, "-R"] if works else []


# ------------------------------------------------------------------------------ the definition


def expected(op, *arrays):
    """What an op gives by its decomposition in NumPy; in float64 where `arrays` are."""
    program = Program()
    inputs = [program.input(f"in{k}", a.shape, a.dtype.name) for k, a in enumerate(arrays)]
    outputs = program.apply(op, *inputs)
    for k, v in enumerate(outputs if isinstance(outputs, tuple) else (outputs,)):
        program.output(f"out{k}", v)
    found = interpret(program, list(arrays))
    return found if len(found) > 1 else found[0]


def gradients(op, arrays, cotangents):
    """The gradients of an op, in float64, for the float inputs; `cotangents` of its outputs (None: none)."""
    arrays = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
    program = Program()
    inputs = [program.input(f"in{k}", a.shape, a.dtype.name) for k, a in enumerate(arrays)]
    outputs = program.apply(op, *inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    seeds, given = {}, []
    for k, (v, c) in enumerate(zip(outputs, cotangents, strict=False)):
        if c is not None:
            seeds[v] = program.input(f"c{k}", v.shape, v.dtype)
            given.append(c.astype(np.float64))
    floats = [v for v in inputs if v.spec.is_float]
    for k, g in enumerate(pull_back(program, seeds, floats, 0)):
        program.output(f"g{k}", g)
    return interpret(program, [*arrays, *given])


def close(found, wanted, dtype="float32", scale=1.0, least=1e-30):
    """Equal to a few units in the last place of the dtype, against the largest number (and `least`)."""
    unit = {"float32": 6e-7, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3}[dtype]
    wanted = np.asarray(wanted, np.float64)
    top = np.max(np.abs(wanted[np.isfinite(wanted)]), initial=least)
    np.testing.assert_allclose(
        np.asarray(found, np.float64), wanted, rtol=unit * scale, atol=unit * scale * top
    )
