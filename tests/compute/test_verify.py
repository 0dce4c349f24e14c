"""The verification suite: it passes on what works and fails on what does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cortex.compute import Backend, Program, verify
from cortex.compute.backend import Capabilities
from cortex.compute.numpy_backend import NumpyBackend, NumpyExecutable
from cortex.compute.program import Op, rewrite
from cortex.compute.verify import Check, Mismatch, Result, check_gradient, close, equal, within

QUICK = verify.checks(quick=True)


@pytest.mark.parametrize("check", QUICK, ids=str)
def test_quick(cortex_backend: Backend, check: Check) -> None:
    reason = check.missing(cortex_backend)
    if reason:
        pytest.skip(reason)
    check(cortex_backend)


@pytest.mark.slow
@pytest.mark.parametrize("check", [c for c in verify.checks() if "quick" not in c.tags], ids=str)
def test_full(cortex_backend: Backend, check: Check) -> None:
    check(cortex_backend)


def test_names_differ_and_the_quick_suite_is_a_part() -> None:
    names = [c.name for c in verify.checks()]
    assert len(set(names)) == len(names) and len(QUICK) < len(names)
    assert all(re.fullmatch(r"[a-z ]+/.+", n) for n in names)


# Backends with one thing wrong each, and a check that must notice it.


class Twisted(NumpyBackend):
    """NumPy, with something done to the program or to its results."""

    name = "twisted"

    def __init__(
        self, twist: Callable[[Program], Program] | None = None, executable: Any = None
    ) -> None:
        self.twist, self.executable = twist, executable or NumpyExecutable

    def compile(self, program: Program, memory: Any = None) -> NumpyExecutable:
        from cortex.compute.host import HostMemory

        program = self.twist(program) if self.twist else program
        made: NumpyExecutable = self.executable(program, memory or HostMemory())
        return made


def replaced(kind: type[Op], change: Callable[[Any], Op]) -> Callable[[Program], Program]:
    def replace(new: Any, step: Any, inputs: Any) -> Any:
        if not isinstance(step.op, kind):
            return None
        result = new.apply(change(step.op), *inputs)
        return result if isinstance(result, tuple) else (result,)

    return lambda program: rewrite(program, replace)


class EarlyUpdates(NumpyExecutable):
    """Runs the program once for each update and stores it at once: the swap of two states goes wrong."""

    def run(self) -> None:
        whole = self.program
        for name in whole.updates:
            self.program = rewrite(whole, lambda new, step, inputs: None)
            self.program.updates = {name: self.program.updates[name]}
            super().run()
        self.program = whole


class KeepsReference(NumpyExecutable):
    """Gives its own arrays away instead of copies."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.read = lambda name: {**self._buffers.state, **self._buffers.outputs}[name]


class Forgets(NumpyExecutable):
    """Clears the state when it is compiled."""

    def __init__(self, program: Program, memory: Any) -> None:
        super().__init__(program, memory)
        for a in self._buffers.state.values():
            a[...] = 0


class Noisy(NumpyExecutable):
    """The last bit of each result depends on the run."""

    runs = 0

    def run(self) -> None:
        super().run()
        Noisy.runs += 1
        for a in self._buffers.outputs.values():
            if a.dtype.kind == "f":
                a *= 1 + 1e-7 * (Noisy.runs % 2)


def _pool(op: Any) -> Op:
    from dataclasses import replace

    return replace(op, count_padding=not op.count_padding)


def _matmul(op: Any) -> Op:
    from cortex.compute.ops import MatMul

    return MatMul(op.transpose_a, not op.transpose_b)


def _random(op: Any) -> Op:
    from dataclasses import replace

    return replace(op, number=op.number + 1)


def _precise(op: Any) -> Op:
    from dataclasses import replace

    return replace(op, epsilon=op.epsilon * 2)


def _ops() -> Any:
    from cortex.compute import ops

    return ops


