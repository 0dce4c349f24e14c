"""The networks, and that every peer that is installed computes what cortex computes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from cortex import layers as L


def harness() -> Any:
    import harness

    return harness


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("MLP", 535_818),
        ("WIDE_MLP", 669_706),
        ("LENET", 431_080),
        ("CONVNET", 94_762),
        ("RESNET", 11_173_962),
        ("RESNET_18", 11_689_512),
        ("RESNET_50", 25_557_032),
        ("VGG", 138_357_544),
    ],
)
def test_the_networks_are_those_of_the_literature(name: str, parameters: int) -> None:
    import networks

    assert getattr(networks, name).network.parameter_count == parameters


def test_weights_and_which_are_trained() -> None:
    import networks

    weights, trained = networks.CONVNET.weights(), networks.CONVNET.trainable()
    assert len(weights) == len(trained)
    assert sum(w.size for w, t in zip(weights, trained, strict=True) if t) == 94_762
    swish = networks.LENET.with_activation(L.Swish())
    assert not any(isinstance(n.layer, L.Relu) for n in swish.nodes)
    for a, b in zip(swish.parameters.values(), networks.LENET.weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def small() -> Any:
    """Return a network of every kind of layer that the peers translate."""
    from networks import Workload

    body = (
        L.Convolution(6, 3, stride=2, padding=1, bias=False),
        L.BatchNormalisation(epsilon=1e-5),
    )
    shortcut = L.Sequence((L.Convolution(6, 1, stride=2, bias=False),))
    nodes = (
        L.Convolution(4, 3), L.MaxPooling(3, stride=2, padding=1), L.Relu(), L.Residual((*body, L.Relu()), shortcut),
        L.Residual((L.Convolution(6, 3, padding=1, bias=False),)), L.GlobalAveragePooling(),
        L.Linear(5), L.Relu(), L.Linear(10),
    )  # fmt: skip
    return Workload("small", (3, 18, 18), nodes, "sgd")


def test_numpy_computes_the_same() -> None:
    import networks
    from peers import arrays, ours

    assert arrays.fits(networks.MLP) and not arrays.fits(networks.LENET)
    batch = networks.Batch.of(8)
    assert batch.images.shape == (8, 1, 28, 28) and batch.images.max() <= 1
    pair = [ours.training(networks.MLP, batch), arrays.training(networks.MLP, batch)]
    assert harness().agree(pair).startswith("Losses over five steps")
    once = [
        ours.inference(networks.MLP, batch.images),
        arrays.inference(networks.MLP, batch.images),
    ]
    assert harness().agree(once).startswith("Outputs agree")


def test_scikit_learn_computes_the_same() -> None:
    pytest.importorskip("sklearn")
    import networks
    from peers import arrays, ours

    batch = networks.Batch.of(8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sklearn = arrays.sklearn_training(networks.MLP, batch)
        assert harness().agree([ours.training(networks.MLP, batch), sklearn])


def test_a_loop_of_numba_is_adam() -> None:
    from peers import arrays, ours

    gradient = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    made = [ours.adam(gradient), arrays.numba_adam(gradient)]
    assert harness().agree(made).startswith("Outputs agree")


def test_an_instruction_set_is_a_further_column() -> None:
    from peers import ours

    from cortex.compute.cpu.native import native

    engine = native()
    if engine is None or engine.isa() == "base":
        pytest.skip("there is no second instruction set")
    a, b = np.random.default_rng(0).random((2, 90, 90), np.float32)
    best = engine.isa()
    settings = harness().Settings(isas=("base",))
    made = ours.each(settings, ours.product, a, b, False, False)
    assert [c.name for c in made] == ["cortex", "cortex base"]
    assert engine.isa() == best
    one, other = (c.losses() for c in made)
    assert (one != other).any(), "SSE2 has no fused multiply-add, so it rounds otherwise"
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_an_unknown_instruction_set_is_refused() -> None:
    from peers import ours

    from cortex.compute.cpu.native import native

    message = "expected one of" if native() is not None else "engine is missing"
    with pytest.raises(SystemExit, match=f"--isa avx1024: .*{message}"), ours.forced("avx1024"):
        pass


@pytest.mark.parametrize("name", ["small", "MLP", "LENET"])
def test_pytorch_computes_the_same(name: str) -> None:
    pytest.importorskip("torch")
    import networks
    from peers import ours, pytorch

    workload = small() if name == "small" else getattr(networks, name)
    batch = networks.Batch.of(8, workload.shape)
    ways = pytorch.ways(workload, harness().Settings())
    made = [pytorch.training(workload, batch, way) for way in ways]
    assert harness().agree([ours.training(workload, batch), *made])
    once = [pytorch.inference(workload, batch.images, way) for way in ways]
    assert harness().agree([ours.inference(workload, batch.images), *once])


@pytest.mark.parametrize("name", ["small", "MLP", "LENET"])
def test_jax_computes_the_same(name: str) -> None:
    pytest.importorskip("jax")
    import networks
    from peers import ours, xla

    workload = small() if name == "small" else getattr(networks, name)
    batch = networks.Batch.of(8, workload.shape)
    assert harness().agree([ours.training(workload, batch), xla.training(workload, batch)])
    once = [ours.inference(workload, batch.images), xla.inference(workload, batch.images)]
    assert harness().agree(once)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize("peer", ["torch", "jax"])
def test_batches_on_the_device_and_precisions_change_nothing_but_rounding(peer, precision) -> None:
    pytest.importorskip(peer)
    import networks
    from peers import ours

    from cortex.compute import get_backend

    batch = networks.Batch.of(8, small().shape)
    made = [ours.resident_training(small(), batch, get_backend("cpu"))[1]]
    if peer == "torch":
        from peers import pytorch

        ways = pytorch.ways(small(), harness().Settings())
        made += [pytorch.training(small(), batch, way, "cpu", precision) for way in ways]
    else:
        from peers import xla

        made += [xla.training(small(), batch, precision)]
    if precision != "bfloat16":
        assert harness().agree(made)
        return
    first, *others = (c.losses()[0] for c in made)
    assert all(1e-6 < abs(other / first - 1) < 0.05 for other in others)
