"""The bindings import without CUDA; with cuBLASLt, all but what needs a GPU is made and compared with its header."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cortex.compute.errors import BackendError
from cortex.compute.ops.matmul import MatMul
from cortex.gpu_compute.libraries import cublas, locate
from cortex.gpu_compute.libraries.products import LIBRARY_TYPE, cublas_arguments

_cuda = pytest.importorskip("cortex.gpu_compute._cuda", reason="built by scripts/build_native.sh")


@pytest.fixture
def library() -> None:
    try:
        locate.opened("cublasLt")
    except BackendError as error:
        pytest.skip(f"{error}".splitlines()[0])


def headers(name: str) -> str:
    """Text of a header beside the library that was opened."""
    folders = [Path(locate.opened("cublasLt")).parent.parent / "include"]
    folders += [root / "cu13/include" for root in locate._wheels()]
    found = [f / name for f in folders if (f / name).is_file()]
    if not found:
        pytest.skip(f"there is no {name} beside the library")
    return found[0].read_text(encoding="utf-8", errors="replace")


def test_importing_opens_nothing() -> None:
    """No library of CUDA is loaded by an import, and the reason of a missing one is said in a fresh process."""
    code = (
        "from cortex.gpu_compute import _cuda\n"
        "import cortex.gpu_compute.libraries.cublas, sys\n"
        "assert 'cupy' not in sys.modules and 'cudnn' not in sys.modules\n"
        "assert 'libcublas' not in open('/proc/self/maps').read()\n"
        "try: _cuda.library_version('cublasLt')\n"
        "except RuntimeError as error: print(error)\n"
        "try: _cuda.open_library('cublasLt', ['libnowhere.so.1', '/nowhere/libcublasLt.so.13'])\n"
        "except RuntimeError as error: print(error)\n"
    )
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("cublasLt is not open: call open_library")
    assert lines[1] == "cublasLt cannot be opened; tried:"
    assert lines[2].startswith("  libnowhere.so.1: ") and "No such file" in lines[2]
    assert lines[3].startswith("  /nowhere/libcublasLt.so.13: ")


def test_only_two_libraries_are_known() -> None:
    with pytest.raises(ValueError, match='cublasLt or cudnn, given "cufft"'):
        _cuda.open_library("cufft", [])


def test_a_missing_library_is_an_error_that_says_what_was_tried(monkeypatch) -> None:
    locate.opened.cache_clear()
    tried = "libcudnn-of-nobody.so.9"
    monkeypatch.setattr(locate, "candidates", lambda library: (tried,))
    try:
        if locate.bindings() and "libcudnn" in Path("/proc/self/maps").read_text():
            pytest.skip("cuDNN is open in this process already")
        with pytest.raises(BackendError, match=f"tried:\n  {tried}.*\n.*pip install nvidia-cudnn"):
            locate.opened("cudnn")
    finally:
        locate.opened.cache_clear()


def test_missing_bindings_are_an_error_that_says_what_to_do(monkeypatch) -> None:
    locate.bindings.cache_clear()
    monkeypatch.setitem(sys.modules, "cortex.gpu_compute._cuda", None)
    monkeypatch.delattr("cortex.gpu_compute._cuda", raising=False)
    try:
        with pytest.raises(BackendError, match="sh scripts/build_native.sh"):
            locate.bindings()
        works, reason = cublas.available()
        assert not works and "cannot be imported" in reason
    finally:
        locate.bindings.cache_clear()


def test_candidates_start_with_the_bare_name() -> None:
    for library, files in locate.NAMES.items():
        found = locate.candidates(library)
        assert found[0] == files[0][0]
        assert {f for f, _ in files} <= set(found)


def test_candidates_include_wheels_and_toolkits(monkeypatch, tmp_path) -> None:
    wheel, toolkit = tmp_path / "nvidia", tmp_path / "toolkit"
    for file in (wheel / "cu13/lib/libcublasLt.so.13", toolkit / "lib64/libcublasLt.so.12"):
        file.parent.mkdir(parents=True)
        file.touch()
    monkeypatch.setattr(locate, "_wheels", lambda: [wheel])
    monkeypatch.setenv("CUDA_PATH", str(toolkit))
    found = locate.candidates("cublasLt")
    assert found.index("libcublasLt.so.13") < found.index(str(wheel / "cu13/lib/libcublasLt.so.13"))
    assert str(toolkit / "lib64/libcublasLt.so.12") in found


def test_numbers_are_those_of_the_header(library) -> None:
    """Every enumerator that the bindings declare has the number it has in NVIDIA's own headers."""
    text = headers("cublasLt.h") + headers("cublas_api.h")
    numbers: dict[str, int] = {}
    for name, value in re.findall(
        r"^\s*(CUBLAS\w+)\s*=\s*([^,/\n]+?)\s*,?\s*(?:/.*)?$", text, re.M
    ):
        terms = [t.strip("() ") for t in value.split("|")]
        if all(t.isdigit() or t in numbers for t in terms):
            total = 0
            for t in terms:
                total |= int(t) if t.isdigit() else numbers[t]
            numbers[name] = total
    ours = {n: v for n, v in _cuda.constants.items() if n.startswith("CUBLAS")}
    assert len(ours) > 35
    assert {n: numbers.get(n) for n in ours} == ours