BROKEN = [
    ("padding counted the other way", "op/average pool/uneven/float32", lambda: Twisted(replaced(_ops().Pool, _pool))),
    ("numbers of random ops off by one", "random/uniform", lambda: Twisted(replaced(_ops().Random, _random))),
    (
        "another epsilon", "op/batch normalisation/per channel/float32",
        lambda: Twisted(replaced(_ops().BatchNormalisation, _precise)),
    ),
    (
        "another epsilon, golden", "golden/batch normalisation, training, per element/float64",
        lambda: Twisted(replaced(_ops().BatchNormalisation, _precise)),
    ),
    ("a square product transposed", "update/product with itself", lambda: Twisted(replaced(_ops().MatMul, _matmul))),
    ("updates one after the other", "update/swap two states", lambda: Twisted(executable=EarlyUpdates)),
    ("updates one after the other, rotating", "update/rotate three states", lambda: Twisted(executable=EarlyUpdates)),
    ("arrays given away", "host/copies", lambda: Twisted(executable=KeepsReference)),
    ("state cleared by compiling", "memory/sharing keeps what is there", lambda: Twisted(executable=Forgets)),
    ("results that waver", "determinism/twice", lambda: Twisted(executable=Noisy)),
]  # fmt: skip


@pytest.mark.parametrize(("what", "name", "make"), BROKEN, ids=[r[0] for r in BROKEN])
def test_what_is_broken_is_found(what: str, name: str, make: Callable[[], Backend]) -> None:
    (check,) = [c for c in verify.checks() if c.name == name]
    check(NumpyBackend())
    with pytest.raises((Mismatch, ValueError)):
        check(make())


def test_a_wrong_gradient_is_found() -> None:
    """The original's error: the forward window in the backward pass of an even local response."""
    from cortex.compute.ops import LocalResponseNormalisation, PoolGradient, Window

    def forward_window(op: PoolGradient) -> Op:
        size = op.window.size[0]
        low, high = op.window.padding[0]
        return PoolGradient(
            op.kind, Window.of((size, 1), 1, ((high, low), (0, 0))), op.extents, True
        )

    (check,) = [
        c for c in verify.checks() if c.name == "gradient/local response/2 of 7 channels, beta 0.75"
    ]
    backend = Twisted(replaced(PoolGradient, forward_window))
    with pytest.raises(Mismatch, match="the gradient is wrong along a random direction"):
        check(backend)
    assert LocalResponseNormalisation(2, 1, 1, 1).is_composite


# the runner


def _passing(backend: Backend) -> None:
    pass


def _failing(backend: Backend) -> None:
    raise Mismatch(f"{backend.name} is wrong")


def _crashing(backend: Backend) -> None:
    raise KeyError("oops")


MINE = [
    Check("mine/good", _passing),
    Check("mine/bad", _failing),
    Check("mine/crash", _crashing, frozenset()),
    Check("mine/wide", _passing, needs=("float128",)),
]


def test_run_reports_every_check() -> None:
    seen: list[tuple[str, int, int]] = []
    results = verify.run("numpy", checks=MINE, progress=lambda r, k, n: seen.append((r.name, k, n)))
    assert [r.status for r in results] == ["passed", "failed", "failed", "skipped"]
    assert [r.passed for r in results] == [True, False, False, True]
    assert results[1].message == "numpy is wrong" and results[2].message == "KeyError: 'oops'"
    assert results[3].message == "numpy has no float128" and results[3].seconds == 0
    assert seen == [(c.name, k, 4) for k, c in enumerate(MINE, 1)]
    assert "failed" in str(results[1]) and "numpy is wrong" in str(results[1])
    assert isinstance(results[0], Result) and results[0].seconds >= 0


def test_run_selects() -> None:
    assert len(verify.run("numpy", quick=True, checks=MINE)) == 3
    assert [r.name for r in verify.run("numpy", filter="bad", checks=MINE)] == ["mine/bad"]
    assert all(r.passed for r in verify.run(NumpyBackend(), filter="update/"))
    with pytest.raises(
        ValueError, match="no check's name contains 'memmory'; did you mean 'memory'"
    ):
        verify.run("numpy", filter="memmory")


def test_a_backend_without_float64_skips() -> None:
    class Single(NumpyBackend):
        capabilities = Capabilities(("float32",))

    results = verify.run(Single(), filter="op/convolution/3x3 same")
    assert [r.status for r in results] == ["passed", "skipped"]


