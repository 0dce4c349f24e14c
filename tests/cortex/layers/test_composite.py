"""Inputs of several dtypes, layers of layers, choice of initialisers, functions of your own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cortex import layers as L
from cortex.compute import Spec
from cortex.compute import math as m
from cortex.initialisers import Automatic, He, Xavier, choose


def test_bytes_become_floats_on_the_device(run: Any) -> None:
    x = np.array([[0, 51, 255]], np.uint8)
    y = run(L.Input(3, dtype="uint8", scale=1 / 255, offset=-0.5), x, dtype="float32").y
    np.testing.assert_allclose(y, [[-0.5, -0.3, 0.5]], rtol=1e-6)
    np.testing.assert_array_equal(run(L.Input(3, dtype="uint8"), x).y, [[0.0, 51, 255]])
    assert run(L.Input(2, dtype="bool"), np.array([[True, False]])).y.dtype == np.float64


def test_integers_stay_integers(run: Any) -> None:
    x = np.array([[3, -7]], np.int32)
    y = run(L.Input(2, dtype="int32"), x).y
    assert y.dtype == np.int32
    scaled = run(L.Input(2, dtype="int32", scale=0.5), x).y
    np.testing.assert_array_equal(scaled, [[1.5, -3.5]])


def test_the_column_of_an_input() -> None:
    assert L.Input(1, 28, 28).column(5, "float64") == Spec((5, 1, 28, 28), "float64")
    assert L.Input(1, 28, 28, dtype="uint8").column(5, "float64") == Spec((5, 1, 28, 28), "uint8")
    assert L.Input().column(5) == Spec((5,))


def test_names_of_nested_parameters() -> None:
    block = L.Sequence([L.Convolution(2, 3), L.Relu(), L.Convolution1D(3, 2)])
    assert L.numbered(block.layers) == ("convolution1", "relu1", "convolution_1d1")
    net = L.Sequence([L.linear_relu(4), L.linear_relu(3), L.Linear(2, bias=False)])
    assert list(net.parameters(Spec((2, 5)))) == [
        "sequence1.linear1.weights",
        "sequence1.linear1.bias",
        "sequence2.linear1.weights",
        "sequence2.linear1.bias",
        "linear1.weights",
    ]


def test_labels_of_nested_steps(run: Any) -> None:
    program = run(L.Sequence([L.linear_relu(4)]), np.ones((2, 3))).executable.program
    assert "sequence1/linear1" in {s.label for s in program.steps}


RECTIFIERS = [
    L.Relu(),
    L.LeakyRelu(),
    L.Prelu(),
    L.Elu(),
    L.Swish(),
    L.Gelu(),
    L.Activation("mish"),
]
OTHERS = [
    L.Tanh(),
    L.Selu(),
    L.Logistic(),
    L.Linear(3),
    L.Activation(lambda x: x * x),
    L.linear_relu(3),
]


@pytest.mark.parametrize("layer", RECTIFIERS, ids=str)
def test_he_before_what_rectifies(layer: Any) -> None:
    assert choose([L.MaxPooling(2), L.BatchNormalisation(), L.Dropout(0.5), layer]) == He()


@pytest.mark.parametrize("layer", OTHERS, ids=str)
def test_xavier_before_the_others(layer: Any) -> None:
    assert choose([L.Flatten(), layer, L.Relu()]) == Xavier()
    assert choose([]) == choose([L.Softmax()]) == Xavier()


def test_a_composite_settles_what_it_can() -> None:
    net = L.Sequence([L.linear_relu(4), L.Linear(3), L.Tanh(), L.Residual([L.Linear(3)])])
    found = {n: p.initialiser for n, p in net.parameters(Spec((2, 5))).items() if "weights" in n}
    assert found == {
        "sequence1.linear1.weights": He(),
        "linear1.weights": Xavier(),
        "residual1.body.linear1.weights": Automatic(),
    }


def test_given_initialisers_stay() -> None:
    layer = L.Sequence([L.Linear(4, initialiser=Xavier(standardise_rows=True)), L.Relu()])
    found = layer.parameters(Spec((2, 5)))["linear1.weights"].initialiser
    assert found == Xavier(standardise_rows=True)


def test_several_outputs_feed_the_next_layer(run: Any) -> None:
    net = L.Sequence([L.Split((1, 2)), L.Branches([L.Concatenate()]), L.Scale(2.0)])
    np.testing.assert_array_equal(run(net, [[1.0, 2, 3]]).y, [[2, 4, 6]])


def test_a_gradient_of_your_own(run: Any) -> None:
    """A straight-through sign: forward the sign, backward the derivative of tanh."""
    layer = L.Function(m.sign, gradient=lambda x: 1 - m.square(m.tanh(x)))
    x = np.array([[-0.7, 0.2, 3.0]])
    r = run(layer, x, dy=[[1, 2, 3]])
    np.testing.assert_array_equal(r.y, np.sign(x))
    np.testing.assert_allclose(r.gradient("x0"), [1, 2, 3] * (1 - np.tanh(x) ** 2), rtol=1e-12)


def test_gradients_of_your_own_for_several_inputs(run: Any) -> None:
    layer = L.Combine(lambda a, b: a * b, gradient=lambda a, b: (2 * b, 0 * a))
    r = run(layer, [[2.0]], [[5.0]])
    assert (r.y, r.gradient("x0"), r.gradient("x1")) == (10, 10, 0)


def test_linear_reads_images_as_rows_and_sequences_step_by_step() -> None:
    image = Spec((2, 3, 4, 5))
    assert L.Linear(7).parameters(image)["weights"].shape == (7, 60)
    assert L.output_specs(L.Linear(7), [image]) == (Spec((2, 7)),)
    assert L.Linear(7, axes="last").parameters(image)["weights"].shape == (7, 5)
    assert L.output_specs(L.Linear(7, axes="last"), [image]) == (Spec((2, 3, 4, 7)),)


def test_shorthands() -> None:
    given = [
        L.linear_relu(3),
        L.linear_logistic(3),
        L.linear_tanh(3),
        L.linear_selu(3),
        L.linear_swish(3, bias=False),
        L.linear_softmax(3),
        L.convolution_relu(3, 5, stride=2),
    ]
    pairs = [(L.Linear(3), a) for a in (L.Relu(), L.Logistic(), L.Tanh(), L.Selu())]
    pairs += [(L.Linear(3, bias=False), L.Swish()), (L.Linear(3), L.Softmax())]
    pairs += [(L.Convolution(3, 5, stride=2), L.Relu())]
    assert given == [L.Sequence(p) for p in pairs]


def test_transposed_convolution_undoes_the_shape() -> None:
    """With the output padding that rounding down lost, a transpose restores every extent."""
    for extent in (7, 8, 9):
        for kernel, stride, padding in ((3, 2, 1), (4, 3, 0), (5, 1, 2)):
            (y,) = L.output_specs(
                L.Convolution(1, kernel, stride, padding), [Spec((1, 1, extent, extent))]
            )
            lost = (extent + 2 * padding - kernel) % stride
            back = L.TransposedConvolution(1, kernel, stride, padding, output_padding=lost)
            assert L.output_specs(back, [y]) == (Spec((1, 1, extent, extent)),)
