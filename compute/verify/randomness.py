"""Random numbers: the published known answers, the same masks everywhere, moments, resuming."""

from __future__ import annotations

import math

import numpy as np

from .. import philox
from ..autodiff import gradients
from ..backend import Backend
from ..ops import Dropout, Random
from ..ops.random import SEED, STEP, random, random_state
from ..ops.reduce import reduce_axes
from ..program import Program
from .check import Check, Mismatch, checking
from .compare import close, equal, execute, within

CHECKS: list[Check] = []

# Salmon et al., Random123 1.09, tests/kat_vectors: philox4x32 10, counter 0, key 0. (The other two
# published vectors need counters that no array is long enough to reach; the tests of `philox` hold
# them, and the checks below compare with `philox`.)
KNOWN = (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)

# seed, step, number of the op: both words of each in use
KEYS = ((0, 0, 0), (1, 0, 0), (2**64 - 1, 2**32 - 1, 2**31), (0x299F31D0A4093822, 77, 3))
SIZES = (1, 3, 4, 1003, 70001)


def _generated(
    backend: Backend,
    kind: str,
    shape: tuple[int, ...],
    dtype: str,
    key: tuple[int, int, int],
    first: int = 0,
) -> np.ndarray:
    p = Program()
    seed, step = p.input("seed", (), "uint64"), p.input("step", (), "int64")
    p.output("y", p.apply(Random(kind, shape, key[2], dtype, first), seed, step))  # type: ignore[arg-type]
    inputs = {"seed": np.uint64(key[0]), "step": np.int64(key[1])}
    return execute(backend, p, inputs).read("y")


@checking(CHECKS, "random/known answers", needs=("float64",))
def known_answers(backend: Backend) -> None:
    """The first block of seed 0 is the published vector, exactly."""
    got = _generated(backend, "uniform", (4,), "float64", (0, 0, 0))
    equal("Philox4x32-10 of zeros", got, np.array(KNOWN) * 2.0**-32)


@checking(CHECKS, "random/uniform")
def uniform(backend: Backend) -> None:
    """Uniform numbers equal the definition bit for bit, in every dtype, size and key."""
    for dtype in backend.capabilities.dtypes:
        if dtype not in ("float32", "float64"):
            continue
        for size in SIZES:
            for key in KEYS if size < 1000 else KEYS[-1:]:
                got = _generated(backend, "uniform", (size,), dtype, key)
                wanted = philox.uniform(size, *key, dtype)
                equal(f"uniform {dtype}[{size}], seed, step, op {key}", got, wanted)


@checking(CHECKS, "random/normal")
def normal(backend: Backend) -> None:
    """Normal numbers equal the definition within the rounding of log, sin and cos."""
    for dtype, tolerance in (("float32", 2e-6), ("float64", 1e-14)):
        if dtype not in backend.capabilities.dtypes:
            continue
        for size in SIZES:
            got = _generated(backend, "normal", (size,), dtype, KEYS[-1])
            wanted = philox.normal(size, *KEYS[-1], "float64")
            close(f"normal {dtype}[{size}]", got, wanted, tolerance)


@checking(CHECKS, "random/shape does not matter")
def shapes(backend: Backend) -> None:
    """Element i of an array depends on i, not on the shape."""
    flat = _generated(backend, "uniform", (210,), "float32", KEYS[1])
    equal("shape", _generated(backend, "uniform", (5, 6, 7), "float32", KEYS[1]).ravel(), flat)


@checking(CHECKS, "random/parts")
def parts(backend: Backend) -> None:
    """Numbers drawn from element `first` on are those that the whole has there."""
    for kind in ("uniform", "normal"):
        whole = _generated(backend, kind, (1075,), "float32", KEYS[-1])
        part = _generated(backend, kind, (75,), "float32", KEYS[-1], first=1000)
        equal(f"{kind} from 1000 on", part, whole[1000:])
    first = 2**34 - 8  # the first word of the counter overflows
    part = _generated(backend, "uniform", (75,), "float32", KEYS[-1], first=first)
    wanted = philox.uniform(75, *KEYS[-1], "float32", first)
    equal(f"uniform from {first} on", part, wanted)


