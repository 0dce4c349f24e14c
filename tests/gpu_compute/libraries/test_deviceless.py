"""cuDNN, asked without a GPU, accepts and compiles every graph of some networks for an H200.

Needs cuDNN, cuBLAS and NVRTC (about 1 GB of wheels), its frontend and gcc. It proves that a graph is accepted by
the installed version; not that it computes what is asked, nor how fast.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).parent / "deviceless"
PROPERTIES = HERE / "h200.json"
sys.path.insert(0, str(HERE))
try:
    import cuda_standins
    import cudnn_networks as networks
finally:
    sys.path.remove(str(HERE))

pytestmark = pytest.mark.slow
STRICT, TF32, BF16, F16 = ("float32", "0"), ("float32", "1"), ("bfloat16", "0"), ("float16", "0")


def libraries() -> list[Path]:
    spec = find_spec("nvidia")
    roots = [Path(p) for p in (spec.submodule_search_locations or ())] if spec else []
    found = [p for root in roots for p in root.glob("cudnn/lib/libcudnn*.so.9")]
    frontend = find_spec("cudnn")
    for place in (frontend.submodule_search_locations or ()) if frontend else ():
        found += Path(place).glob("_compiled_module*.so")
    return sorted(p for p in found if "precompiled" not in p.name and "tensor_ir" not in p.name)


@pytest.fixture(scope="module")
def device(tmp_path_factory) -> SimpleNamespace:
    missing = [n for n in ("cudnn", "cuda.bindings") if find_spec(n.split(".")[0]) is None]
    missing += [n for n in ("gcc",) if shutil.which(n) is None]
    if missing or not libraries():
        pytest.skip(f"planning without a GPU needs {', '.join(missing) or 'the wheel of cuDNN'}")
    folder = tmp_path_factory.mktemp("standins")
    return SimpleNamespace(
        standins=cuda_standins.build(libraries(), PROPERTIES, folder), folder=folder
    )


def plans(device, network: str, dtype: str, tf32: str, deterministic: str = "0") -> list[dict]:
    script = [sys.executable, str(HERE / "plan_networks.py"), *map(str, device.standins)]
    options = [str(PROPERTIES), tf32, deterministic, str(device.folder / "plans"), network, dtype]
    result = subprocess.run(
        [*script, *options], capture_output=True, text=True, env=os.environ, timeout=1800
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


CONVOLUTIONAL = [(n, *mode) for n in networks.CONVOLUTIONAL for mode in (STRICT, TF32, BF16, F16)]


@pytest.mark.parametrize(
    ("network", "dtype", "tf32"), [*CONVOLUTIONAL, ("transformer", *BF16), ("transformer", *F16)]
)
def test_every_graph_is_accepted(device, network, dtype, tf32, record_property) -> None:
    found = plans(device, network, dtype, tf32)
    assert len(found) == len(networks.NETWORKS[network](dtype))
    assert not [line["refused"] for line in found if "refused" in line]
    assert all(line["bound"] for line in found)
    assert all("planned for a device that is not there" in line["run"] for line in found)
    largest = max(found, key=lambda line: line["workspace"])
    seconds = sum(line["seconds"] for line in found)
    record_property("largest_workspace", largest["workspace"])
    print(
        f"{network} {dtype} tf32={tf32}: {len(found)} graphs in {seconds:.1f} s, "
        f"largest workspace {largest['workspace'] / 1e6:.1f} MB ({largest['graph']})"
    )


@pytest.mark.parametrize("network", ["resnet18", "transformer"])
def test_deterministic_graphs_are_accepted(device, network) -> None:
    found = plans(device, network, "bfloat16", "0", "1")
    assert found and not [line["refused"] for line in found if "refused" in line]


def test_the_second_process_compiles_nothing(device) -> None:
    plans(device, "convnet", "float32", "1")
    again = plans(device, "convnet", "float32", "1")
    assert again and all(line["cached"] for line in again)
    assert sum(line["seconds"] for line in again) < 30


def test_what_cudnn_refuses_is_said_with_what_to_do(device, tmp_path) -> None:
    code = (
        "import ctypes, sys\n"
        "for s in sys.argv[2:]: ctypes.CDLL(s, ctypes.RTLD_GLOBAL)\n"
        "from cortex.gpu_compute.libraries import dnn, errors, frontend\n"
        "ops = frontend.FrontendDnn(properties=open(sys.argv[1]).read(), workspace_limit=1 << 20)\n"
        "try: ops.plan(dnn.AttentionBackward(2, 4, 64, 64, 32, 'float32'))\n"
        "except errors.Unsupported as error: print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", code, str(PROPERTIES), *map(str, device.standins)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "refused AttentionBackward(batch=2" in result.stdout
    assert (
        "compute it by the backend's own kernels, or allow TF32, or raise the workspace limit of 1048576"
        in result.stdout
    )
