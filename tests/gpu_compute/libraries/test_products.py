"""A `MatMul` as arguments of cuBLASLt: what a column-major library computes from them is what `MatMul` means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.compute.errors import BackendError, ShapeError
from cortex.compute.ops.matmul import MatMul
from cortex.gpu_compute.libraries import emulated
from cortex.gpu_compute.libraries.errors import Unsupported
from cortex.gpu_compute.libraries.products import Alignments, ProductArguments, cublas_arguments

ANY = Alignments(a=1, b=1, c=1, d=1, bias=1, aux=1)
extents = st.integers(1, 9)


def numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Small integers: sums are exact in every dtype but 16-bit ones."""
    return rng.integers(-4, 5, shape).astype(np.float32)


def run(g: ProductArguments, a, b, d, **others) -> None:
    addresses = {n: x.ctypes.data for n, x in others.items()}
    plan = emulated.EmulatedProducts().plan(g, alignments=ANY)
    plan.run(a.ctypes.data, b.ctypes.data, d.ctypes.data, **addresses)


def held(x: np.ndarray, transposed: bool) -> np.ndarray:
    return np.ascontiguousarray(x.swapaxes(-1, -2)) if transposed else x


@given(
    extents, extents, extents, st.booleans(), st.booleans(), st.sampled_from(["float32", "float64"])
)
def test_every_transposition(m, k, n, ta, tb, dtype) -> None:
    rng = np.random.default_rng(m * 100 + k * 10 + n)
    a, b = numbers(rng, m, k).astype(dtype), numbers(rng, k, n).astype(dtype)
    ha, hb = held(a, ta), held(b, tb)
    d = np.full((m, n), np.nan, dtype)
    g = cublas_arguments(MatMul(ta, tb), ha.shape, hb.shape, dtype)
    assert (g.m, g.n, g.k) == (n, m, k)
    run(g, ha, hb, d)
    np.testing.assert_array_equal(d, a @ b)


BATCHES = [
    ((3,), (3,), 1),
    ((3,), (), 1),
    ((), (3,), 1),
    ((2, 3), (2, 3), 1),
    ((2, 3), (3,), 2),
    ((2, 3), (2, 1), 2),
    ((2, 1), (1, 3), 2),
    ((2, 3, 2), (3, 1), 4),
    ((1, 3), (), 1),
    ((0, 3), (3,), None),
    ((2, 0), (), None),
]


@pytest.mark.parametrize(("left", "right", "launches"), BATCHES)
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_batches_broadcast(left, right, launches, ta, tb) -> None:
    rng = np.random.default_rng(1)
    a, b = numbers(rng, *left, 3, 4), numbers(rng, *right, 4, 5)
    ha, hb = held(a, ta), held(b, tb)
    expected = a @ b
    d = np.full(expected.shape, np.nan, np.float32)
    g = cublas_arguments(MatMul(ta, tb), ha.shape, hb.shape)
    run(g, ha, hb, d)
    np.testing.assert_array_equal(d, expected)
    assert g.empty == (launches is None)
    if launches and not ta:
        assert len(g.offsets) <= launches


def test_a_batch_with_one_right_operand_is_one_plain_product() -> None:
    g = cublas_arguments(MatMul(), (7, 5, 3, 4), (4, 6))
    assert (g.m, g.n, g.k, g.batch, g.offsets) == (6, 7 * 5 * 3, 4, 1, ((0, 0, 0),))