def test_structures_are_as_large_as_in_the_header(library) -> None:
    text = headers("cublasLt.h")
    fields = re.search(r"typedef struct \{([^}]*)\} cublasLtMatmulHeuristicResult_t", text)
    assert fields is not None
    kept = re.sub(r"/\*.*?\*/", "", fields[1], flags=re.S).split()
    assert " ".join(kept) == (
        "cublasLtMatmulAlgo_t algo; size_t workspaceSize; cublasStatus_t state; float wavesCount; int reserved[4];"
    )
    assert re.search(r"typedef struct \{\s*uint64_t data\[8\];\s*\} cublasLtMatmulAlgo_t", text)


def test_types_are_those_of_cuda() -> None:
    """cudaDataType_t, whose header is not part of the cuBLAS wheel."""
    names = {LIBRARY_TYPE[d]: _cuda.constants[f"CUDA_{LIBRARY_TYPE[d]}"] for d in LIBRARY_TYPE}
    assert names == {"R_32F": 0, "R_64F": 1, "R_16F": 2, "R_16BF": 14}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("epilogue", ["none", "relu_aux_bias", "dgelu_bgrad", "bgrad_left"])
def test_descriptors_are_made_without_a_gpu(library, dtype, epilogue) -> None:
    arguments = cublas_arguments(MatMul(True, False), (33, 5), (33, 7), dtype, epilogue=epilogue)
    product = _cuda.Product(**cublas.library_arguments(arguments))
    assert product.bias_and_aux() == (0, 0)
    assert product.choices() == []
    with pytest.raises(RuntimeError, match=r"call plan\(\) first"):
        _ = product.workspace
    with pytest.raises(IndexError, match="given 0"):
        product.choose(0)
    with pytest.raises(RuntimeError, match=r"call plan\(\) first"):
        product.run(256, 256, 0, 256, 256, 256, 0, 0, 0)


def test_batched_descriptors(library) -> None:
    arguments = cublas_arguments(MatMul(), (4, 3, 5), (4, 5, 7), epilogue="relu_bias")
    assert arguments.batch == 4
    _cuda.Product(**cublas.library_arguments(arguments))


def test_a_status_has_the_librarys_name(library) -> None:
    arguments = cublas_arguments(MatMul(), (3, 4), (4, 5), epilogue="relu_aux_bias")
    product = _cuda.Product(**cublas.library_arguments(arguments))
    message = r"cublasLtMatmulAlgoGetHeuristic: CUBLAS_STATUS_NOT_INITIALIZED \(1\), the library"
    with pytest.raises(_cuda.StatusError, match=message):
        product.plan(0, 1 << 20, bias=4, aux=16)  # there is no handle 0
    bias, aux = (
        product.bias_and_aux()
    )  # stand-ins for the heuristic: as aligned as was said, not more
    assert (bias & -bias, aux & -aux) == (4, 16)


def test_the_version_is_read(library) -> None:
    works, reason = cublas.available()
    assert works and re.fullmatch(r"cuBLASLt 1[23]\.\d+\.\d+ \(.*libcublasLt.so.1[23]\)", reason)


def test_without_a_gpu_a_handle_is_refused_with_the_reason(library) -> None:
    cublas._handle.cache_clear()
    try:
        cublas.CublasLt()
    except BackendError as error:
        assert "CUBLAS_STATUS_" in str(error) and "nvidia-smi" in str(error)
    else:
        pytest.skip("there is a GPU")
