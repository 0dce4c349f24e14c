"""Layers as data: defaults, nesting, names of functions, and errors with their places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from cortex import layers as L
from cortex.compute import DescriptionError
from cortex.initialisers import He, Orthogonal


def test_defaults_are_left_out_and_filled_in() -> None:
    assert L.to_data(L.Linear(10)) == {"type": "Linear", "units": 10}
    assert L.from_data({"type": "Linear", "units": 10}) == L.Linear(10)
    assert L.to_data(L.Dropout(0.0)) == {"type": "Dropout", "probability": 0.0}


def test_nested_layers_and_initialisers() -> None:
    layer = L.Residual(
        [L.Linear(3, initialiser=Orthogonal(1.0)), L.Relu()], shortcut=L.Linear(3, initialiser=He())
    )
    data = {
        "type": "Residual",
        "layers": [
            {"type": "Linear", "units": 3, "initialiser": {"type": "Orthogonal", "gain": 1.0}},
            {"type": "Relu"},
        ],
        "shortcut": {"type": "Linear", "units": 3, "initialiser": {"type": "He"}},
    }
    assert L.to_data(layer) == data
    assert L.from_data(data) == layer


def test_a_layer_and_an_initialiser_may_have_one_name() -> None:
    from cortex import initialisers

    layer = L.Sequence([L.Identity(), L.Linear(3, initialiser=initialisers.Identity(2.0))])
    again = L.from_data(L.to_data(layer))
    assert again == layer
    assert isinstance(again.layers[0], L.Identity)


def test_shapes_of_an_input() -> None:
    same = [
        L.Input(1, 28, 28),
        L.Input((1, 28, 28)),
        L.Input([1, 28, 28]),
        L.Input(shape=(1, 28, 28)),
    ]
    assert len(set(same)) == 1
    assert L.Input(784).shape == (784,)
    assert L.Input().shape == ()
    assert L.from_data({"type": "Input", "shape": [784]}) == L.Input(784)
    assert L.from_data({"type": "Input", "shape": 784}) == L.Input(784)


def test_the_short_form() -> None:
    shown = {
        "Linear(10)": L.Linear(10),
        "Linear(10, bias=False)": L.Linear(10, False),
        "Convolution(20, kernel=5, padding='same')": L.Convolution(20, 5, padding="same"),
        "Relu()": L.Relu(),
        "Activation('gelu')": L.Activation("gelu"),
        "Linear(3, initialiser=He())": L.Linear(3, initialiser=He()),
        "Sequence((Linear(3), Relu()))": L.linear_relu(3),
        "Input((1, 28, 28), dtype='uint8')": L.Input(1, 28, 28, dtype="uint8"),
    }
    assert {str(layer): layer for layer in shown.values()} == shown


def test_every_problem_is_reported_with_its_place() -> None:
    data = {
        "type": "Sequence",
        "layers": [
            {"type": "Linaer", "units": 3},
            {"type": "Linear", "unitz": 3},
            {"type": "Residual", "layers": [{"type": "Dropout", "probability": 1}]},
            {"type": "Linear", "units": 3, "initialiser": {"type": "Hee"}},
            7,
            {"units": 3},
        ],
    }
    with pytest.raises(DescriptionError) as caught:
        L.from_data(data)
    assert caught.value.problems == (
        "Sequence.layers[0]: no layer has the type 'Linaer'; did you mean 'Linear'?",
        "Sequence.layers[1] (Linear): no field is named 'unitz'; did you mean 'units'?",
        "Sequence.layers[1] (Linear): the field 'units' is missing",
        "Sequence.layers[2] (Residual).layers[0] (Dropout): probability: expected a number >= 0 and < 1, given 1",
        "Sequence.layers[3] (Linear).initialiser: no initialiser has the type 'Hee'; did you mean 'He'?",
        *caught.value.problems[5:],
    )
    assert len(caught.value.problems) >= 6
    assert "{'units': 3}" in caught.value.problems[-1]


def test_functions_need_a_name_to_be_stored() -> None:
    def squashed(x: Any) -> Any:
        return x / (1 + x * x)

    layer = L.Sequence([L.Activation(squashed), L.Function(squashed)])
    with pytest.raises(DescriptionError) as caught:
        L.to_data(layer)
    assert len(caught.value.problems) == 2
    assert (
        "Sequence.layers[1] (Function).function: the function squashed has no name to store"
        in str(caught.value)
    )
    assert "cortex.layers.register_function(name, function)" in str(caught.value)
    assert L.register_function("test.squashed", squashed) is squashed
    data = L.to_data(layer)
    assert data["layers"][0] == {"type": "Activation", "activation": "test.squashed"}
    assert L.to_data(L.from_data(data)) == data
    assert L.Activation(squashed) == L.Activation("test.squashed")
    with pytest.raises(DescriptionError, match="the name is taken by another function"):
        L.register_function("test.squashed", lambda x: x)


def test_a_layer_of_your_own() -> None:
    @dataclass(frozen=True)
    class TwiceForTest(L.Base):
        """Two times the input."""

        def forward(self, build: Any, x: Any) -> Any:
            return 2 * x

    with pytest.raises(
        DescriptionError, match="TwiceForTest: the type is not registered; decorate it"
    ):
        L.to_data(TwiceForTest())
    L.register(TwiceForTest)
    assert L.from_data({"type": "TwiceForTest"}) == TwiceForTest()
    L.register(TwiceForTest)  # again, as a reload does
    del L.TYPES["TwiceForTest"]


def test_a_name_registers_once() -> None:
    with pytest.raises(
        DescriptionError, match="layer Linear: the name is taken by cortex.layers.linear.Linear"
    ):

        @L.register
        @dataclass(frozen=True)
        class Linear:
            """Another one."""

    with pytest.raises(DescriptionError, match="expected a frozen dataclass"):

        @L.register
        class NoData:
            """Not a dataclass."""