@given(
    st.tuples(extents, extents, extents),
    st.tuples(*[st.integers(0, 3)] * 3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(1, 3),
)
def test_rows_apart_and_axes_exchanged(shape, gaps, ta, tb, fa, fb, batch) -> None:
    """Views whose rows have gaps, and whose first axis is the contiguous one, need no copy."""
    (m, k, n), rng = shape, np.random.default_rng(2)

    def view(rows: int, columns: int, gap: int, exchanged: bool) -> np.ndarray:
        if exchanged:
            return view(columns, rows, gap, False).swapaxes(-1, -2)
        return numbers(rng, batch, rows, columns + gap)[..., :columns]

    a = view(*((k, m) if ta else (m, k)), gaps[0], fa)
    b = view(*((n, k) if tb else (k, n)), gaps[1], fb)
    whole = np.full((batch, m, n + gaps[2]), 77, np.float32)
    d = whole[..., :n]
    strides = {
        f"strides_{s}": [i // 4 for i in x.strides] for s, x in (("a", a), ("b", b), ("d", d))
    }
    run(cublas_arguments(MatMul(ta, tb), a.shape, b.shape, **strides), a, b, d)
    left = a.swapaxes(-1, -2) if ta else a
    right = b.swapaxes(-1, -2) if tb else b
    np.testing.assert_array_equal(d, left @ right)
    np.testing.assert_array_equal(whole[..., n:], 77)  # nothing beside the result is touched


def test_alpha_beta_and_another_c() -> None:
    rng = np.random.default_rng(3)
    a, b, c = numbers(rng, 3, 4), numbers(rng, 4, 5), numbers(rng, 3, 5)
    g = cublas_arguments(MatMul(), a.shape, b.shape, alpha=0.5, beta=2.0)
    d = np.full((3, 5), np.nan, np.float32)
    run(g, a, b, d, c=c)
    np.testing.assert_array_equal(d, 0.5 * (a @ b) + 2 * c)
    d[...] = c
    run(g, a, b, d)  # no c: D itself
    np.testing.assert_array_equal(d, 0.5 * (a @ b) + 2 * c)


@pytest.mark.parametrize("activation", ["", "relu", "gelu"])
@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("tb", [False, True])
def test_a_bias_is_one_number_per_column(activation, batch, tb) -> None:
    rng = np.random.default_rng(4)
    a, b, bias = numbers(rng, *batch, 3, 4), numbers(rng, 4, 5), numbers(rng, 5)
    name = f"{activation}_bias" if activation else "bias"
    g = cublas_arguments(MatMul(False, tb), a.shape, held(b, tb).shape, epilogue=name)
    assert g.bias_size == 5 and not g.writes_bias
    d = np.full((*batch, 3, 5), np.nan, np.float32)
    run(g, a, held(b, tb), d, bias=bias)
    functions = {"": lambda z: z, "relu": lambda z: np.maximum(z, 0), "gelu": emulated.gelu}
    np.testing.assert_allclose(d, functions[activation](a @ b + bias), rtol=1e-6)


@pytest.mark.parametrize("n", [5, 128, 130])
def test_relu_forward_and_backward_through_its_bits(n) -> None:
    """y = relu(x w + b), then dx = (dz v^T) where y > 0 and the bias gradient, as a network has them."""
    rng = np.random.default_rng(5)
    x, w, bias = numbers(rng, 6, 4), numbers(rng, 4, n), numbers(rng, n)
    forward = cublas_arguments(MatMul(), x.shape, w.shape, epilogue="relu_aux_bias")
    assert forward.aux_ld % 128 == 0 and forward.aux_bytes == forward.aux_ld // 8 * 6
    y, aux = np.empty((6, n), np.float32), np.zeros(forward.aux_bytes, np.uint8)
    run(forward, x, w, y, bias=bias, aux=aux)
    np.testing.assert_array_equal(y, np.maximum(x @ w + bias, 0))
    assert int(np.unpackbits(aux).sum()) == np.count_nonzero(y)

    dz, v = numbers(rng, 6, 3), numbers(rng, n, 3)
    backward = cublas_arguments(MatMul(False, True), dz.shape, v.shape, epilogue="drelu_bgrad")
    assert backward.writes_bias and backward.aux_ld == forward.aux_ld
    d, gradient = np.empty((6, n), np.float32), np.full(n, np.nan, np.float32)
    run(backward, dz, v, d, bias=gradient, aux=aux)
    expected = (dz @ v.T) * (y > 0)
    np.testing.assert_array_equal(d, expected)
    np.testing.assert_array_equal(gradient, expected.sum(0))


def test_gelu_forward_and_backward_through_its_input() -> None:
    rng = np.random.default_rng(6)
    x, w, bias = numbers(rng, 6, 4) / 4, numbers(rng, 4, 5) / 4, numbers(rng, 5) / 4
    forward = cublas_arguments(MatMul(), x.shape, w.shape, epilogue="gelu_aux_bias")
    assert forward.aux_ld == 8 and forward.aux_bytes == 8 * 6 * 4
    y, aux = np.empty((6, 5), np.float32), np.zeros((6, 8), np.float32)
    run(forward, x, w, y, bias=bias, aux=aux)
    z = x @ w + bias
    np.testing.assert_allclose(aux[:, :5], z)
    np.testing.assert_allclose(y, emulated.gelu(z), rtol=1e-6)
    ones, identity = np.ones((6, 5), np.float32), np.eye(5, dtype=np.float32)
    d, gradient = np.empty((6, 5), np.float32), np.empty(5, np.float32)
    backward = cublas_arguments(MatMul(), (6, 5), (5, 5), epilogue="dgelu_bgrad")
    run(backward, ones, identity, d, bias=gradient, aux=aux)
    e = 1e-3
    slope = (emulated.gelu(z.astype(float) + e) - emulated.gelu(z.astype(float) - e)) / (2 * e)
    np.testing.assert_allclose(d, slope, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient, d.sum(0), rtol=1e-5)


@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_sums_of_an_operand_over_k(ta, tb) -> None:
    """dw = d^T x with the bias gradient, the sum of d over the batch, in one product."""
    rng = np.random.default_rng(7)
    a, b = numbers(rng, 3, 6), numbers(rng, 6, 5)
    for name, size, expected in (("bgrad_left", 3, a.sum(1)), ("bgrad_right", 5, b.sum(0))):
        g = cublas_arguments(MatMul(ta, tb), held(a, ta).shape, held(b, tb).shape, epilogue=name)
        d, total = np.empty((3, 5), np.float32), np.full(size, np.nan, np.float32)
        assert g.bias_size == size
        run(g, held(a, ta), held(b, tb), d, bias=total)
        np.testing.assert_array_equal(d, a @ b)
        np.testing.assert_array_equal(total, expected)


def test_library_names_of_the_sums_are_exchanged() -> None:
    """Our left operand is the library's B."""
    for ours, theirs in (("bgrad_left", "EPILOGUE_BGRADB"), ("bgrad_right", "EPILOGUE_BGRADA")):
        g = cublas_arguments(MatMul(), (3, 4), (4, 5), epilogue=ours)
        assert g.library_epilogue == theirs


@pytest.mark.parametrize(("dtype", "digits"), [("float16", 11), ("bfloat16", 8)])
@pytest.mark.parametrize("out", [None, "float32"])
def test_sixteen_bits_are_summed_in_float32(dtype, digits, out) -> None:
    rng = np.random.default_rng(8)
    a, b = numbers(rng, 5, 40), numbers(rng, 40, 6)
    ha, hb = np.zeros((5, 40), np.uint16), np.zeros((40, 6), np.uint16)
    emulated.write(dtype, ha.ctypes.data, a)
    emulated.write(dtype, hb.ctypes.data, b)
    g = cublas_arguments(MatMul(), a.shape, b.shape, dtype, out_dtype=out)
    assert g.compute == "COMPUTE_32F" and g.bias_dtype == (out or dtype)
    d = np.zeros((5, 6), np.float32 if out else np.uint16)
    run(g, ha, hb, d)
    result = emulated.read(out or dtype, d.ctypes.data, (5, 6))
    np.testing.assert_allclose(result, a @ b, rtol=0 if out else 2.0**-digits)


def test_compute_types() -> None:
    shapes = (3, 4), (4, 5)
    assert cublas_arguments(MatMul(), *shapes).compute == "COMPUTE_32F"
    assert cublas_arguments(MatMul(), *shapes, tf32=True).compute == "COMPUTE_32F_FAST_TF32"
    assert cublas_arguments(MatMul(), *shapes, "float64", tf32=True).compute == "COMPUTE_64F"
    assert cublas_arguments(MatMul(), *shapes, "bfloat16", tf32=True).compute == "COMPUTE_32F"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (((3,), (3, 4)), "rank >= 2, given shapes"),
        (((3, 4), (5, 6)), "inner extents differ: 4 and 5"),
        (((2, 3, 4), (3, 4, 5)), "do not broadcast"),
        (((3, 4), (4, 5), "int8"), "unknown dtype 'int8'"),
    ],
)
def test_shapes_that_do_not_fit(given, message) -> None:
    with pytest.raises(ShapeError, match=message):
        cublas_arguments(MatMul(), *given)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"epilogue": "relu_bais"},
            ShapeError,
            "unknown epilogue 'relu_bais'; did you mean 'relu_bias'",
        ),
        ({"out_dtype": "float16"}, ShapeError, "asked for float16"),
        ({"strides_a": [4]}, ShapeError, "but 1 strides"),
        ({"strides_a": [12, 2]}, Unsupported, "copy it first"),
        ({"strides_a": [2, 1]}, Unsupported, "rows that do not overlap"),
        ({"strides_d": [1, 3]}, Unsupported, "compute its transpose"),
    ],
)
def test_what_the_library_has_no_form_for(options, error, message) -> None:
    with pytest.raises(error, match=message):
        cublas_arguments(MatMul(), (3, 4), (4, 5), **options)


