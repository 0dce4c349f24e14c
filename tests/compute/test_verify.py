"""The verification suite: it passes on what works, fails on what does not, and its data are right."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cortex.compute import Backend, Program, verify
from cortex.compute.backend import Capabilities
from cortex.compute.numpy_backend import NumpyBackend, NumpyExecutable
from cortex.compute.program import Op, rewrite
from cortex.compute.verify import Check, Mismatch, Result, check_gradient, close, equal, within
from cortex.compute.verify.golden import array, load, same_part

QUICK = verify.checks(quick=True)


@pytest.mark.parametrize("check", QUICK, ids=str)
def test_quick(backend: Backend, check: Check) -> None:
    reason = check.missing(backend)
    if reason:
        pytest.skip(reason)
    check(backend)


@pytest.mark.slow
@pytest.mark.parametrize("check", [c for c in verify.checks() if "quick" not in c.tags], ids=str)
def test_full(backend: Backend, check: Check) -> None:
    check(backend)


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


# goldens: the data against formulas, so that a slip of the pen is found


@pytest.mark.parametrize("name", ["operations", "layers", "losses", "optimisers"])
def test_golden_files_have_names_and_sources(name: str) -> None:
    entries = load(name)
    assert entries and len({e["name"] for e in entries}) == len(entries)
    assert all(e["source"] for e in entries)


def test_golden_arrays() -> None:
    np.testing.assert_array_equal(array({"shape": [2, 2], "ramp": 3}), [[3, 4], [5, 6]])
    np.testing.assert_array_equal(
        array({"shape": [2, 3], "values": [1, 2]}), [[1, 2, 1], [2, 1, 2]]
    )
    assert array({"shape": [], "values": [7]}).shape == ()
    assert np.isnan(array({"shape": [2], "values": [1, None]})[1])
    first = {"shape": [2, 2], "first": [9, 8]}
    np.testing.assert_array_equal(array(first), [9, 8])
    np.testing.assert_array_equal(same_part(first, np.array([[9, 8], [7, 6]])), [9, 8])


def _golden(file: str, name: str) -> dict[str, Any]:
    (entry,) = [e for e in load(file) if e["name"] == name]
    return entry


def test_golden_adam() -> None:
    e = _golden("optimisers", "adam, De Jong")
    x = np.array(e["start"], np.float64)
    m, v = 0 * x, 0 * x
    for t, wanted in enumerate(e["steps"], 1):
        m, v = 0.9 * m + 0.1 * 2 * x, 0.999 * v + 0.001 * (2 * x) ** 2
        x = x - 1e-3 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(x, wanted, rtol=0, atol=1e-12)


def test_golden_single_steps() -> None:
    e = _golden("optimisers", "adadelta, one step")
    x, g = np.array(e["parameters"], float), np.array(e["gradient"], float)
    a = 0.5 * np.array(e["state"]["acc_gradient"]) + 0.5 * g * g
    step = -np.sqrt((np.array(e["state"]["acc_step"]) + 1) / (a + 1)) * g
    np.testing.assert_allclose(x + step, e["result"], atol=1e-8)
    s = 0.5 * np.array(e["state"]["acc_step"]) + 0.5 * step**2
    np.testing.assert_allclose(
        [a, s], [e["new_state"]["acc_gradient"], e["new_state"]["acc_step"]], atol=1e-8
    )
    e = _golden("optimisers", "adam, one step")
    x, g = np.array(e["parameters"], float), np.array(e["gradient"], float)
    m = 0.75 * np.array(e["state"]["first_moment"]) + 0.25 * g
    v = 0.3 * np.array(e["state"]["second_moment"]) + 0.7 * g * g
    np.testing.assert_allclose(
        [m, v], [e["new_state"]["first_moment"], e["new_state"]["second_moment"]]
    )
    x = x - 5 * (m / (1 - 0.75**3)) / (np.sqrt(v / (1 - 0.3**3)) + 0.2)
    np.testing.assert_allclose(x, e["result"], atol=1e-8)
    e = _golden("optimisers", "sgd, one step")
    np.testing.assert_array_equal(
        np.array(e["parameters"]) - 5 * np.array(e["gradient"]), e["result"]
    )


def test_golden_adadelta_network() -> None:
    e = _golden("optimisers", "adadelta, one step of a network")
    w, b, x = (
        np.array(e["weights"], float),
        np.array(e["bias"], float),
        np.array(e["inputs"], float),
    )
    y = x @ w.T + b
    np.testing.assert_array_equal(y[0], e["outputs"])
    dy = y - np.array(e["target"])  # 2 / n (y - t) with n = 2
    np.testing.assert_array_equal((dy.T @ x).ravel(), e["weight_gradient_sum"])
    np.testing.assert_array_equal(dy.sum(0), e["bias_gradient_sum"])
    np.testing.assert_array_equal(dy[0] @ w, e["input_gradient"])
    for p, g, wanted in ((w, dy.T @ x / 10, e["new_weights"]), (b, dy.sum(0) / 10, e["new_bias"])):
        step = np.sqrt(1e-6) / np.sqrt(0.05 * g * g + 1e-6) * g
        np.testing.assert_allclose((p - step).ravel(), wanted, atol=1e-9)


def test_golden_convnetjs() -> None:
    e = _golden("optimisers", "ConvNetJS 2-2-2")
    w1, b1, w2, b2 = (np.array(e[k], float) for k in ("weights1", "bias1", "weights2", "bias2"))
    x, target = np.array(e["inputs"]), np.array(e["target"])
    h = x @ w1.T + b1
    r = np.maximum(h, 0)
    y = np.exp(r @ w2.T + b2)
    y /= y.sum(1, keepdims=True)
    np.testing.assert_allclose(y[0], e["first_output"], atol=e["first_output_tolerance"])
    dz = y - target  # what MSE on a softmax of two outputs comes to
    dh = dz @ w2 * (h > 0)
    gradients = {
        "weights1": [np.outer(a, b).ravel() for a, b in zip(dh, x, strict=True)],
        "bias1": list(dh),
    }
    for key, each in gradients.items():
        np.testing.assert_allclose(each[0], e["first_gradients"][key], atol=e["tolerance"])
        np.testing.assert_allclose(sum(each), e["sum_of_gradients"][key], atol=e["tolerance"])
    dw2 = dz.T @ r
    np.testing.assert_allclose(
        np.abs(dw2[0]), e["sum_of_gradients"]["weights2_up_to_sign"], atol=1e-3
    )
    after = w1.ravel() - 0.01 * sum(gradients["weights1"]) / 10
    np.testing.assert_allclose(after, e["after_one_step"]["weights1"], atol=1e-9)


def test_golden_losses_and_activations() -> None:
    for name, f in (("mse", np.square), ("mae", np.abs)):
        e = _golden("losses", name)
        assert f(array(e["output"]) - array(e["target"])).mean() == e["value"]
    e = _golden("losses", "missing targets")
    target = array(e["target"])
    np.testing.assert_array_equal(
        np.where(np.isnan(target), array(e["output"]), target), array(e["filled"])
    )
    formulas: dict[str, Callable[[Any], Any]] = {
        "logistic": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh,
        "swish": lambda x: x / (1 + np.exp(-x)),
        "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    }
    for e in load("layers"):
        f = formulas.get(e["layer"])  # type: ignore[assignment]
        if f is None:
            continue
        x = array(e["inputs"][0])
        np.testing.assert_allclose(array(e["outputs"][0]), f(x), atol=1e-9)
        if "gradients" in e:
            slope = (f(x + 1e-6) - f(x - 1e-6)) / 2e-6 * array(e["cotangents"][0])
            np.testing.assert_allclose(array(e["gradients"]["inputs"][0]), slope, atol=1e-7)


# the plugin

THIRD_PARTY = """
import pytest
from cortex.compute import verify

