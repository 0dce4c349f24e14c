"""What the sources declare, how arguments are packed, how launches and compilers fail, and 16-bit floats."""

from __future__ import annotations

import ctypes
import re

import numpy as np
import pytest
from device_cases import BITS, Case, needs_compiler, normal, to_bits

from cortex.compute.errors import BackendError
from cortex.compute.ops import Window
from cortex.gpu_compute.kernels import (
    Arguments,
    Launch,
    Variant,
    host,
    host_library,
    kernel,
    kernels,
    launch,
    launch_for,
    sources,
    translation_unit,
)
from cortex.gpu_compute.kernels.geometry import pooling
from cortex.gpu_compute.kernels.launch import size_of
from cortex.gpu_compute.kernels.source import folder, parse


def test_every_declaration_in_the_sources_is_read():
    texts = {p.stem: p.read_text(encoding="utf-8") for p in folder().glob("*.cu")}
    declared = {
        n
        for t in texts.values()
        for n in re.findall(r"^CX_(?:EACH|ROWS|COLUMNS|WARPS|TILES)\((\w+)", t, re.M)
    }
    assert declared == set(kernels()) and len(declared) > 40
    assert all(len(k.sizes) == {"rows": 2, "columns": 3}.get(k.kind, 1) for k in kernels().values())
    assert all(s.dtypes for s in sources().values())


def test_parameters_have_the_types_of_the_source():
    found = kernel("gather")
    assert str(found).startswith(
        "gather(T* y, const T* x, const void* index, int index_bytes, cx_i64* error, I rows"
    )
    dtypes = [p.dtype(Variant("raw32")).name for p in found.parameters]
    assert dtypes == ["uint64"] * 3 + ["int32", "uint64"] + ["int32"] * 3
    assert found.parameters[-1].dtype(Variant("raw32", wide=True)) == np.int64
    assert kernel("lrn").parameters[3].dtype(Variant("float64")) == np.float64
    assert kernel("lrn").parameters[3].dtype(Variant("bfloat16")) == np.float32
    shape = kernel("copy_strided").parameters[2].dtype(Variant("raw8", wide=True))
    assert shape.itemsize == 3 * 8 * 8 and shape.names == ("extent", "to", "from")


def test_structures_have_the_layout_of_c():
    """One int between 64-bit fields is followed by a gap."""
    found = kernel("max_pool").parameters[4].dtype(Variant(wide=True))
    class_ = type("P", (ctypes.Structure,), {"_fields_": [
        (n, {"cx_i64": ctypes.c_int64, "int": ctypes.c_int32, "I": ctypes.c_int64}[t])
        for n, t, _ in kernel("max_pool").parameters[4].fields
    ]})  # fmt: skip
    assert found.itemsize == ctypes.sizeof(class_)
    assert all(found.fields[n][1] == getattr(class_, n).offset for n in found.names)


