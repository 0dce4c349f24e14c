"""Winograd convolutions of the compiled engine, three passes, against NumPy in float64."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

native = pytest.importorskip(
    "cortex.compute._native",
    reason="the compiled engine is not built: sh scripts/build_native.sh",
    exc_type=ImportError,
)

from cortex.compute.cpu.backend import CpuBackend  # noqa: E402
from cortex.compute.cpu.lowering import Lowering  # noqa: E402
from cortex.compute.cpu.providers import winograd  # noqa: E402
from cortex.compute.expression import node, symbol  # noqa: E402
from cortex.compute.layouts import BATCH_LANES, CHANNELS_LAST, LANES, Layout  # noqa: E402
from cortex.compute.ops import (  # noqa: E402
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
    Window,
)
from cortex.compute.ops.arranged import Arranged  # noqa: E402
from cortex.compute.ops.fused import Fused  # noqa: E402
from cortex.compute.plan.storage import Storage  # noqa: E402
from cortex.compute.program import Program, Step  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def winograd_runs():
    """Whatever is faster: these are the tests of Winograd."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "is_faster", lambda op, *specs: True)
        yield


TOLERANCE = 1e-4  # of the largest value; sums of few terms, where one large product of a tile shows


@pytest.fixture(autouse=True)
def restore():
    isa, threads = native.isa(), native.get_num_threads()
    yield
    native.set_isa(isa)
    native.set_num_threads(threads)


@dataclass(frozen=True)
class Case:
    batch: int
    channels: int
    image: tuple[int, int]
    filters: int
    kernel: int
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    layout: Layout = BATCH_LANES

    @property
    def window(self) -> Window:
        return Window.of(self.kernel, 1, self.padding)

    @property
    def out(self) -> tuple[int, ...]:
        return self.window.output("Convolution", self.image)

    def arrays(self):
        random = np.random.default_rng(3)
        x = random.standard_normal((self.batch, self.channels, *self.image))
        w = random.standard_normal((self.filters, self.channels, self.kernel, self.kernel))
        dy = random.standard_normal((self.batch, self.filters, *self.out))
        return tuple(v.astype(np.float32) for v in (x, w, dy))