CHECKS = verify.checks(quick=True, filter="update/")

@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_my_backend(backend, check):
    check(backend)

def test_the_fixture(backend):
    print("runs on", backend.name)
"""

MODULE = """
from cortex.compute.numpy_backend import NumpyBackend
class Mine(NumpyBackend):
    name = "mine"
"""


def _pytest(folder: Any, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_mine.py").write_text(THIRD_PARTY)
    (folder / "my_backend.py").write_text(MODULE)
    plugin = ["-p", "cortex.compute.verify.plugin"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rP",
        *plugin,
        "-p",
        "no:cacheprovider",
        *options,
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_third_party_suite(tmp_path: Any) -> None:
    done = _pytest(tmp_path, "--backend=numpy,my_backend:Mine")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "runs on numpy" in done.stdout and "runs on mine" in done.stdout
    count = 2 * (1 + len(verify.checks(quick=True, filter="update/")))
    assert f"{count} passed" in done.stdout


def test_wrong_names_are_usage_errors(tmp_path: Any) -> None:
    done = _pytest(tmp_path, "--backend=nunpy,no_module:Mine")
    assert done.returncode == 4
    assert "did you mean 'numpy'" in done.stderr and "no_module" in done.stderr


def test_default_is_every_backend_that_works() -> None:
    from cortex.compute.registry import availability, names
    from cortex.compute.verify.plugin import backend_names

    assert backend_names("") == [n for n in names() if availability(n).works]
    assert backend_names("numpy, numpy") == ["numpy"]


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, cortex.compute.verify.plugin; "
        "print(*{n.split('.')[0] for n in sys.modules}, 'cortex.compute.verify.cases' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"numba", "llvmlite", "h5py", "matplotlib", "sklearn", "scipy"}
    assert "False" in loaded  # nor the tables
