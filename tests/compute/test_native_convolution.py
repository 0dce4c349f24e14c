"""The three passes of a convolution in the compiled engine against loops over the taps in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

native = pytest.importorskip(
    "cortex.compute._native",
    reason="the compiled engine is not built: sh scripts/build_native.sh",
    exc_type=ImportError,
)
TOLERANCE = {np.float32: 3e-5, np.float64: 1e-12}
SUFFIX = {np.float32: "_f32", np.float64: "_f64"}
GUARD = 64


@pytest.fixture(autouse=True)
def restore():
    isa, threads = native.isa(), native.get_num_threads()
    yield
    native.set_isa(isa)
    native.set_num_threads(threads)


@dataclass(frozen=True)
class Case:
    """A convolution: channels and filters are those of one group."""

    batch: int
    channels: int
    image: tuple[int, int]
    filters: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, bottom, left, right
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def out(self) -> tuple[int, int]:
        pads = (self.padding[:2], self.padding[2:])
        return tuple(
            (n + sum(p) - (k - 1) * d - 1) // s + 1
            for n, p, k, d, s in zip(
                self.image, pads, self.kernel, self.dilation, self.stride, strict=True
            )
        )

    def integers(self, bias: int = 0, activation: int = 0) -> list[int]:
        return [
            self.batch, self.channels * self.groups, *self.image, self.filters * self.groups,
            *self.kernel, *self.stride, *self.padding, *self.dilation, self.groups, bias,
            activation,
        ]  # fmt: skip

    def arrays(self, rng, dtype):
        x = rng.standard_normal((self.batch, self.groups * self.channels, *self.image))
        w = rng.standard_normal((self.groups * self.filters, self.channels, *self.kernel))
        dy = rng.standard_normal((self.batch, self.groups * self.filters, *self.out))
        return x.astype(dtype), w.astype(dtype), dy.astype(dtype)


def reference(case: Case, x, w, dy):
    """y, dx, dw in float64: a sum over taps of products of strided views of the padded image."""
    x, w, dy = (v.astype(np.float64) for v in (x, w, dy))
    top, bottom, left, right = case.padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    d_padded, y, dw = np.zeros_like(padded), np.zeros_like(dy), np.zeros_like(w)
    for i in range(case.kernel[0]):
        for j in range(case.kernel[1]):
            first = (i * case.dilation[0], j * case.dilation[1])
            rows, columns = (
                slice(f, f + (n - 1) * s + 1, s)
                for f, n, s in zip(first, case.out, case.stride, strict=True)
            )
            for g in range(case.groups):
                c = slice(g * case.channels, (g + 1) * case.channels)
                f = slice(g * case.filters, (g + 1) * case.filters)
                view, tap = padded[:, c, rows, columns], w[f, :, i, j]
                y[:, f] += np.tensordot(tap, view, (1, 1)).swapaxes(0, 1)
                d_padded[:, c, rows, columns] += np.tensordot(tap, dy[:, f], (0, 1)).swapaxes(0, 1)
                dw[f, :, i, j] = np.tensordot(dy[:, f], view, ((0, 2, 3), (0, 2, 3)))
    image = d_padded[:, :, top : top + case.image[0], left : left + case.image[1]]
    return y, image, dw


def run(name, dtype, shape, inputs, integers, reals=(0.1,)):
    """One thread, then three with other splits: equal bits, nothing written around the result."""
    name += SUFFIX[dtype]
    units, scratch, parts = native.plan(name, integers)
    if name.startswith("convolution_kernel"):
        shape = (parts, *shape)
    results = []
    for threads, grain in ((1, 1), (3, 2)):
        native.set_num_threads(threads)
        size = int(np.prod(shape))
        memory = np.full(size + 2 * GUARD, 7.5, dtype)
        memory[GUARD:-GUARD] = np.nan
        out = memory[GUARD : GUARD + size]
        buffers = [out.ctypes.data, *(v.ctypes.data for v in inputs)]
        native.run_kernel(name, buffers, integers, list(reals), units, grain, scratch)
        assert (memory[:GUARD] == 7.5).all() and (memory[-GUARD:] == 7.5).all()
        results.append(out.reshape(shape).copy())
    np.testing.assert_array_equal(*results)
    return results[0]


def kernel_gradient(case, dtype, x, dy, shape):
    partials = run("convolution_kernel_gradient", dtype, shape, (x, dy), case.integers())
    if len(partials) == 1:
        return partials[0]
    integers = [int(np.prod(shape)), len(partials)]
    return run("sum_partials", dtype, shape, (partials,), integers)


def close(actual, expected, dtype):
    scale = np.abs(expected).max(initial=1e-30)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


def check(case: Case, dtype, activation=0):
    x, w, dy = case.arrays(np.random.default_rng(5), dtype)
    y, dx, dw = reference(case, x, w, dy)
    close(run("convolution", dtype, y.shape, (x, w), case.integers()), y, dtype)
    close(run("convolution_input_gradient", dtype, dx.shape, (dy, w), case.integers()), dx, dtype)
    close(kernel_gradient(case, dtype, x, dy, dw.shape), dw, dtype)
    integers = case.integers(1, activation)
    for name, inputs, plain in (
        ("convolution", (x, w), y),
        ("convolution_input_gradient", (dy, w), dx),
    ):
        bias = np.linspace(-1, 1, plain.shape[1]).astype(dtype)
        biased = plain + bias[:, None, None]
        expected = (biased, np.maximum(biased, 0), np.where(biased < 0, 0.1 * biased, biased))
        actual = run(name, dtype, plain.shape, (*inputs, bias), integers)
        close(actual, expected[activation], dtype)


CASES = {
    "lenet 1": Case(5, 1, (28, 28), 20, (5, 5)),
    "lenet 2": Case(7, 20, (12, 12), 50, (5, 5)),
    "same 3x3, several blocks": Case(2, 40, (32, 32), 150, (3, 3), padding=(1, 1, 1, 1)),
    "many filters in sum": Case(3, 20, (6, 5), 330, (3, 3)),
    "pointwise": Case(2, 70, (9, 11), 33, (1, 1)),
    "pointwise, stride": Case(2, 6, (13, 10), 5, (1, 1), stride=(2, 3)),
    "weights half a page apart": Case(2, 512, (12, 12), 18, (1, 1)),
    "small images, joined": Case(9, 30, (7, 7), 20, (3, 3), padding=(1, 1, 1, 1)),
    "one pixel": Case(5, 7, (4, 4), 19, (4, 4)),
    "one pixel image": Case(3, 5, (1, 1), 6, (1, 1)),
    "asymmetric": Case(2, 3, (10, 9), 4, (4, 3), padding=(0, 3, 2, 1)),
    "stride 2 same": Case(2, 9, (15, 14), 17, (3, 3), stride=(2, 2), padding=(1, 1, 1, 1)),
    "stride above kernel": Case(2, 3, (20, 19), 4, (2, 1), stride=(3, 4)),
    "dilated": Case(2, 4, (19, 17), 6, (3, 3), padding=(2, 2, 2, 2), dilation=(2, 2)),
    "dilated, strided": Case(2, 4, (21, 18), 6, (3, 2), (2, 3), (1, 0, 2, 2), (3, 2)),
    "grouped": Case(3, 4, (11, 10), 5, (3, 3), padding=(1, 1, 1, 1), groups=3),
    "depthwise": Case(2, 1, (14, 15), 1, (3, 3), padding=(1, 1, 1, 1), groups=20),
    "depthwise, multiplier, stride": Case(2, 1, (14, 15), 2, (5, 3), (2, 2), groups=6),
    "one dimension": Case(3, 5, (1, 200), 7, (1, 9), padding=(0, 0, 4, 4)),
    "one long dimension": Case(1, 3, (1, 2500), 4, (1, 5), dilation=(1, 3)),
    "wide rows": Case(1, 2, (5, 1100), 3, (3, 3), padding=(1, 1, 1, 1)),
    "bands of rows": Case(1, 3, (70, 60), 4, (7, 7), stride=(2, 2), padding=(3, 3, 3, 3)),
    "kernel gradient in parts": Case(40, 2, (24, 24), 20, (5, 5)),
    "more padding than kernel": Case(2, 3, (4, 5), 6, (2, 2), padding=(4, 3, 3, 5)),
}


@pytest.mark.parametrize("isa", native.available_isas())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_passes(isa, dtype, name):
    native.set_isa(isa)
    check(CASES[name], dtype, activation=len(name) % 3)


@st.composite
def cases(draw):
    sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.tuples(*[st.integers(0, 3)] * 4))
    pads = (padding[0] + padding[1], padding[2] + padding[3])
    least = [max(1, (k - 1) * d + 1 - p) for k, d, p in zip(kernel, dilation, pads, strict=True)]
    extra = draw(sizes)
    return Case(
        draw(st.integers(1, 4)), draw(st.integers(1, 6)),
        (least[0] + extra[0] - 1, least[1] + extra[1] - 1), draw(st.integers(1, 16)), kernel,
        draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), padding, dilation,
        draw(st.integers(1, 3)),
    )  # fmt: skip


@pytest.mark.parametrize("isa", native.available_isas())
@settings(max_examples=60)
@given(case=cases(), dtype=st.sampled_from([np.float32, np.float64]))
def test_any_geometry(isa, case, dtype):
    native.set_isa(isa)
    check(case, dtype)


def test_kernel_gradient_is_cut_by_shape_and_sums_its_parts():
    parts = native.plan(
        "convolution_kernel_gradient_f32", CASES["kernel gradient in parts"].integers()
    )[2]
    assert parts > 1
    wide = Case(16, 64, (32, 32), 128, (3, 3), padding=(1, 1, 1, 1))
    assert native.plan("convolution_kernel_gradient_f32", wide.integers())[2] == 1


@pytest.mark.parametrize("name", ["convolution", "convolution_input_gradient"])
def test_lenet_keeps_many_threads_busy(name):
    lenet = Case(64, 20, (12, 12), 50, (5, 5))
    assert native.plan(name + "_f32", lenet.integers())[0] >= 16


def test_plan_of_the_wrong_number_of_integers():
    with pytest.raises(ValueError, match="convolution_f64 takes 18 integers, given 1"):
        native.plan("convolution_f64", [1])