def test_no_inner_extent() -> None:
    with pytest.raises(Unsupported, match="fill the result with zeros"):
        cublas_arguments(MatMul(), (3, 0), (0, 5))


def test_gradient_epilogues_take_one_product() -> None:
    with pytest.raises(Unsupported, match="epilogue bgrad_left takes one product"):
        cublas_arguments(MatMul(), (2, 3, 4), (4, 5), epilogue="bgrad_left")


@pytest.mark.parametrize(
    ("epilogue", "given", "message"),
    [
        ("bias", {}, "epilogue bias needs bias, given address 0"),
        ("none", {"bias": 64}, "epilogue none has no bias, given address 64"),
        ("relu_aux", {}, "epilogue relu_aux needs aux"),
        ("relu", {"aux": 64}, "epilogue relu has no aux"),
    ],
)
def test_operands_of_the_epilogue(epilogue, given, message) -> None:
    g = cublas_arguments(MatMul(), (3, 4), (4, 5), epilogue=epilogue)
    with pytest.raises(BackendError, match=message):
        emulated.EmulatedProducts().plan(g, alignments=ANY).run(64, 64, 64, **given)


def test_addresses_must_be_aligned_as_planned() -> None:
    g = cublas_arguments(MatMul(), (3, 4), (4, 5))
    plan = emulated.EmulatedProducts().plan(g, alignments=Alignments.of(a=48, b=4096, d=512))
    with pytest.raises(BackendError, match="a at address 40 is not aligned to the 16 bytes"):
        plan.run(40, 4096, 512)


def test_alignments_of_addresses() -> None:
    found = Alignments.of(a=4, b=6, c=0, d=1 << 20, bias=3)
    assert found == Alignments(a=4, b=2, c=256, d=256, bias=1, aux=256)
