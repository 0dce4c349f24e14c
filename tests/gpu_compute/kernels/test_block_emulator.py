"""The CUDA branch of the kernels, one thread per CUDA thread: equal to the host build, and free of races.

ThreadSanitizer stands in for racecheck: a planted missing barrier must be found.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache

import numpy as np
import pytest
from device_cases import RNG, Case, Emulator, close, needs_compiler, normal

from cortex.compute.errors import BackendError
from cortex.compute.expression import symbol
from cortex.compute.ops import Window
from cortex.compute.plan.geometry import Layout
from cortex.gpu_compute.kernels import (
    Variant,
    emitted_source,
    form_of,
    host,
    host_library,
    kernels,
    unit_variant,
    values_of,
)
from cortex.gpu_compute.kernels.geometry import Move, convolving, matrices, pooling

pytestmark = needs_compiler
X, Y = symbol(0), symbol(1)
LAUNCHES = {  # grid x, y, block x, y; more than one block, and blocks of more than one warp
    "each": [(2, 1, 64, 1)],
    "rows": [(2, 1, 96, 1), (2, 1, 32, 2)],
    "warps": [(2, 1, 32, 2)],
    "columns": [(2, 2, 32, 8)],
    "tiles": [(2, 1, 64, 1)],
}
# Sums: another number of threads adds in another order. Everything else has the same bits.
ORDERED = {
    "sum_rows", "sum_columns", "prod_rows", "prod_columns", "softmax", "log_softmax", "softmax_gradient",
    "log_softmax_gradient", "cross_entropy", "cross_entropy_gradient", "soft_cross_entropy",
    "soft_cross_entropy_gradient", "layer_norm", "layer_norm_gradient", "norm_parameter_gradient", "rms_norm",
    "rms_norm_gradient", "moments_rows", "moments_columns", "moments_merge", "channel_gradient_rows",
    "channel_gradient_columns",
}  # fmt: skip


def zeros(*shape, dtype=np.float32):
    return np.full(shape, 7, dtype)


def cell():
    return np.full(1, -1, np.int64)


def cases():
    rows, width, channels, inner = 5, 131, 7, 9
    x, y, z = (normal(rows, width) for _ in range(3))
    stats = [normal(rows), 1 + RNG.random(rows).astype(np.float32)]
    scale, bias = normal(width), normal(width)
    labels = RNG.integers(-1, width, rows).astype(np.int32)
    out, terms = zeros(rows, width), zeros(rows)
    seed, step = np.array([99], np.uint64), np.array([4], np.int64)
    yield "check_numbers", (np.where(x > 1.5, np.nan, x).astype(np.float32), cell(), 0, x.size)
    yield "one_hot", (out, labels, 4, rows, width)
    yield "tick", (np.arange(300), 5, 300)
    for kind in ("sum", "prod", "max", "min"):
        yield f"{kind}_rows", (zeros(rows, 2), 1 + x / 9, rows, width, 2)
        yield f"{kind}_columns", (zeros(2, 3, 13), 1 + normal(2, 40, 13) / 9, 2, 40, 13, 3)
    ties = RNG.integers(0, 9, (2, 40, 37)).astype(np.float32)
    yield "argmax_rows", (zeros(80, dtype=np.int32), ties, 80, 37)
    yield "argmax_columns", (zeros(2, 37, dtype=np.int32), ties, 2, 40, 37)
    for name in ("softmax", "log_softmax"):
        yield name, (out, x, rows, width, 1)
        yield f"{name}_gradient", (out, x, y, rows, width, 1)
    yield "cross_entropy", (terms, x, labels, 4, 0.1, rows, width, 1)
    yield "cross_entropy_gradient", (out, x, labels, 4, stats[0], 0.1, rows, width, 1)
    yield "soft_cross_entropy", (terms, x, abs(y), 0.1, rows, width, 1)
    yield "soft_cross_entropy_gradient", (out, x, abs(y), stats[0], 0.1, rows, width, 1)
    yield "layer_norm", (out, terms, zeros(rows), x, scale, bias, 1e-5, rows, width)
    yield "layer_norm_gradient", (out, x, scale, y, 1e-5, rows, width)
    yield (
        "norm_parameter_gradient",
        (zeros(2, width), zeros(2, width), x, y, *stats, rows, width, 2),
    )
    yield "rms_norm", (out, terms, x, scale, 1e-5, rows, width)
    yield "rms_norm_gradient", (out, x, scale, y, 1e-5, rows, width)
    yield "moments_rows", (terms, zeros(rows), x, rows, width)
    planes = normal(4 * inner, channels)
    mean, variance = normal(channels), 1 + RNG.random(channels).astype(np.float32)
    yield (
        "moments_columns",
        (zeros(3, channels), zeros(3, channels), planes, 4 * inner, channels, 3),
    )
    parts = normal(40, channels), abs(normal(40, channels))
    yield "moments_merge", (zeros(channels), zeros(channels), *parts, channels, 40, 5, 197)
    sizes = (channels, inner, planes.size)
    gamma, beta, sums = normal(channels), normal(channels), normal(2, channels)
    yield "channel_norm", (zeros(planes.size), planes, mean, variance, gamma, beta, 1e-5, *sizes)
    given = (planes, normal(*planes.shape), mean, variance)
    yield "channel_gradient_rows", (zeros(28), zeros(28), *given, 1e-5, 28, channels, inner)
    yield (
        "channel_gradient_columns",
        (zeros(2, channels), zeros(2, channels), *given, 1e-5, 36, channels, 2),
    )
    given = (*given, gamma, sums[0].copy(), sums[1].copy(), 1e-5, 36)
    yield "channel_norm_gradient", (zeros(planes.size), *given, *sizes)
    base = 2 + RNG.random(planes.shape).astype(np.float32)
    yield "lrn", (zeros(planes.size), zeros(planes.size), planes, 2.0, 0.5, 0.75, 3, *sizes)
    yield (
        "lrn_gradient",
        (zeros(planes.size), planes, normal(*planes.shape), planes, base, 0.5, 0.75, 4, *sizes),
    )
    window, image = Window.of(3, 2, 1), normal(2, 3, 9, 8)
    pooled, place = pooling(window, image.shape), RNG.integers(0, 9, (2, 3, 5, 4)).astype(np.uint8)
    dy = normal(2, 3, 5, 4)
    yield "max_pool", (zeros(120), zeros(120, dtype=np.uint8), 1, image, pooled, 120)
    yield "average_pool", (zeros(120), image, 1, pooled, 120)
    yield "max_pool_gradient", (zeros(432), dy, place, 1, pooled, 432)
    yield "average_pool_gradient", (zeros(432), dy, 0, pooled, 432)
    yield "random_uniform", (zeros(1001), seed, step, 3, 250, 1001)
    yield "random_normal", (zeros(1001), seed, step, 3, 250, 1001)
    yield "dropout", (zeros(655), x, seed, step, 3, 250, 0.3, 1.4, 655)
    index, updates = RNG.integers(0, 5, 70).astype(np.int64), normal(70, 37)
    index[50] = 9
    yield "scatter_add", (zeros(5, 37), index, 8, updates, cell(), 5, 37, 70)
    a, b = normal(70, 20), normal(66, 20)
    product = matrices(a.shape, b.shape, False, True)
    yield "matmul", (zeros(70, 66), a, b, normal(66), product)
    yield "matmul_whole", (zeros(70, 66), a, b, None, product)
    w, small = normal(70, 3, 3, 3), normal(2, 70, 5, 4)
    g = convolving(window, image.shape, w.shape, 1)
    yield "convolution", (zeros(*small.shape), image, w, None, g)
    yield "convolution_input_gradient", (zeros(*image.shape), small, w, g)
    yield "convolution_kernel_gradient", (zeros(2, *w.shape), image, small, g, 2)


def raw_cases():
    bits = RNG.integers(0, 2**31, (2, 40, 37)).astype(np.uint32)
    move = Move(0, (2, 37, 40), (1480, 40, 1), 0, (1480, 1, 37), 0)
    index = np.array([1, 0, 5, 1, 9], np.int32)
    flat = zeros(2960, dtype=np.uint32)
    yield "fill", (flat, 5, 2900)
    yield "copy", (flat, bits, 2900)
    yield "copy_strided", (flat, bits, move.structure, 2960)
    yield "transpose", (flat, bits, 2, 40, 37)
    yield "gather", (zeros(5, 37, dtype=np.uint32), bits, index, 4, cell(), 4, 37, 5)
    yield "check_indices", (index, 4, cell(), 0, 5, 5)


@cache
def emulator(dtype, names=None, sanitize=False):
    return Emulator(dtype, names, sanitize)


ALL = [Case(n, v, Variant("float32")) for n, v in cases()]
ALL += [Case(n, v, Variant("raw32")) for n, v in raw_cases()]


def test_every_kernel_has_a_case():
    assert {c.name for c in ALL} == set(kernels())


@pytest.mark.parametrize("case", ALL, ids=lambda c: c.name)
def test_the_cuda_branch_equals_the_host_build(case, tmp_path):
    before = [a.copy() for a in case.arrays]
    results = [
        emulator(case.variant.dtype).run(case, launch, tmp_path)[0]
        for launch in LAUNCHES[case.kernel.kind]
    ]
    case.run()
    wanted = [a.copy() for a in case.arrays]
    for a, b in zip(case.arrays, before, strict=True):
        a[...] = b
    for found in results:
        for one, other in zip(found, wanted, strict=True):
            if case.name in ORDERED:
                close(one, other, scale=4)
            else:
                np.testing.assert_array_equal(one, other)


@cache
def sanitizes():
    """Whether a program built with ThreadSanitizer runs here at all."""
    try:
        path = host.compiled(
            "int main() { return 0; }", (*host.EMULATOR_FLAGS, "-fsanitize=thread")
        )
    except BackendError:
        return False
    path.chmod(0o755)
    return subprocess.run([str(path)], capture_output=True).returncode == 0


needs_sanitizer = pytest.mark.skipif(not sanitizes(), reason="ThreadSanitizer does not run here")
WITH_BARRIERS = ("matmul", "reduce")  # between them every kind of exchange but the ballot
QUICK = ["matmul", "sum_rows", "sum_columns"]


def has_no_race(case, names, folder):
    for launch in LAUNCHES[case.kernel.kind]:
        _, said = emulator(case.variant.dtype, names, sanitize=True).run(case, launch, folder)
        assert "data race" not in said


@needs_sanitizer
@pytest.mark.parametrize("case", [c for c in ALL if c.name in QUICK], ids=lambda c: c.name)
def test_kernels_with_barriers_have_no_race(case, tmp_path):
    has_no_race(case, WITH_BARRIERS, tmp_path)


@needs_sanitizer
@pytest.mark.slow
@pytest.mark.parametrize("case", ALL, ids=lambda c: c.name)
def test_no_kernel_has_a_race(case, tmp_path):
    has_no_race(case, None, tmp_path)


@needs_sanitizer
def test_a_missing_barrier_is_found(tmp_path):
    """Without the barriers before shared memory is used again, three kernels of three forms race."""

    def without(text):
        return re.sub(r"^.*// reuse barrier.*$", "", text, flags=re.M)

    planted = Emulator("float32", WITH_BARRIERS, sanitize=True, change=without)
    for name in QUICK:
        (case,) = [c for c in ALL if c.name == name]
        said = planted.run(case, LAUNCHES[case.kernel.kind][0], tmp_path, check=False)[1]
        assert "WARNING: ThreadSanitizer: data race" in said, name


@needs_sanitizer
def test_emitted_maps_in_place_have_no_race(tmp_path):
    """Vectors with a tail, rows with a broadcast vector, a number over itself: the bits of the host build."""
    shapes = [(1037,), (9, 40), (1,)]
    moves = [((1,), (1,), (0,)), ((40, 1), (40, 1), (0, 1)), ((0,), (0,), (0,))]
    layouts = [Layout(*both) for both in zip(shapes, moves, strict=True)]
    kinds = ["float32"] * 2
    forms = [form_of([X * Y + 1], kinds[:1], kinds, "float32", one, [0, 0, 0]) for one in layouts]
    assert [f.width for f in forms] == [4, 4, 1]
    text, declared = emitted_source(forms)
    library, program = host_library(text), Emulator(sanitize=True, emitted=(text, list(declared)))
    for form, layout in zip(forms, layouts, strict=True):
        x, y = normal(1044), normal(40)
        before = x.copy()
        values = (x, x, y, *values_of(form, layout, []))
        case = Case(form.name, values, unit_variant(forms), declared[form.name])
        found, said = program.run(case, (2, 1, 64, 1), tmp_path)
        library[form.name](case.arguments())
        assert "data race" not in said
        np.testing.assert_array_equal(found[0], x)
        assert np.count_nonzero(x != before) == np.prod(layout.shape)