@checking(CHECKS, "random/moments")
def moments(backend: Backend) -> None:
    """Mean and variance of 200,000 numbers lie within 5 standard errors."""
    n, key = 200_000, (12345, 6, 7)
    for kind, mean, variance, kurtosis in (
        ("uniform", 0.5, 1 / 12, 1.8),
        ("normal", 0.0, 1.0, 3.0),
    ):
        x = _generated(backend, kind, (n,), "float32", key).astype(np.float64)
        within(f"mean of {kind}", x.mean(), mean, 5 * math.sqrt(variance / n))
        error = 5 * variance * math.sqrt((kurtosis - 1) / n)
        within(f"variance of {kind}", x.var(), variance, error)
        within(f"correlation of {kind}", np.corrcoef(x[:-1], x[1:])[0, 1], 0, 5 / math.sqrt(n))


def _drawing() -> Program:
    p = Program()
    p.output("a", random(p, "uniform", (9,)))
    p.output("b", random(p, "uniform", (9,)))
    return p


@checking(CHECKS, "random/each run sees other numbers")
def advances(backend: Backend) -> None:
    """The step advances by one each run; two ops of a program differ."""
    executable = backend.compile(_drawing())
    executable.write(SEED, np.uint64(9))
    for step in range(3):
        executable.run()
        for number, name in enumerate("ab"):
            wanted = philox.uniform(9, 9, step, number)
            equal(f"output {name} of run {step}", executable.read(name), wanted)
    equal("the step after three runs", executable.read(STEP), 3)


@checking(CHECKS, "random/resumes")
def resumes(backend: Backend) -> None:
    """Writing seed and step into a fresh executable continues the sequence."""
    first, second = backend.compile(_drawing()), backend.compile(_drawing())
    first.write(SEED, np.uint64(2**63 + 5))
    for _ in range(4):
        first.run()
    second.write(SEED, first.read(SEED))
    second.write(STEP, first.read(STEP))
    first.run()
    second.run()
    equal("numbers after resuming", second.read("a"), first.read("a"))


@checking(CHECKS, "random/the gradient of dropout uses the same mask")
def dropout_mask(backend: Backend) -> None:
    """Zeros of the output are zeros of the gradient; kept values are scaled; another run, another mask."""
    p = Program()
    x = p.input("x", (50, 41))
    y = p.apply(Dropout(0.2, p.next_random()), x, *random_state(p))
    (dx,) = gradients(p, reduce_axes(p, "sum", y * 2, None), [x])
    p.output("y", y)
    p.output("dx", dx)
    executable = execute(backend, p, {"x": np.ones((50, 41))})
    y_, dx_ = executable.read("y"), executable.read("dx")
    equal("gradient of 2 y", dx_, 2 * y_)
    close("values", np.unique(y_), np.array([0, 1.25]))
    executable.run()
    if np.array_equal(executable.read("y"), y_):
        raise Mismatch("dropout: two runs in a row drew the same mask")


@checking(CHECKS, "random/dropout keeps the mean")
def dropout_mean(backend: Backend) -> None:
    """The original's bars: 30 draws of 100 ones kept with .8 sum to 100 +- 2, of noise N(1, .5) too."""
    for distribution, p, shape, bar in (
        ("bernoulli", 0.2, (5, 20), 2),
        ("gaussian", 1 / 3, (5, 100), 10),
    ):
        program = Program()
        x = program.input("x", shape)
        op = Dropout(p, program.next_random(), distribution)  # type: ignore[arg-type]
        program.output("y", program.apply(op, x, *random_state(program)))
        executable = backend.compile(program)
        executable.write("x", np.ones(shape))
        executable.write(SEED, np.uint64(1))
        sums = []
        for _ in range(30):
            executable.run()
            sums.append(executable.read("y").sum())
        within(f"mean sum under {distribution} dropout", np.mean(sums), np.prod(shape), bar)