def arrange(layout: Layout, dense: np.ndarray) -> np.ndarray:
    """Lanes beyond the batch hold NaN."""
    if layout is CHANNELS_LAST:
        return np.ascontiguousarray(np.moveaxis(dense, 1, -1))
    blocks = -(-len(dense) // LANES)
    full = np.full((blocks * LANES, *dense.shape[1:]), np.nan, dense.dtype)
    full[: len(dense)] = dense
    return np.ascontiguousarray(np.moveaxis(full.reshape(blocks, LANES, *dense.shape[1:]), 1, -1))


def restored(layout: Layout, value: np.ndarray, batch: int) -> np.ndarray:
    value = np.moveaxis(value, -1, 1)
    if layout is CHANNELS_LAST:
        return value
    return value.reshape(-1, *value.shape[2:])[:batch]


def reference(case: Case, x, w, dy):
    """y, dx, dw in float64: a sum over taps."""
    x, w, dy = (v.astype(np.float64) for v in (x, w, dy))
    padded = np.pad(x, ((0, 0), (0, 0), *case.padding))
    d_padded, y, dw = np.zeros_like(padded), np.zeros_like(dy), np.zeros_like(w)
    for i in range(case.kernel):
        for j in range(case.kernel):
            at = np.s_[:, :, i : i + case.out[0], j : j + case.out[1]]
            tap = w[:, :, i, j]
            y += np.tensordot(tap, padded[at], (1, 1)).swapaxes(0, 1)
            d_padded[at] += np.tensordot(tap, dy, (0, 1)).swapaxes(0, 1)
            dw[:, :, i, j] = np.tensordot(dy, padded[at], ((0, 2, 3), (0, 2, 3)))
    (top, _), (left, _) = case.padding
    return y, d_padded[:, :, top : top + case.image[0], left : left + case.image[1]], dw


def compiled(case: Case, passes: tuple[str, ...], dtype: str = "float32"):
    p = Program()
    inner = Convolution(case.window)
    inside = {
        n: p.input(n, case.layout.shape((case.batch, c, *e)), dtype)
        for n, c, e in (("x", case.channels, case.image), ("dy", case.filters, case.out))
    }
    w = p.input("w", (case.filters, case.channels, case.kernel, case.kernel), dtype)

    def arranged(op):
        return Arranged(op, case.layout, case.batch)

    if "y" in passes:
        p.output("y", p.apply(arranged(inner), inside["x"], w))
    if "dx" in passes:
        dx = arranged(ConvolutionInputGradient(case.window, case.image))
        p.output("dx", p.apply(dx, inside["dy"], w))
    if "dw" in passes:
        dw = arranged(ConvolutionKernelGradient(case.window))
        p.output("dw", p.apply(dw, inside["x"], inside["dy"]))
    return CpuBackend().compile(p)


def run(case: Case, passes: tuple[str, ...] | None = None):
    passes = passes or (("y", "dx", "dw") if case.layout is BATCH_LANES else ("y",))
    x, w, dy = case.arrays()
    executable = compiled(case, passes)
    assert [s.provider for s in executable.report.steps if s.op == "Arranged"] == [
        "winograd"
    ] * len(passes)
    executable.write("x", arrange(case.layout, x))
    executable.write("dy", arrange(case.layout, dy))
    executable.write("w", w)
    executable.run()
    results = {n: executable.read(n) for n in passes}
    return {n: v if n == "dw" else restored(case.layout, v, case.batch) for n, v in results.items()}


def check(case: Case):
    wanted = dict(zip(("y", "dx", "dw"), reference(case, *case.arrays()), strict=True))
    for name, actual in run(case).items():
        scale = np.abs(wanted[name]).max(initial=1e-3)
        np.testing.assert_allclose(
            actual, wanted[name], rtol=0, atol=TOLERANCE * scale, err_msg=name
        )


SAME = ((1, 1), (1, 1))
CASES = {
    "lenet 2, adjoint": Case(33, 20, (12, 12), 50, 5),
    "same 3x3": Case(17, 24, (9, 14), 33, 3, SAME),
    "one example": Case(1, 8, (6, 6), 9, 3),
    "smaller than a tile": Case(15, 8, (1, 2), 9, 3, SAME),
    "kernel of 2": Case(16, 9, (11, 8), 8, 2),
    "kernel of 4": Case(18, 9, (11, 8), 8, 4, ((3, 0), (1, 2))),
    "more padding than kernel": Case(5, 8, (3, 4), 8, 3, ((4, 3), (3, 5))),
    "a stage per instruction": Case(17, 300, (5, 3), 230, 3, SAME),
    "channels last": Case(2, 30, (9, 14), 45, 3, SAME, CHANNELS_LAST),
    "channels last 5x5": Case(3, 17, (9, 8), 8, 5, ((2, 2), (2, 1)), CHANNELS_LAST),
    "channels last, stages": Case(2, 300, (10, 9), 231, 3, SAME, CHANNELS_LAST),
}


@pytest.mark.parametrize("isa", native.available_isas())
@pytest.mark.parametrize("name", CASES)
def test_passes(isa, name):
    native.set_isa(isa)
    check(CASES[name])


@pytest.mark.parametrize("layout", [BATCH_LANES, CHANNELS_LAST], ids=lambda v: v.name)
def test_tiles_in_several_chunks(layout, monkeypatch):
    monkeypatch.setattr(winograd, "LARGE", 1)
    monkeypatch.setattr(winograd, "CHUNK_BYTES", 1 << 18)
    check(Case(33, 20, (18, 14), 33, 3, SAME, layout))


@st.composite
def cases(draw):
    kernel = draw(st.integers(2, 5))
    pads = draw(st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2))
    least = [max(1, kernel - sum(p)) for p in pads]
    extra = draw(st.tuples(st.integers(0, 9), st.integers(0, 9)))
    image = (least[0] + extra[0], least[1] + extra[1])
    layout = draw(st.sampled_from([BATCH_LANES, CHANNELS_LAST]))
    batch = draw(st.sampled_from([1, 15, 16, 17, 33] if layout is BATCH_LANES else [1, 3]))
    sizes = st.integers(winograd.LEAST_DEPTH, 40)
    return Case(batch, draw(sizes), image, draw(sizes), kernel, pads, layout)


@pytest.mark.parametrize("isa", native.available_isas())
@settings(max_examples=25, deadline=None)
@given(case=cases())
def test_any_geometry(isa, case):
    native.set_isa(isa)
    check(case)


