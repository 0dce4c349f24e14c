"""The compiled bindings from end to end: every form of product through them, with a cuBLASLt that runs on the host.

That library is made of `fake_cublaslt.c`. It has the entry points, the numbers and the conventions of the real one, so
descriptors, attributes, addresses, scalars, workspace and stream are passed as on a GPU.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    pytest.importorskip("cortex.gpu_compute._cuda", reason="built by scripts/build_native.sh")
    target = tmp_path_factory.mktemp("library") / "libcublasLt.so.13"
    source = HERE / "fake_cublaslt.c"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, source, "-lm", "-o", target], check=True)
    return target


def test_every_form_of_product_through_the_bindings(library) -> None:
    """The tests of devices, on the device `bound`, but those of 16-bit types, which that library has not."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [*command, "-k", "bound and not float16", str(HERE / "test_device_products.py")],
        env={**os.environ, "CORTEX_TEST_CUBLASLT": str(library)},
        capture_output=True,
        text=True,
        cwd=HERE.parents[2],
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed and int(passed[1]) > 80, result.stdout[-500:]


def test_what_the_library_has_not_is_said_with_what_to_do(library) -> None:
    code = (
        "import sys\n"
        "from cortex.compute.ops.matmul import MatMul\n"
        "from cortex.compute.errors import BackendError\n"
        "from cortex.gpu_compute.libraries import cublas, errors, locate\n"
        "from cortex.gpu_compute.libraries.products import cublas_arguments\n"
        "locate.candidates = lambda name: (sys.argv[1],)\n"
        "print(cublas.available())\n"
        "ops = cublas.CublasLt()\n"
        "def plan(*options, **named):\n"
        "    return ops.plan(cublas_arguments(MatMul(), (3, 4), (4, 5), *options, **named))\n"
        "for options, named in ((('bfloat16',), {}), (('float64',), {'epilogue': 'relu_aux'})):\n"
        "    try: plan(*options, **named)\n"
        "    except errors.Unsupported as error: print(error)\n"
        "try: plan().run(4096, 4096, 4096, workspace=4096, stream=1)\n"
        "except BackendError as error: print(error)\n"
        "try: plan().run(4096, 4096, 4096 + 8, workspace=4096, stream=55)\n"
        "except BackendError as error: print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", code, str(library)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == f"(True, 'cuBLASLt 13.0.1 ({library})')"
    assert lines[1].startswith("cuBLASLt has no algorithm for [3, 4] x [4, 5] of bfloat16")
    assert "CUBLAS_STATUS_NOT_SUPPORTED (15)" in lines[1]
    assert "use separate steps for product and epilogue" in lines[1]
    assert "CUBLAS_STATUS_INVALID_VALUE (7)" in lines[2] and "relu_aux" in lines[2]
    assert re.search(r"failed to run .*cublasLtMatmul: CUBLAS_STATUS_INVALID_VALUE", lines[3])
    assert "D at address 4104 is not aligned to the 256 bytes" in lines[4]
