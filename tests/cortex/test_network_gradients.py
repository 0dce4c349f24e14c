"""Gradients of any output, or of the loss, by inputs, outputs of nodes, parameters and columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from executing import LABELS, X, mlp, run, softmax, step, two_outputs

from cortex import layers as L
from cortex.compute.errors import DescriptionError, ShapeError
from cortex.executables import gradients
from cortex.network import Network, column, constant, node
from cortex.optimise.optimisers import Sgd


def message(call: Any) -> str:
    with pytest.raises((DescriptionError, ShapeError)) as error:
        call()
    return str(error.value)


def test_gradients_with_respect_to_inputs_outputs_and_parameters() -> None:
    network = mlp(dtype="float64")
    made = gradients(
        network,
        of="linear2",
        wrt=["x", "tanh1", "linear1.weights", "linear2"],
        batch_size=17,
        backend="numpy",
    )
    run(made, x=X)
    p = network.parameters
    h = np.tanh(X @ p["linear1.weights"].T + p["linear1.bias"])
    dh = np.ones((17, 3)) @ p["linear2.weights"]
    np.testing.assert_allclose(made.read("gradient.tanh1"), dh, rtol=1e-12)
    np.testing.assert_allclose(
        made.read("gradient.x"), (dh * (1 - h * h)) @ p["linear1.weights"], rtol=1e-12
    )
    np.testing.assert_allclose(
        made.read("gradient.linear1.weights"), (dh * (1 - h * h)).T @ X, rtol=1e-12
    )
    assert (made.read("gradient.linear2") == 1).all()
    np.testing.assert_allclose(made.read("output"), softmax(network, X), rtol=1e-12)


def test_the_cotangent_chooses_one_class() -> None:
    network = mlp(dtype="float64")
    made = gradients(network, wrt="linear2.bias", batch_size=17, backend="numpy", cotangent=True)
    seed = np.zeros((17, 3))
    seed[:, 1] = 1
    run(made, x=X, cotangent=seed)
    q = softmax(network, X)
    wanted = (q[:, 1, None] * (np.eye(3)[1] - q)).sum(0)
    np.testing.assert_allclose(made.read("gradient.linear2.bias"), wanted, rtol=1e-10, atol=1e-14)


def test_the_gradient_of_the_loss_is_that_of_the_training_step() -> None:
    network = mlp(dtype="float64").with_attributes("linear1", l2=0.3)
    made = gradients(
        network, of="loss", wrt=list(network.parameters), batch_size=17, backend="numpy"
    )
    run(made, x=X, label=LABELS)
    trained = run(step(network, optimiser=Sgd(1.0)), x=X, label=LABELS)
    for n, old in network.parameters.items():
        np.testing.assert_allclose(
            made.read(f"gradient.{n}"), old - trained.read(n), rtol=1e-9, atol=1e-15
        )
    assert made.read("loss") == pytest.approx(trained.read("loss"), rel=1e-14)


def test_gradients_of_bound_and_shared_parameters() -> None:
    network = Network(
        [("x", L.Input(3)), node(L.Linear(9), "hyper", constant([1.0])), ("a", L.Linear(3)),
         node(L.Linear(3), "main", "x", bindings={"weights": "hyper", "bias": "a.bias"})],
        outputs=["main"], dtype="float64",
    )  # fmt: skip
    x = X[:, :3]
    made = gradients(
        network,
        wrt=["main.weights", "hyper.weights", "main.bias", "a.bias"],
        batch_size=17,
        backend="numpy",
    )
    run(made, x=x)
    wanted = np.ones((17, 3)).T @ x
    np.testing.assert_allclose(made.read("gradient.main.weights"), wanted, rtol=1e-12)
    np.testing.assert_allclose(
        made.read("gradient.hyper.weights"), wanted.reshape(9, 1), rtol=1e-12
    )
    np.testing.assert_allclose(made.read("gradient.main.bias"), np.full(3, 17.0), rtol=1e-12)
    assert np.array_equal(made.read("gradient.a.bias"), made.read("gradient.main.bias"))


def test_an_input_of_bytes_is_differentiated_behind_its_scale() -> None:
    network = Network([("x", L.Input(4, dtype="uint8", scale=0.5)), L.Linear(2)])
    made = gradients(network, wrt="x", batch_size=3, backend="numpy")
    run(made, x=np.ones((3, 4), np.uint8))
    wanted = np.tile(network.parameters["linear1.weights"].sum(0), (3, 1))
    np.testing.assert_allclose(made.read("gradient.x"), wanted, rtol=1e-6)


def test_messages_of_gradients() -> None:
    text = message(
        lambda: gradients(two_outputs(), wrt=["y", "a.wights"], batch_size=2, backend="numpy")
    )
    assert "of: the network has the outputs a, c; name one" in text
    assert "wrt: nothing is named 'a.wights'; did you mean 'a.weights'?" in text
    assert "of: no output is named 'aa'" in message(
        lambda: gradients(mlp(), of="aa", wrt="x", batch_size=2)
    )
    labels = Network([("i", L.Input(3, dtype="int32")), L.Embedding(4, 2), L.Linear(2)])
    text = message(lambda: gradients(labels, wrt="i", batch_size=2, backend="numpy"))
    assert (
        "wrt: 'i' holds int32[2, 3], and only floats have gradients; name a node behind it" in text
    )


def test_the_gradient_of_a_column_bound_to_a_parameter() -> None:
    network = Network(
        [("x", L.Input(5)), node(L.Linear(2), bindings={"weights": column("w")})], dtype="float64"
    )
    made = gradients(network, wrt="w", batch_size=17, backend="numpy")
    run(made, x=X, w=np.ones((2, 5)))
    np.testing.assert_allclose(made.read("gradient.w"), np.ones((17, 2)).T @ X, rtol=1e-12)