@pytest.mark.parametrize("name", ["lenet 2, adjoint", "a stage per instruction", "channels last"])
def test_results_do_not_depend_on_the_number_of_threads(name):
    native.set_num_threads(1)
    one = run(CASES[name])
    native.set_num_threads(2)
    for key, value in run(CASES[name]).items():
        np.testing.assert_array_equal(value, one[key])


@pytest.mark.parametrize("layout", [BATCH_LANES, CHANNELS_LAST], ids=lambda v: v.name)
@pytest.mark.parametrize("name", ["same 3x3", "a stage per instruction"])
def test_bias_and_activation_in_the_result(layout, name):
    case = replace(CASES[name], layout=layout)
    x, w, dy = case.arrays()
    p = Program()
    inside = p.input("x", layout.shape(x.shape))
    kernels = p.input("w", w.shape)
    shape = (case.filters,) if layout is CHANNELS_LAST else (case.filters, 1, 1, 1)
    bias = p.input("bias", shape)
    relu = node("maximum", symbol(0) + symbol(1), 0.0)
    op = Fused(Arranged(Convolution(case.window), layout, case.batch), 2, relu)
    y = p.apply(op, inside, kernels, bias)
    low = Lowering(p, Storage(p))
    made = winograd.fused(low, Step(op, (inside, kernels, bias), (y,)))
    assert {i.provider for i in made} == {"winograd"}
    offsets = np.linspace(-9, 9, case.filters).astype(np.float32)
    result = execute(low, made, {inside: arrange(layout, x), kernels: w, bias: offsets}, y)
    wanted = np.maximum(reference(case, x, w, dy)[0] + offsets[:, None, None], 0)
    actual = restored(layout, result, case.batch)
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=TOLERANCE * wanted.max())


def execute(low, made, inputs, y):
    """Run instructions with an array of its own for each root of memory."""
    given = {low.storage.place[v].root: a for v, a in inputs.items()}
    roots = {o.place.root: o for i in made for o in i.operands}
    memory = {
        r: given[r].ravel() if r in given else np.full(r.bytes // 4, np.nan, np.float32)
        for r in roots
    }
    for root, array in memory.items():
        root.address = array.ctypes.data
    for i in made:
        native.run_kernel(i.target, i.buffers, i.integers, i.reals, i.units, i.grain, i.scratch)
    return memory[low.storage.place[y].root].reshape(y.shape)


@pytest.mark.parametrize("change", ["exact", "float64", "stride", "dilation", "groups", "narrow"])
def test_declines(change):
    window = Window.of(3, 2 if change == "stride" else 1, 1, 2 if change == "dilation" else 1)
    groups = 2 if change == "groups" else 1
    dtype = "float64" if change == "float64" else "float32"
    channels = winograd.LEAST_DEPTH * 2 if change != "narrow" else winograd.LEAST_DEPTH - 1
    p = Program()
    x = p.input("x", (1, channels, 8, 8, LANES), dtype)
    w = p.input("w", (16, channels // groups, 3, 3), dtype)
    op = Arranged(Convolution(window, groups), BATCH_LANES, 16)
    step = Step(op, (x, w), (p.apply(op, x, w),))
    low = Lowering(p, Storage(p))
    if change == "exact":
        assert winograd.convolution(low, step) is not None
        assert winograd.seconds(op, x.spec, w.spec) > 0
        low.exact = True
    else:
        assert winograd.seconds(op, x.spec, w.spec) is None
    assert winograd.convolution(low, step) is None


def test_seconds_grow_with_the_work():
    def estimate(batch, channels):
        op = Arranged(Convolution(Window.of(3, 1, 1)), BATCH_LANES, batch)
        x, w = ((-(-batch // LANES), channels, 16, 16, LANES), (64, channels, 3, 3))
        return winograd.seconds(op, *(SimpleNamespace(shape=s, dtype="float32") for s in (x, w)))

    assert estimate(16, 64) < estimate(64, 64) < estimate(64, 128)


def test_an_exact_backend_runs_none_of_them():
    import cortex
    from cortex import models, optimise

    found = []
    for backend in ("cpu", "cpu:exact", CpuBackend(exact=True)):
        step = cortex.training_step(
            models.lenet(),
            optimiser=optimise.Adam(),
            batch_size=32,
            backend=backend,
        )
        found.append(step.report.providers().get("winograd", 0))
    assert found == [3, 0, 0]