def test_arguments_are_cast_by_the_signature():
    given = Arguments(kernel("dropout"), Variant(), [1 << 40, None, 2, 3, 4.0, 1 << 33, 0.5, 2, 10])
    assert [v.dtype.name for v in given.values[-5:]] == [
        "uint32",
        "uint64",
        "float32",
        "float32",
        "int32",
    ]
    assert [v[0] for v in given.values] == [1 << 40, 0, 2, 3, 4, 1 << 33, 0.5, 2, 10]
    pointers = ctypes.cast(given.address, ctypes.POINTER(ctypes.c_void_p))
    assert ctypes.c_float.from_address(pointers[6]).value == 0.5
    given.set(6, 0.25)
    assert ctypes.c_float.from_address(pointers[6]).value == 0.25


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("tick", [1, 2], r"tick\(cx_i64\* counter, cx_i64 by, I n\) takes 3 arguments, given 2"),
        ("tick", [1, 2.5, 3], "argument by .* does not take 2.5: 2.5 is not a whole number"),
        ("tick", [1, 2, 1 << 40], r"argument n \(I\) does not take 1099511627776"),
        ("tick", ["x", 2, 3], "argument counter"),
        (
            "max_pool",
            [1, 2, 1, 3, {"width": 5}, 9],
            "structure has fields channels, .*missing or unknown",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(name, values, message):
    with pytest.raises(BackendError, match=message):
        Arguments(kernel(name), Variant(), values)


def test_unknown_names_are_refused():
    with pytest.raises(BackendError, match="unknown kernel 'sofmax'; did you mean 'softmax'"):
        kernel("sofmax")
    with pytest.raises(BackendError, match="unknown dtype 'float23'; did you mean 'float"):
        translation_unit("reduce", Variant("float23"))
    with pytest.raises(BackendError, match="unknown source 'reduction'; did you mean 'reduce'"):
        translation_unit("reduction", Variant())
    with pytest.raises(BackendError, match="softmax is not made for int32, only for float32, "):
        translation_unit("softmax", Variant("int32"))
    with pytest.raises(BackendError, match="has a type that no launch can pass"):
        parse("CX_EACH(f, (short n, I m), m) {")
    with pytest.raises(BackendError, match="unknown form 'cells'"):
        launch("cells", 1)


def test_launch_geometry():
    assert launch("each", 1000) == Launch((4, 1), (256, 1))
    assert launch("each", 0).grid == (1, 1)
    assert launch("each", 1 << 40, processors=10).grid == (80, 1)
    assert launch("rows", 100, 10) == Launch((13, 1), (32, 8))
    assert launch("rows", 100, 1000) == Launch((100, 1), (256, 1))
    assert launch("rows", 100, 10**6).block == (512, 1)
    assert launch("warps", 9) == Launch((2, 1), (32, 8))
    assert launch("columns", 70, parts=5) == Launch((3, 5), (32, 8))
    assert launch("tiles", 7) == Launch((7, 1), (256, 1))


def test_launches_know_the_sizes_of_declarations():
    x = normal(2, 3, 8, 9)
    pooled = pooling(Window.of(2, 2), x.shape)
    case = Case("average_pool", (x, x, 0, pooled, 96))
    assert launch_for(case.arguments()) == Launch((1, 1), (256, 1))
    values = {"g": np.array([(4, 70)], [("a", np.int32), ("b", np.int32)])[0], "n": 130}
    assert (
        size_of("g.a * tiles(g.b, n) + part_size<I>(n, 32) - (n + 3) / 4", values) == 4 * 6 + 5 - 33
    )
    with pytest.raises(BackendError, match="is no expression of sums, products and quotients"):
        size_of("n if n else 0", values)


def test_indices_are_narrow_below_a_billion_elements():
    assert not Variant.of("float32", (1 << 30) - 1).wide
    assert Variant.of("float32", 1 << 30).wide


# ------------------------------------------------------------------------------ compilers and their cache


@needs_compiler
def test_a_unit_is_compiled_once(monkeypatch, tmp_path):
    monkeypatch.setenv("CORTEX_CACHE_DIR", str(tmp_path))
    text, commands, build = translation_unit("checks", Variant("float64")), [], host.build
    monkeypatch.setattr(host, "build", lambda *a: commands.append(a) or build(*a))
    for _ in range(2):
        with pytest.raises(BackendError, match="this library has no kernel 'nothing'"):
            host_library(text)["nothing"]
    assert len(commands) == 1 and [p.suffix for p in (tmp_path / "device").iterdir()] == [".so"]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CORTEX_CACHE_DIR", str(tmp_path / "file"))  # a folder that cannot be made
    assert host_library(text)["tick"]
    assert len(commands) == 2


@needs_compiler
def test_a_refused_source_shows_the_log(monkeypatch, tmp_path):
    monkeypatch.setenv("CORTEX_CACHE_DIR", str(tmp_path))
    with pytest.raises(BackendError, match=r"(?s)-std=c\+\+17.* failed:.*error"):
        host_library("int f( {")


def test_a_missing_compiler_is_said(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    host.compiler.cache_clear()
    try:
        with pytest.raises(
            BackendError, match="CXX is 'no-such-compiler', which is no program.*set CXX"
        ):
            host.compiler()
        monkeypatch.delenv("CXX")
        monkeypatch.setenv("PATH", "")
        with pytest.raises(BackendError, match="no C\\+\\+ compiler .*install g\\+\\+ or set CXX"):
            host.compiler()
    finally:
        host.compiler.cache_clear()


def test_missing_sources_are_said(monkeypatch, tmp_path):
    from cortex.gpu_compute.kernels import source

    monkeypatch.setattr(source, "__file__", str(tmp_path / "gpu_compute" / "kernels" / "source.py"))
    with pytest.raises(BackendError, match="their sources are missing .*install cortex again"):
        folder()


# ------------------------------------------------------------------------------ 16-bit floats

HALVES = """
namespace cx {
CX_EACH(narrow, (cx_u16* half, cx_u16* brain, const float* x, I n), n) {
  half[i] = cx_to_f16(x[i]).bits;
  brain[i] = cx_to_bf16(x[i]).bits;
} CX_END
CX_EACH(widen, (float* half, float* brain, const cx_u16* x, I n), n) {
  half[i] = cx_widen(cx_f16{x[i]});
  brain[i] = cx_widen(cx_bf16{x[i]});
} CX_END
}
"""


@needs_compiler
def test_16_bit_floats_round_to_nearest_even():
    """All halves, and floats of every exponent, ties and their neighbours: the bits of NumPy's own conversion."""
    declared, library = parse(HALVES), host_library(translation_unit((), Variant(), HALVES))
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2**32, 60_000, dtype=np.uint64).astype(np.uint32)
    ties = (np.arange(2**16, dtype=np.uint32) << 13) ^ np.uint32(0x1000)
    x = np.concatenate([bits, ties, ties + 1, ties - 1]).view(np.float32)
    x = x[~np.isnan(x)]
    half, brain = np.zeros((2, x.size), np.uint16)
    values = [v.ctypes.data for v in (half, brain, x)]
    library["narrow"](Arguments(declared["narrow"], Variant(), [*values, x.size]))
    for found, dtype in ((half, "float16"), (brain, "bfloat16")):
        np.testing.assert_array_equal(found, to_bits(x, dtype))
    every = np.arange(2**16, dtype=np.uint16)
    wide_half, wide_brain = np.zeros((2, every.size), np.float32)
    values = [v.ctypes.data for v in (wide_half, wide_brain, every)]
    library["widen"](Arguments(declared["widen"], Variant(), [*values, every.size]))
    np.testing.assert_array_equal(wide_half, every.view(np.float16).astype(np.float32))
    np.testing.assert_array_equal(
        wide_brain.view(np.uint32), every.astype(np.uint32) << np.uint32(16)
    )
    assert set(BITS) == {"float16", "bfloat16"}
