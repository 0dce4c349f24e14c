"""The same program on the same numbers gives the same bits: again, compiled anew, on fewer threads."""

from __future__ import annotations

import numpy as np

from .. import math as m
from ..autodiff import gradients
from ..backend import Backend, Executable
from ..ops import (
    BatchNormalisation,
    BiasedConvolution,
    Embedding,
    Linear,
    Pool,
    Reshape,
    SoftmaxCrossEntropy,
    Window,
)
from ..ops.random import random
from ..ops.reduce import reduce_axes
from ..program import Program
from .check import Check, checking
from .compare import equal

CHECKS: list[Check] = []


def _program() -> Program:
    """A small convolutional net with its gradients: every op whose sums could be split among threads."""
    p = Program()
    x, labels = p.input("x", (19, 3, 13, 11)), p.input("labels", (19,), "int32")
    w, b = p.input("w", (17, 3, 3, 3)), p.input("b", (17,))
    scale, shift = p.input("scale", (17,)), p.input("shift", (17,))
    v, c = p.input("v", (10, 17 * 6 * 5)), p.input("c", (10,))
    table = p.input("table", (10, 10))
    y = p.apply(BiasedConvolution(Window.of(3, 1, 1)), x, w, b)
    y, mean, variance = p.apply(BatchNormalisation((0, 2, 3), 1e-3), y, scale, shift)
    y, _ = p.apply(Pool("max", Window.of(2, 2)), m.maximum(y, 0))
    y = y + 0.1 * random(p, "normal", y.shape)
    z = p.apply(Linear(), p.apply(Reshape((19, 17 * 6 * 5)), y), v, c)
    z = z + p.apply(Embedding(), table, labels)
    loss = reduce_axes(p, "sum", p.apply(SoftmaxCrossEntropy(), z, labels), None)
    p.output("loss", loss)
    p.output("mean", mean)
    p.output("variance", variance)
    wrt = [x, w, b, scale, shift, v, c, table]
    for value, g in zip(wrt, gradients(p, loss, wrt), strict=True):
        p.output(f"d_{value.name}", g)
    return p


def _results(executable: Executable, program: Program) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    for name, value in program.inputs.items():
        if value.spec.is_float:
            executable.write(name, generator.normal(size=value.shape) * 0.3)
        else:
            executable.write(name, generator.integers(0, 10, size=value.shape))
    executable.write("random.step", np.int64(3))
    executable.run()
    return {name: executable.read(name) for name in program.outputs}


@checking(CHECKS, "determinism/twice")
def twice(backend: Backend) -> None:
    """Two runs, and two compilations, are equal to the last bit (where the backend says so)."""
    if not backend.capabilities.deterministic:
        return
    program = _program()
    executable = backend.compile(program)
    first = _results(executable, program)
    for what, again in (("again", executable), ("compiled anew", backend.compile(program))):
        for name, array in _results(again, program).items():
            equal(f"{name}, {what}", array, first[name])


@checking(CHECKS, "determinism/threads")
def threads(backend: Backend) -> None:
    """The number of threads does not change a bit (for backends that offer `set_num_threads`)."""
    change = getattr(backend, "set_num_threads", None)
    if change is None or not backend.capabilities.deterministic:
        return
    program, before = _program(), backend.capabilities.threads
    found = []
    try:
        for count in (1, 2, 3):
            change(count)
            found.append(_results(backend.compile(program), program))
    finally:
        change(before)
    for count, results in enumerate(found[1:], 2):
        for name, array in results.items():
            equal(f"{name}, {count} threads against 1", array, found[0][name])
