"""Performance held without a clock: what runs, in how many instructions; and once, slowly, against NumPy.

A number here is an upper limit. A change that saves instructions lowers it; one that needs more says why.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cortex
from cortex.compute.cpu.native import native

needs_engine = pytest.mark.skipif(
    native() is None, reason="the native engine is not built: sh scripts/build_native.sh"
)
ROOT = Path(__file__).resolve().parents[2]

# workload, batch (0: inference of one example): instructions, steps that are not native kernels, MB of activations
LIMITS = {
    ("MLP", 64): (34, 13, 2.61),
    ("LENET", 64): (69, 16, 7.68),
    ("CONVNET", 16): (141, 26, 31.2),
    ("RESNET", 4): (500, 103, 63.9),
    ("MLP", 0): (3, 0, 0.00309),
    ("LENET", 0): (11, 0, 0.0579),
    ("CONVNET", 0): (8, 7, 0.79),
    ("RESNET", 0): (48, 49, 0.79),
}
PRODUCTS = ("MatMul", "Convolution", "Fused")

# our seconds over NumPy's for the products alone, on a processor with AVX-512 whose NumPy uses AVX2
RATIOS = {
    "matrix product 512 x 512 x 512": 1.07,
    "matrix product 64 x 784 x 512": 0.97,
    "MLP 784-512-256-10, batch 64": 1.15,
    "LeNet, batch 64": 0.82,
    "3x3 convolutions 32-64-128, batch 8": 0.88,
}
MARGIN = 1.3  # runs differ by 3 %; a scalar loop or an unblocked product is off by more than 2


def compiled(name: str, size: int) -> Any:
    import networks
    from peers import ours

    workload = getattr(networks, name)
    if size:
        return ours.training_step(workload, size)
    return cortex.inference(workload.network, batch_size=1)


@needs_engine
@pytest.mark.parametrize(("name", "size"), LIMITS)
def test_no_more_runs_than_before(name: str, size: int) -> None:
    made = compiled(name, size)
    instructions, others, megabytes = LIMITS[name, size]
    report, providers = made.report, made.report.providers()
    assert not [p for p in providers if "numpy" in p or "python" in p]
    assert len(made.executable.profile()) <= instructions
    kernels = ("native", "winograd")
    assert sum(n for p, n in providers.items() if p not in kernels) <= others, providers
    assert report.bytes["activations"] <= 1e6 * megabytes
    products = [s for s in report.steps if s.op.startswith(PRODUCTS)]
    assert products and {s.provider.split()[0] for s in products} <= set(kernels)


# what benchmarks/workloads.py measures, at its sizes; others above
SIZES = (("MLP", 256), ("LENET", 256), ("CONVNET", 64), ("RESNET", 64))


@needs_engine
@pytest.mark.parametrize(("name", "size"), SIZES)
def test_no_step_waits_for_numba(name: str, size: int) -> None:
    """Numba takes .3 to 1 s to compile a loop, with the first step."""
    assert not _by_numba(compiled(name, size))


@needs_engine
@pytest.mark.slow  # VGG16's weights are drawn for five seconds
def test_no_inference_waits_for_numba() -> None:
    assert not _by_numba(compiled("VGG", 0))


@needs_engine
@pytest.mark.parametrize("name", ["own_relu", "own_swish", "own_gelu"])
def test_no_function_of_a_user_waits_for_numba(name: str) -> None:
    import networks
    import workloads
    from peers import ours

    activation = cortex.layers.Activation(getattr(workloads, name))
    network = networks.LENET.with_activation(activation)
    assert not _by_numba(ours.training_step(networks.LENET, 64, network))


def _by_numba(made: Any) -> list[Any]:
    return [s for s in made.report.steps if "numba" in s.provider]


@needs_engine
@pytest.mark.slow
def test_steps_take_as_long_beside_numpy_as_before() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "regression.py")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    assert found.keys() == RATIOS.keys()
    slower = {n: (r, RATIOS[n]) for n, r in found.items() if r > MARGIN * RATIOS[n]}
    assert not slower, f"our time over NumPy's, and what it was: {slower}"
