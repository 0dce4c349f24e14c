"""NVRTC and nvcc take every kernel for every architecture; neither needs a GPU, and nothing here runs on one."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cortex.compute import math as m
from cortex.compute.errors import BackendError
from cortex.compute.expression import symbol
from cortex.compute.plan.geometry import Layout
from cortex.gpu_compute.kernels import (
    Variant,
    activation_text,
    compile_cuda,
    emitted_source,
    form_of,
    kernels,
    nvrtc,
    sources,
    translation_unit,
)
from cortex.gpu_compute.kernels.source import TYPES

ROOT = Path(__file__).resolve().parents[3]
ARCHITECTURES = (75, 80, 90, 100, 120)
needs_nvrtc = pytest.mark.skipif(nvrtc.available() is not None, reason="NVRTC is not installed")
needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
X, Y, Z = symbol(0), symbol(1), symbol(2)
# Bytes that the assembler may keep on the stack around a call of a division or root; more is a kernel gone wrong.
SPILT = 64


@pytest.fixture(scope="module")
def report():
    """The module scripts/device_report.py."""
    spec = importlib.util.spec_from_file_location(
        "device_report", ROOT / "scripts" / "device_report.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["device_report"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["device_report"]


def of_dtype(dtype):
    return tuple(n for n, s in sources().items() if dtype in s.dtypes)


def names_of(dtype):
    return {k for n in of_dtype(dtype) for k in sources()[n].kernels}


def maps():
    """A flat map in vectors, one over rows with a broadcast vector and half floats, one by strides."""
    flat = Layout((1 << 20,), ((1,), (1,), (0,)))
    rows = Layout((64, 512), ((512, 1), (512, 1), (0, 1)))
    turned = Layout((64, 512), ((512, 1), (1, 64), (0, 1)))
    made, kinds = [m.maximum(X * Y, 0), m.tanh(X) + m.logistic(Y)], ["float32"] * 2
    forms = []
    for layout in (flat, rows, turned):
        both = Layout(layout.shape, (layout.strides[0], *layout.strides))
        forms.append(form_of(made, kinds, kinds, "float32", both, [0] * 4))
    half = ["bfloat16", "float32"]
    return [*forms, form_of(made[:1], half[:1], half, "float32", rows, [0] * 3)]


@needs_nvrtc
@pytest.mark.parametrize("dtype", ["raw32", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvrtc_compiles_every_kernel(report, architecture, dtype):
    found = report.with_nvrtc(report.unit(dtype), architecture)
    assert set(found) == names_of(dtype)
    assert all(0 < u.registers <= 128 and u.spills <= SPILT for u in found.values()), found


@needs_nvrtc
@pytest.mark.slow
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("dtype", sorted(set(TYPES) - {"float32", "raw32"}))
def test_nvrtc_compiles_every_dtype(dtype, wide):
    assert (
        compile_cuda(translation_unit(of_dtype(dtype), Variant(dtype, wide)), 90)[:4] == b"\x7fELF"
    )


@needs_nvrtc
def test_nvrtc_compiles_maps_and_activations():
    text, found = emitted_source(maps())
    cubin = compile_cuda(text, 90)
    assert cubin[:4] == b"\x7fELF" and all(name.encode() in cubin for name in found)
    variant = Variant(activation=activation_text(m.where(X > 0, X, m.expm1(X))))
    assert b"matmul" in compile_cuda(translation_unit("matmul", variant), 90)


@needs_nvrtc
def test_a_unit_is_compiled_once_per_architecture_and_options(monkeypatch, tmp_path):
    monkeypatch.setenv("CORTEX_CACHE_DIR", str(tmp_path))
    calls, real = [], nvrtc.compile_with_log
    monkeypatch.setattr(nvrtc, "compile_with_log", lambda *a: calls.append(a) or real(*a))
    text = translation_unit("gather", Variant("raw32"))
    first = compile_cuda(text, 90)
    assert compile_cuda(text, 90) == first and len(calls) == 1
    compile_cuda(text, 80)
    compile_cuda(text, 90, nvrtc.OPTIONS[:2])
    assert len(calls) == 3 and len(list((tmp_path / "device").glob("*.cubin"))) == 3


@needs_nvrtc
def test_a_refused_source_shows_the_log(monkeypatch, tmp_path):
    monkeypatch.setenv("CORTEX_CACHE_DIR", str(tmp_path))
    with pytest.raises(
        BackendError, match=r"(?s)NVRTC \d+\.\d+ refused the source with .*-arch=sm_90.*identifier"
    ):
        compile_cuda('extern "C" __global__ void f() { g(); }', 90)


def test_a_missing_nvrtc_is_said(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(nvrtc.ctypes, "CDLL", missing)
    nvrtc.library.cache_clear()
    try:
        with pytest.raises(
            BackendError, match="NVRTC is not installed.*pip install nvidia-cuda-nvrtc"
        ):
            nvrtc.library()
        assert "NVRTC is not installed" in nvrtc.available()
    finally:
        nvrtc.library.cache_clear()


# ------------------------------------------------------------------------------ nvcc


def ptx(text, folder):
    path = folder / "unit.cu"
    path.write_text(text, encoding="utf-8")
    command = [
        "nvcc",
        "-std=c++17",
        "--fmad=false",
        "-ptx",
        "-arch=compute_90",
        str(path),
        "-o",
        f"{path}.ptx",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return (folder / "unit.cu.ptx").read_text(encoding="utf-8")


@needs_nvcc
def test_maps_load_16_bytes_at_once(tmp_path):
    text = ptx(emitted_source(maps()[:1])[0], tmp_path)
    assert (
        len(re.findall(r"ld\.global\.v4\.f32", text)) == 1
        and len(re.findall(r"st\.global\.v4\.f32", text)) == 2
    )


@needs_nvcc
@pytest.mark.parametrize("dtype", ["raw32", pytest.param("float32", marks=pytest.mark.slow)])
def test_no_64_bit_division_with_32_bit_indices(dtype, tmp_path):
    found = re.findall(
        r"(?:div|rem)\.[su]64", ptx(translation_unit(of_dtype(dtype), Variant(dtype)), tmp_path)
    )
    assert found == []
    wide = ptx(translation_unit("movement", Variant("raw32", wide=True)), tmp_path)
    assert re.findall(r"div\.[su]64", wide)


@needs_nvcc
@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nvcc_compiles_every_kernel(report, architecture):
    for dtype in ("float32", "raw32"):
        found = report.with_nvcc(report.unit(dtype), architecture)
        assert set(found) == names_of(dtype)
        assert all(u.spills <= SPILT for u in found.values())


def test_what_the_assembler_says_is_read(report):
    log = """ptxas info    : Compiling entry function 'softmax' for 'sm_90'
ptxas info    : Function properties for softmax
    0 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 512 bytes smem
ptxas info    : Compiling entry function 'tick' for 'sm_90'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 8 registers, used 0 barriers"""
    found = report.usage(log)
    assert found == {"softmax": report.Usage(32, 12, 512), "tick": report.Usage(8, 0, 0)}


def test_the_page_lists_every_kernel(report):
    """The table was made from the kernels that there are."""
    page = report.PAGE.read_text(encoding="utf-8")
    assert report.BEGIN in page and report.END in page and "Not verified on a GPU" in page
    assert {k for k in kernels() if f"| `{k}` |" not in page} == set()
