"""What only a GPU can tell: run by `pytest -m gpu`, or with a record by scripts/verify_gpu.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gpu_programs import agree, attention, linear_layers, ran, residual
from gpu_steps import mlp, small_lenet, state, train, training

from cortex import verify as networks
from cortex.compute import Program, availability, get_backend, verify
from cortex.compute.ops import Dropout
from cortex.compute.ops.random import random_state

from .conftest import backend
from .test_gates import zeros_stop

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def gpu() -> Any:
    """The GPU; without one these tests fail rather than pass unseen."""
    found = availability("cuda")
    if not found.works:
        pytest.fail(f"not verified on a GPU: {found.reason}", pytrace=False)
    return get_backend("cuda")


@pytest.fixture(scope="module")
def plain(gpu) -> Any:
    """The same GPU with our own kernels alone."""
    from cortex.gpu_compute.backend import CudaBackend
    from cortex.gpu_compute.device import Libraries

    made = CudaBackend(gpu.device)
    made.libraries = Libraries(missing=("left out on purpose",))
    return made


@pytest.mark.parametrize("check", verify.checks(), ids=str)
def test_operations(gpu, check: verify.Check) -> None:
    check(gpu)


@pytest.mark.parametrize("check", verify.checks(quick=True, filter="op/"), ids=str)
def test_operations_on_our_own_kernels(plain, check: verify.Check) -> None:
    check(plain)


@pytest.mark.parametrize("check", [c for c in networks.checks() if "slow" not in c.tags], ids=str)
def test_networks(gpu, check: verify.Check) -> None:
    check(gpu)


def test_the_libraries_are_there(gpu) -> None:
    assert not gpu.libraries.missing


def test_cudnn_normalises_both_ways(gpu) -> None:
    got = agree(gpu, residual)
    assert ran(got, "cuDNN BatchNormTraining") == ran(got, "cuDNN BatchNormBackward") == 3


@pytest.mark.parametrize("causal", [False, True])
def test_cudnn_attends_in_bfloat16(gpu, causal: bool) -> None:
    from cortex.gpu_compute.backend import CudaBackend

    one = CudaBackend(gpu.device, precision="bfloat16")
    got = agree(one, attention, 65, 80, causal, of_largest=0.03)
    assert ran(got, "cuDNN AttentionForward") == ran(got, "cuDNN AttentionBackward") == 1


def test_products_end_in_the_gradient_of_relu(gpu) -> None:
    assert ran(agree(gpu, linear_layers, 64), "drelu") == 2
    zeros_stop(gpu)


def test_masks_are_those_of_the_cpu_bit_for_bit(gpu) -> None:
    masks = []
    for one in (gpu, get_backend("cpu")):
        p = Program()
        x = p.input("x", (1001, 1003))
        p.output("y", p.apply(Dropout(0.3, p.next_random()), x, *random_state(p)))
        executable = one.compile(p)
        executable.write("x", np.ones((1001, 1003)))
        executable.write("random.seed", np.uint64(2**63 + 5))
        executable.run()
        executable.run()
        masks.append(executable.read("y"))
    np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize("network", [mlp, small_lenet], ids=["mlp", "lenet"])
def test_replayed_equals_eager_bit_for_bit(gpu, network) -> None:
    from cortex.gpu_compute.backend import CudaBackend

    eager, replayed = (
        training(network(), CudaBackend(gpu.device, capture=False)),
        training(network(), gpu),
    )
    assert train(eager, 20) == train(replayed, 20)
    for name, array in state(eager).items():
        np.testing.assert_array_equal(array, replayed.read(name), name)


@pytest.mark.parametrize("network", [mlp, small_lenet], ids=["mlp", "lenet"])
@pytest.mark.parametrize("other", ["cpu", "emulated"])
def test_training_agrees(gpu, network, other: str) -> None:
    here = training(network(), gpu, adam=False)
    there = training(network(), backend() if other == "emulated" else "cpu", adam=False)
    np.testing.assert_allclose(train(here, 8), train(there, 8), rtol=1e-4)


@pytest.mark.parametrize("network", [mlp, small_lenet, residual], ids=["mlp", "lenet", "residual"])
@pytest.mark.parametrize(("precision", "unit"), [("bfloat16", 2**-8), ("float16", 2**-11)])
def test_training_in_16_bits_agrees(gpu, network, precision: str, unit: float) -> None:
    from cortex.gpu_compute.backend import CudaBackend

    here = training(network(), CudaBackend(gpu.device, precision=precision), adam=False)
    there = training(network(), backend(precision=precision), adam=False)
    np.testing.assert_allclose(train(here, 4), train(there, 4), rtol=4 * unit)


def test_a_replay_allocates_nothing(gpu) -> None:
    step = training(small_lenet(), gpu)
    train(step, 2)
    free = gpu.device.free_memory()
    for _ in range(50):
        step.run()
    gpu.device.synchronise()
    assert gpu.device.free_memory() == free


@pytest.mark.parametrize("check", [c for c in networks.checks() if "slow" in c.tags], ids=str)
def test_mnist_whole(gpu, check: verify.Check) -> None:
    """LeNet on all of MNIST to 99 %, and whatever else takes minutes on a CPU."""
    check(gpu)
