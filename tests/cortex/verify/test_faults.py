"""The checks can fail: each kind of op, each scalar function, each promise of an executable, broken once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from cortex import verify
from cortex.compute import ops, reference
from cortex.compute import verify as compute
from cortex.compute.backend import Capabilities
from cortex.compute.host import HostMemory
from cortex.compute.numpy_backend import NumpyBackend, NumpyExecutable
from cortex.compute.program import Op

CHECKS = {c.name: c for c in verify.checks()}


@contextmanager
def swapped(kind: type[Op], kernel: Any) -> Iterator[None]:
    """Compute an op otherwise, inside the block."""
    before = reference.KERNELS[kind]
    reference.KERNELS[kind] = kernel
    try:
        yield
    finally:
        reference.KERNELS[kind] = before


class Wrong(NumpyBackend):
    """NumPy with one op computed otherwise, or another executable."""

    name = "wrong"

    def __init__(
        self, kind: type[Op] | None = None, kernel: Any = None, executable: Any = None
    ) -> None:
        self.kind, self.kernel, self.executable = kind, kernel, executable

    def compile(self, program: Any, memory: Any = None) -> Any:
        if self.executable is not None:
            return self.executable(program, memory if memory is not None else HostMemory())
        made = super().compile(program, memory)
        right = made.run

        def run() -> None:
            assert self.kind is not None
            with swapped(self.kind, self.kernel):
                right()

        made.run = run  # type: ignore[method-assign]
        return made


def spoilt(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "f":
        return array * array.dtype.type(1.001) + array.dtype.type(1e-4)
    if array.dtype.kind == "b":
        return ~array
    return np.where(array > 0, array - 1, array + 1).astype(array.dtype)


def off(
    kind: type[Op], when: Callable[[Any], bool] = lambda op: True, spoil: Any = spoilt
) -> Wrong:
    """NumPy where the results of an op are wrong: floats by a thousandth, integers by one."""
    right = reference.KERNELS[kind]

    def kernel(op: Any, *arrays: np.ndarray) -> Any:
        results = right(op, *arrays)
        return tuple(spoil(r) for r in results) if when(op) else results

    return Wrong(kind, kernel)


def failures(backend: Any, group: str) -> list[str]:
    """Names of the checks of a group that a backend fails."""
    chosen = [c for n, c in CHECKS.items() if n.startswith(group)]
    assert chosen, group
    failed = [r for r in compute.run(backend, checks=chosen) if not r.passed]
    crashed = ("AttributeError", "KeyError", "NameError", "TypeError")
    assert not [r for r in failed if r.message.startswith(crashed)], "that is no check's doing"
    return [r.name for r in failed]


# Each primitive (and each of its kinds), with the checks that must notice it.
PRIMITIVES: list[tuple[str, type[Op], Callable[[Any], bool], str]] = [
    ("map", ops.Map, lambda op: True, "layer/Tanh() of 257/float32"),
    ("sum", ops.Reduce, lambda op: op.kind == "sum", "layer/GlobalAveragePooling() of 4x9/float32"),
    ("argmax", ops.Reduce, lambda op: op.kind == "argmax", "batches/accuracy"),
    ("matmul", ops.MatMul, lambda op: True, "layer/Linear(4) of 5/float32"),
    ("matmul a'", ops.MatMul, lambda op: op.transpose_a, "layer/Linear(4) of 5/gradient"),
    ("matmul b'", ops.MatMul, lambda op: op.transpose_b, "golden layer/linear/float32"),
    ("matmul", ops.MatMul, lambda op: not op.transpose_a and not op.transpose_b, "golden layer/linear/float64"),
    ("convolution", ops.Convolution, lambda op: True, "golden layer/convolution/float32"),
    ("grouped", ops.Convolution, lambda op: op.groups > 1, "layer/Convolution(6"),
    ("convolution dx", ops.ConvolutionInputGradient, lambda op: True, "golden layer/convolution/float64"),
    ("convolution dw", ops.ConvolutionKernelGradient, lambda op: True, "golden layer/convolution/float64"),
    ("max pool", ops.Pool, lambda op: op.kind == "max", "golden layer/max pool, rising/float32"),
    ("average pool", ops.Pool, lambda op: op.kind == "average", "golden layer/average pool of ones, padding"),
    ("padding counts", ops.Pool, lambda op: op.count_padding, "layer/AveragePooling((2, 3)"),
    ("max pool dx", ops.PoolGradient, lambda op: op.kind == "max", "golden layer/max pool, falling/float32"),
    ("average pool dx", ops.PoolGradient, lambda op: op.kind == "average", "golden layer/average pool"),
    ("gather", ops.Gather, lambda op: True, "layer/Embedding(7, units=3) of 5/float32"),
    ("scatter", ops.ScatterAdd, lambda op: True, "layer/Embedding(7, units=3) of 5/gradient"),
    ("scatter", ops.ScatterAdd, lambda op: True, "golden loss/centre loss/float32"),
    ("reshape", ops.Reshape, lambda op: True, "layer/Flatten() of 3x7x5/float32"),
    ("transpose", ops.Transpose, lambda op: True, "layer/Transpose((3, 1, 2)) of 3x7x5/float32"),
    ("slice", ops.Slice, lambda op: True, "layer/Split((2, 1, 4)) of 7x3/float32"),
    ("pad", ops.Pad, lambda op: True, "layer/Join() of 3x2, 5x2, 4x2/float32"),
    ("concatenate", ops.Concatenate, lambda op: True, "layer/Concatenate() of 2x3, 4x3, 1x3/float32"),
    ("normal", ops.Random, lambda op: op.kind == "normal", "layer/GaussianNoise(0.2) of 3x5/float64"),
]  # fmt: skip


def test_every_primitive_is_broken_once() -> None:
    assert {kind for _, kind, _, _ in PRIMITIVES} == set(ops.PRIMITIVES)


@pytest.mark.parametrize(
    ("kind", "when", "group"),
    [row[1:] for row in PRIMITIVES],
    ids=[f"{row[0]}: {row[3]}" for row in PRIMITIVES],
)
def test_a_wrong_primitive_is_noticed(kind: type[Op], when: Any, group: str) -> None:
    assert failures(NumpyBackend(), group) == []
    assert failures(off(kind, when), group)


def test_errors_that_a_thousandth_does_not_show_are_noticed() -> None:
    """A softmax is right for any shift, and a mask for nearly any number; a large error shows."""
    no_maximum = off(ops.Reduce, lambda op: op.kind == "max", np.zeros_like)
    assert failures(no_maximum, "loss/logits of a thousand")
    mirrored = off(ops.Random, lambda op: op.kind == "uniform", lambda u: 1 - u)
    assert failures(mirrored, "layer/Dropout(0.3) of 40/float32")


# Scalar functions of maps, with a check that must notice each.
SCALARS = {
    "add": "layer/Scale", "sub": "optimiser/Sgd(0.03)", "mul": "layer/Scale", "div": "layer/Softmax() of 5/float32",
    "neg": "loss/NegativeLogLikelihood", "pow": "layer/LocalResponseNormalisation",
    "exp": "layer/Softmax() of 5/float32",
    "log": "loss/CategoricalCrossEntropy", "sqrt": "layer/LayerNormalisation",
    "tanh": "layer/Tanh() of 257/float32", "logistic": "layer/Logistic", "cos": "optimiser/Sgd(0.03)",
    "erf": "layer/Gelu() of 5/float32", "abs": "loss/MeanAbsoluteError", "sign": "optimiser/Lion(0.003)",
    "maximum": "layer/Relu() of 3x7x5/float32", "minimum": "loss/Huber", "where": "layer/LeakyRelu",
    "gt": "layer/Prelu() of 3x7x5/float32", "ge": "loss/SoftmaxCrossEntropy() of 4, labels/float32",
    "lt": "layer/MultiplicativeNoise", "le": "loss/Huber", "eq": "loss/NegativeLogLikelihood",
    "not": "loss/MeanSquaredError() of 3, numbers/float32", "isnan": "loss/MeanSquaredError() of 3, numbers/float32",
    "expm1": "layer/Elu", "log1p": "layer/Softplus",
}  # fmt: skip


def scalar_names(op: Any) -> set[str]:
    found: set[str] = set()

    def visit(e: Any) -> None:
        if hasattr(e, "op"):
            found.add(e.op)
            for a in e.args:
                visit(a)

    for e in op.expressions:
        visit(e)
    return found


@pytest.mark.parametrize(("name", "group"), SCALARS.items(), ids=SCALARS)
def test_a_wrong_scalar_function_is_noticed(name: str, group: str) -> None:
    """Every map that holds the function gives wrong results, no other."""
    assert failures(off(ops.Map, lambda op: name in scalar_names(op)), group)


# Promises of an executable.


def forgets(text: str) -> type[NumpyExecutable]:
    """States whose name ends with `text` keep their old content."""

    class Forgetful(NumpyExecutable):
        def run(self) -> None:
            kept = {n: self.read(n) for n in self.program.updates if n.endswith(text)}
            super().run()
            for name, array in kept.items():
                self.write(name, array)

    return Forgetful


class StandsStill(NumpyExecutable):
    """Random numbers are those of the first step for ever."""

    def run(self) -> None:
        if "random.step" in self.program.state:
            self.write("random.step", np.int64(0))
        super().run()


class Seedless(NumpyExecutable):
    """Random numbers that no seed determines."""

    count = 0

    def run(self) -> None:
        if "random.seed" in self.program.state:
            Seedless.count += 1
            self.write("random.seed", np.uint64(Seedless.count))
        super().run()


class Unshared(NumpyExecutable):
    """Every executable has a memory of its own."""

    def __init__(self, program: Any, memory: Any) -> None:
        super().__init__(program, HostMemory())


class Miscounted(NumpyExecutable):
    """The report leaves half of the state out."""

    def __init__(self, program: Any, memory: Any) -> None:
        super().__init__(program, memory)
        self.report.bytes["state"] //= 2  # type: ignore[index]


class Allocating(NumpyExecutable):
    """Says that it plans its memory, and allocates."""

    def __init__(self, program: Any, memory: Any) -> None:
        super().__init__(program, memory)
        object.__setattr__(self.report, "unplanned_bytes", 1)


class Stale(NumpyExecutable):
    """Outputs of the run before, but for the first."""

    old: dict[str, np.ndarray] | None = None

    def run(self) -> None:
        super().run()
        new = {n: self.read(n) for n in self.program.outputs}
        if self.old is not None:
            self._buffers.outputs.update(self.old)
        self.old = new


PROMISES = [
    (forgets("x"), "optimiser/Sgd(0.03)"),
    (forgets("num_steps"), "run/adam over three epochs"),
    (forgets("first_moment"), "run/adam over three epochs"),
    (forgets("second_moment"), "golden optimiser/adam, De Jong"),
    (forgets("velocity"), "layer/Relu() of 3x7x5/step"),
    (forgets("running_mean"), "golden layer/batch normalisation"),
    (forgets("running_variance"), "layer/BatchNormalisation() of 3x7x5/float64"),
    (forgets("centres"), "golden loss/centre loss"),
    (forgets("total.loss"), "batches/17 examples"),
    (forgets("total.metric.correct"), "batches/accuracy"),
    (forgets("random.step"), "dropout/of two numbers"),
    (StandsStill, "dropout/keep .8"),
    (StandsStill, "layer/Dropout(0.3) of 40/float32"),
    (Seedless, "run/same seed, same bits"),
    (Seedless, "run/resumed equals uninterrupted"),
    (Unshared, "run/adam over three epochs"),
    (Unshared, "batches/each example pulls once"),
    (Miscounted, "plan/exact bytes"),
    (Allocating, "plan/the second run allocates nothing"),
    (Stale, "treatment/penalties"),
    (Stale, "batches/200 examples"),
]


@pytest.mark.parametrize(
    ("executable", "group"), PROMISES, ids=[f"{e.__name__}: {g}" for e, g in PROMISES]
)
def test_a_broken_promise_is_noticed(executable: Any, group: str) -> None:
    assert failures(Wrong(executable=executable), group)


def test_a_backend_without_a_dtype_skips_what_needs_it() -> None:
    class Single(NumpyBackend):
        name = "single"
        capabilities = Capabilities(("float32",))

    found = verify.run(Single(), filter="layer/Relu()")
    status = {r.name.rpartition("/")[2]: r.status for r in found}
    assert status == {
        "data and shapes": "passed", "float32": "passed", "step in float32": "passed",
        "float64": "skipped", "gradient": "skipped", "step in float64": "skipped",
    }  # fmt: skip