def test_adding_a_check_is_one_decorator() -> None:
    mine: list[Check] = []

    @verify.checking(mine, "mine/new", quick=False, needs=("float64",))
    def new(backend: Backend) -> None:
        """Nothing."""

    assert mine == [Check("mine/new", new, frozenset(), ("float64",))]


# gradients and comparisons


def _cubic(wrong: float = 0.0) -> Callable[..., tuple[float, list[np.ndarray]]]:
    return lambda point: (float((point[0] ** 3).sum()), [3 * point[0] ** 2 + wrong])


def _draw(g: np.random.Generator) -> list[np.ndarray]:
    return [g.normal(size=(3, 2))]


def test_right_gradients_pass_and_wrong_ones_print_everything() -> None:
    assert check_gradient("cubic", _draw, _cubic()) < 1e-8
    with pytest.raises(Mismatch) as caught:
        check_gradient("cubic", _draw, _cubic(1e-3), seed=5)
    text = str(caught.value)
    for part in (
        "cubic",
        "seed 5",
        "analytic",
        "numeric",
        "relative error",
        "argument 0 [3, 2]",
        "differences",
    ):
        assert part in text


def test_small_errors_are_found() -> None:
    with pytest.raises(Mismatch):
        check_gradient("cubic", _draw, _cubic(1e-4))


def test_kinks_are_drawn_again() -> None:
    """|x| at 0 in the first draw, away from it in the second."""
    points = iter([np.full(3, 1e-6), np.full(3, 0.7)])
    drawn = []

    def draw(g: np.random.Generator) -> list[np.ndarray]:
        drawn.append(next(points))
        return [drawn[-1]]

    check_gradient("abs", draw, lambda p: (float(np.abs(p[0]).sum()), [np.sign(p[0])]))
    assert len(drawn) == 2
    with pytest.raises(Mismatch, match="all 6 points drawn from seed 0 lie at a kink"):
        check_gradient(
            "abs",
            lambda g: [np.full(3, 1e-6)],
            lambda p: (float(np.abs(p[0]).sum()), [np.sign(p[0])]),
        )


def test_values_that_are_not_finite_fail() -> None:
    with pytest.raises(Mismatch), np.errstate(all="ignore"):
        check_gradient("log", _draw, lambda p: (float(np.log(p[0]).sum()), [1 / p[0]]))


def test_comparisons() -> None:
    f = np.array([1, 2, 3], np.float32)
    close("x", f, f + 1e-5)
    close("x", np.array([np.nan, np.inf]), [np.nan, np.inf])
    with pytest.raises(
        Mismatch,
        match=r"x: 1 of 3 elements of float32\[3\] differ\n  at \(1,\): got .*2.0.*, wanted .*2.5",
    ):
        close("x", f, [1, 2.5, 3])
    with pytest.raises(Mismatch):
        close("x", f.astype(np.float64), f.astype(np.float64) + 1e-9)
    with pytest.raises(Mismatch):
        close("x", np.array([np.nan]), [1.0])
    with pytest.raises(Mismatch):
        close("x", np.array([np.inf]), [1.0])
    with pytest.raises(Mismatch, match=r"expected shape \(2,\), got \(3,\)"):
        close("x", f, [1, 2])
    with pytest.raises(Mismatch, match="they must be equal"):
        close("x", np.array([1, 2]), [1, 3])
    equal("x", np.array([np.nan, 1]), [np.nan, 1])
    with pytest.raises(Mismatch):
        equal("x", f, f + 1e-6)
    within("x", f, f + 0.5, 0.5)
    with pytest.raises(Mismatch, match="absolute tolerance"):
        within("x", f, f + 0.6, 0.5)
    with pytest.raises(Mismatch):
        within("x", [np.nan], [1.0], 1)


def test_raises_looks_at_the_message() -> None:
    def fail() -> None:
        raise ValueError("shape (2,)")

    verify.raises("x", ValueError, fail, "shape", "(2,)")
    with pytest.raises(Mismatch, match=r"the message lacks \['\(3,\)'\]: shape \(2,\)"):
        verify.raises("x", ValueError, fail, "(3,)")
    with pytest.raises(Mismatch, match="expected ValueError, but nothing was raised"):
        verify.raises("x", ValueError, lambda: None)
