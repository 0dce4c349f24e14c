"""What a program consists of, counted, and what the machine allows, measured."""

from __future__ import annotations

from typing import Any

import pytest

from cortex import layers
from cortex.network import Network
from cortex.tracing import trace_inference


def flops(program: Any) -> float:
    import roofline

    return roofline.flops(program) / 1e6


# by hand: a multiply-add is two operations, and nobody needs the gradient of an image
@pytest.mark.parametrize(
    ("name", "size", "millions"),
    [
        ("MLP", 64, 154.1),
        ("MLP", 256, 616.3),
        ("LENET", 64, 843.6),
        ("LENET", 256, 3374.6),
        ("CONVNET", 64, 36465.8),
    ],
)
def test_operations_of_a_training_step(name: str, size: int, millions: float) -> None:
    import networks
    from peers import ours

    step = ours.training_step(getattr(networks, name), size)
    assert flops(step.program) == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize(("name", "millions"), [("VGG", 30940.5), ("RESNET", 1110.8)])
def test_operations_of_an_inference(name: str, millions: float) -> None:
    import networks

    network = getattr(networks, name).network
    assert flops(trace_inference(network, 1).program) == pytest.approx(millions, rel=2e-3)


def test_products_know_their_shapes_and_weights() -> None:
    import roofline

    network = Network(
        [
            ("x", layers.Input(4, 9, 9)),
            layers.Convolution(6, 3, stride=2, groups=2),
            layers.Linear(5),
        ]
    )
    found = roofline.products(trace_inference(network, 7).program)
    assert [(p.m, p.k, p.n, p.count) for p in found] == [(3, 18, 7 * 16, 2), (7, 96, 5, 1)]
    assert [p.weights for p in found] == [4 * 6 * 2 * 9, 4 * 96 * 5]


def test_the_machine_is_measured() -> None:
    import roofline

    fast, reads = roofline.peak(1), roofline.bandwidth(1 << 18, 1)
    assert 1e9 < fast < 1e12
    assert 1e8 < reads < 1e12
    assert 1e8 < roofline.bandwidth(1 << 18, 1, update=True) < 1e12
    network = Network([("x", layers.Input(512)), layers.Linear(512)])
    many, one = (trace_inference(network, n).program for n in (1024, 1))
    assert roofline.bound(many, 1) == pytest.approx(2 * 1024 * 512 * 512 / fast)
    held = 4 * 512 * 512
    assert roofline.bound(one, 1) == pytest.approx(
        max(2 * 512 * 512 / fast, held / roofline.bandwidth(1 << 20, 1))
    )
