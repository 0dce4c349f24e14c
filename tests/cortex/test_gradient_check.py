"""The check itself: right gradients pass, wrong ones fail with everything printed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from cortex import layers as L
from cortex.build import Build
from cortex.compute import math as m
from cortex.compute.errors import DescriptionError
from cortex.compute.ops import Dropout, Linear, MatMul, Softmax
from cortex.compute.ops.map import Map
from cortex.compute.ops.random import random_state
from cortex.compute.program import Op, Program, Value
from cortex.compute.spec import Spec
from cortex.gradient_check import (
    Direction,
    GradientCheck,
    GradientError,
    check_gradient,
    gradient_check,
)
from cortex.initialisers import Ones, Zeros
from cortex.losses import CategoricalCrossEntropy, CentreLoss
from cortex.losses.reduction import sum_of_examples
from cortex.network import Network, node
from cortex.protocols import Parameter

POINT = np.array([1.0, -2.0, 3.0])


def square(x: np.ndarray) -> float:
    return float(np.sum(x**2))


def relus(x: np.ndarray) -> float:
    return float(np.sum(np.maximum(x, 0)))


def test_a_right_gradient_passes() -> None:
    result = check_gradient(square, lambda x: 2 * x, POINT, directions=5)
    assert result.passed and result.error < 1e-8 and len(result.directions) == 5
    assert result.redrawn == 0
    assert "is right" in str(result) and "one-sided" in str(result)
    assert check_gradient(square, 2 * POINT, POINT).passed  # the array itself will do


@pytest.mark.parametrize("shape", [(), (1,), (3, 0), (2, 3, 4), (300,)])
def test_points_of_any_shape(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape)
    assert check_gradient(lambda x: float(np.sum(np.sin(x))), np.cos, x).passed
    if x.size:
        with pytest.raises(GradientError):
            check_gradient(lambda x: float(np.sum(np.sin(x))), lambda x: 1.001 * np.cos(x), x)


@pytest.mark.parametrize("factor", [1.0001, 1.00001, -1.0, 0.0])
def test_a_wrong_gradient_fails(factor: float) -> None:
    with pytest.raises(GradientError, match="is wrong"):
        check_gradient(square, lambda x: factor * 2 * x, POINT)


def test_a_failure_prints_everything() -> None:
    def wrong(x: np.ndarray) -> np.ndarray:
        return 2 * x + np.array([0, 0.5, 0])

    with pytest.raises(GradientError) as error:
        check_gradient(square, wrong, POINT, seed=7, name="my function")
    text = str(error.value)
    assert "the gradient of my function is wrong" in text
    assert "tolerance 1e-06, seed 7, 0 directions redrawn" in text
    assert text.count("direction ") == 3 and "one-sided" in text
    assert "point of shape (3,), values -2 .. 3" in text
    # the entry that is wrong comes first
    assert "entry [1]: gradient -3.500000000e+00, difference -4.0000" in text.splitlines()[5]


def test_large_points_are_not_listed() -> None:
    with pytest.raises(GradientError, match="more than 256 entries: check a smaller point"):
        check_gradient(square, lambda x: 3 * x, np.ones(257))


def test_a_nan_never_passes() -> None:
    with pytest.raises(GradientError, match="1 of 3 entries of the gradient are not finite"):
        check_gradient(square, np.array([2.0, np.nan, 6.0]), POINT)
    with pytest.raises(GradientError):
        check_gradient(lambda x: float("nan"), 2 * POINT, POINT)


def test_directions_are_redrawn_at_a_kink() -> None:
    """A kink within one step of the point: some directions cross it, others do not."""
    x = np.array([1.0, 3e-7, -1.0, 1e-7])
    result = check_gradient(relus, lambda x: (x > 0).astype(float), x, directions=8)
    assert result.passed and result.redrawn > 0


def test_a_point_on_a_kink_is_said_to_be_one() -> None:
    with pytest.raises(GradientError, match="every direction meets a kink here"):
        check_gradient(relus, np.sign, np.zeros(2))


def test_a_wrong_gradient_beside_a_kink_still_fails() -> None:
    x = np.array([1.0, 3e-7, -1.0])
    with pytest.raises(GradientError):
        check_gradient(relus, lambda x: 1.01 * (x > 0), x)


def test_rounding_of_a_large_value_is_not_an_error() -> None:
    def offset(x: np.ndarray) -> float:
        return 1e6 + float(np.sum(np.sin(x)))

    assert check_gradient(offset, np.cos, POINT).passed


def test_the_record_is_data() -> None:
    d = Direction(analytic=1.0, numeric=1.1, forward=1.1, backward=1.1, step=1e-6, noise=0.0)
    assert d.error == pytest.approx(0.1 / 1.1) and not d.is_kink
    assert d.within(0.1) and not d.within(0.05)
    check = GradientCheck("f", (d,), 0, 1e-6, 0)
    assert not check.passed and check.error == d.error
    assert GradientCheck("f", (), 0, 1e-6, 0).passed


def test_a_gradient_of_another_shape() -> None:
    with pytest.raises(DescriptionError, match=r"shape of the point \(3,\), given \(2,\)"):
        check_gradient(square, np.zeros(2), POINT)


# Things that are traced


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s) for s in shapes]


def test_a_function() -> None:
    found = gradient_check(lambda a, b: m.tanh(a) * b, *arrays((3, 4), (4,)))
    assert set(found) == {"input0", "input1"}
    assert all(c.passed for c in found.values())


def test_an_op() -> None:
    assert set(gradient_check(MatMul(), *arrays((3, 4), (4, 2)))) == {"input0", "input1"}
    assert len(gradient_check(Linear(), *arrays((3, 4), (2, 4), (2,)))) == 3
    assert gradient_check(Softmax(1), *arrays((3, 4)))["input0"].error < 1e-7


@dataclass(frozen=True)
class Cubic(Op):
    """x^3, with a gradient that may be wrong."""

    slope: float = 3.0

    def infer(self, *inputs: Spec) -> tuple[Spec, ...]:
        return inputs

    def decompose(self, build: Program, *inputs: Value) -> tuple[Value, ...]:
        (x,) = inputs
        return (x * x * x,)

    def gradient(self, build: Any, inputs: Any, outputs: Any, cotangents: Any) -> Any:
        return (cotangents[0] * self.slope * inputs[0] * inputs[0],)


def test_an_op_with_a_wrong_gradient() -> None:
    gradient_check(Cubic(), *arrays((2, 3)))
    with pytest.raises(GradientError, match="Cubic with respect to input0 is wrong"):
        gradient_check(Cubic(slope=3.001), *arrays((2, 3)))


@dataclass(frozen=True)
class Layer:
    """x w^p + b with a statistic, dropout in training, and a gradient of w that may be wrong."""

    slope: float = 3.0
    dropout: float = 0.0

    def parameters(self, *inputs: Spec) -> Mapping[str, Parameter]:
        shape = inputs[0].shape[1:]
        return {
            "w": Parameter(shape, Ones()),
            "b": Parameter(shape, Zeros()),
            "scale": Parameter(shape, Ones(), trainable=False),
        }

    def forward(self, build: Build, *inputs: Value, **parameters: Value) -> Value:
        (x,), w = inputs, build.apply(Cubic(self.slope), parameters["w"])
        if self.dropout and build.training:
            number = build.program.next_random()
            op = Dropout(self.dropout, number)
            x = build.apply(op, x, *random_state(build.program))
        build.update(parameters["scale"], parameters["scale"] * 0.5)
        return parameters["scale"] * x * w + parameters["b"]


def test_a_layer_and_its_trainable_parameters() -> None:
    assert set(gradient_check(Layer(), *arrays((5, 3)))) == {"input0", "w", "b"}
    with pytest.raises(GradientError) as error:
        gradient_check(Layer(slope=2.0), *arrays((5, 3)))
    assert "Layer with respect to w is wrong" in str(error.value)
    assert "input0" not in str(error.value)


def test_a_random_layer_keeps_its_numbers_between_evaluations() -> None:
    found = gradient_check(Layer(dropout=0.5), *arrays((50, 3)), seed=3)
    assert max(c.error for c in found.values()) < 1e-6
    assert gradient_check(Layer(dropout=0.5), *arrays((50, 3)), training=False)


def test_parameters_of_your_own() -> None:
    point = np.array([2.0, 0.5, -1.0])
    found = gradient_check(Layer(), *arrays((5, 3)), parameters={"w": point})
    assert found["w"].passed
    with pytest.raises(DescriptionError) as error:
        gradient_check(Layer(), *arrays((5, 3)), parameters={"v": point, "b": np.zeros(2)})
    assert "no parameter is named 'v'" in str(error.value)
    assert "'b': expected shape (3,), given (2,)" in str(error.value)


def test_integer_inputs_are_not_differentiated() -> None:
    def pick(x: Any, index: Any) -> Any:
        return m.where(index > 0, x, 2 * x)

    assert set(gradient_check(pick, *arrays((4,)), np.array([0, 1, 0, 2]))) == {"input0"}


def test_several_outputs() -> None:
    found = gradient_check(lambda x: (m.sin(x), x > 0, m.exp(x)), *arrays((4,)))
    assert found["input0"].passed


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        (3, "expected a network, a layer, a loss, an op or a function, given 3"),
        (lambda x: x > 0, "the subject has no float output"),
    ],
)
def test_messages(subject: Any, message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        gradient_check(subject, *arrays((4,)))


def test_a_loss_needs_an_output_and_a_target() -> None:
    from cortex.losses import MeanSquaredError

    with pytest.raises(DescriptionError, match="at an output and a target, given 1 arrays"):
        gradient_check(MeanSquaredError(), *arrays((4, 3)))
    found = gradient_check(
        MeanSquaredError(), *arrays((4, 3), (4, 3)), sample_weights=[1.0, 2, 0, 1]
    )
    assert set(found) == {"output"}


def test_the_backend_is_chosen_by_name() -> None:
    """Both forms of an elementwise function give the same record on the reference."""
    first = gradient_check(lambda x: m.tanh(x), *arrays((4,)), backend="numpy")
    from cortex.compute.expression import symbol

    second = gradient_check(Map((m.tanh(symbol(0)),), ("float64",)), *arrays((4,)))
    assert first["input0"].directions == second["input0"].directions


@pytest.mark.parametrize("first", ["cortex.gradient_check", "cortex.check_gradient"])
def test_the_public_name_is_the_function_whatever_is_imported_first(first: str) -> None:
    code = (
        f"import cortex, numpy; {first}; from cortex.compute import math as m; "
        "print(cortex.gradient_check(m.tanh, numpy.ones(3))['input0'].passed)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "True"


# Networks


def small_network(**attributes: Any) -> Network:
    return Network(
        [
            ("x", L.Input(4)),
            node(L.Linear(5), "first", **attributes),
            L.BatchNormalisation(),
            L.Dropout(0.3),
            ("features", L.Tanh()),
            L.Linear(3),
            ("classes", L.Softmax()),
        ],
        seed=3,
    )


def labelled(batch: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {"x": rng.standard_normal((batch, 4)), "label": rng.integers(0, 3, batch)}


@pytest.mark.parametrize("training", [True, False])
def test_a_network_by_its_outputs(training: bool) -> None:
    network = small_network()
    found = gradient_check(network, labelled()["x"], training=training)
    trained = set(network.parameters) - set(network.statistics)
    assert set(found) == {"x", *trained}
    again = gradient_check(network, {"x": labelled()["x"]}, training=training)
    assert again["x"].directions == found["x"].directions


def test_a_network_by_its_loss() -> None:
    """By default the loss of the output; l1 and l2 count, and so do the parameters of a loss."""
    network = small_network(l1=0.1, l2=0.3)
    plain = gradient_check(network, labelled(), target="label")
    assert set(plain) == {"x", *set(network.parameters) - set(network.statistics)}
    free = gradient_check(small_network(), labelled(), target="label")
    first = "first.weights"
    assert plain[first].directions[0].analytic != free[first].directions[0].analytic
    loss = {"classes": CategoricalCrossEntropy(), "features": (CentreLoss(3), 0.5)}
    target = {"classes": "label", "features": "label"}
    assert gradient_check(network, labelled(), loss=loss, target=target)["x"].passed
    weights = [0.0, 1, 2, 3, 1, 1]
    weighted = gradient_check(network, labelled(), target="label", sample_weights=weights)
    assert weighted["x"].directions != plain["x"].directions


def test_a_network_with_a_layer_whose_gradient_is_wrong() -> None:
    """The name of the parameter is in the message; what comes behind the layer is right."""
    network = Network([("x", L.Input(4)), ("a", Layer(slope=2.0)), ("b", L.Linear(2))])  # type: ignore[arg-type]
    with pytest.raises(GradientError) as error:
        gradient_check(network, np.ones((3, 4)))
    assert "Network with respect to a.w is wrong" in str(error.value)
    assert "b.weights" not in str(error.value)
    assert set(gradient_check(network, np.ones((3, 4)), wrt=["b.weights", "x"])) == {
        "b.weights",
        "x",
    }


def test_a_network_with_inputs_that_are_no_floats_and_parameters_of_your_own() -> None:
    network = Network(
        [("word", L.Input(2, dtype="int32")), ("table", L.Embedding(5, 3)), ("out", L.Linear(2))]
    )
    words = np.array([[0, 4], [1, 1]])
    table = np.arange(15.0).reshape(5, 3) / 10
    found = gradient_check(network, words, parameters={"table.weights": table})
    assert set(found) == {"table.weights", "out.weights", "out.bias"}
    other = gradient_check(network, words)
    assert other["out.weights"].directions != found["out.weights"].directions


def test_a_parameter_of_a_loss_is_checked() -> None:
    class Scaled:
        """s (o - t)^2 with one trained number s."""

        def parameters(self, output: Any, target: Any) -> dict[str, Parameter]:
            return {"s": Parameter((1,), Ones())}

        def terms(self, build: Any, output: Any, target: Any, *, s: Any) -> Any:
            return sum_of_examples(build, s * (output - target) * (output - target)), None

    network = Network([("x", L.Input(4)), ("y", L.Linear(2))])
    columns = {"x": np.ones((3, 4)), "label": np.zeros((3, 2))}
    found = gradient_check(network, columns, loss=Scaled(), parameters={"loss.y.s": [2.0]})
    assert set(found) == {"x", "y.weights", "y.bias", "loss.y.s"}
    with pytest.raises(DescriptionError, match=r"'loss.y.s': expected shape \(1,\), given \(2,\)"):
        gradient_check(network, columns, loss=Scaled(), parameters={"loss.y.s": [2.0, 1.0]})


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ((np.ones((2, 4)), np.ones(2)), {}, "the network reads x, given 2 arrays"),
        (({"y": np.ones((2, 4))},), {}, "no column is named 'y'.*the column 'x' is missing"),
        (({"x": np.ones((2, 5))},), {}, r"column 'x': expected \(2, 4\), given \(2, 5\)"),
        (
            (np.ones((2, 4)),),
            {"wrt": ["frst.bias"]},
            "wrt: nothing is named 'frst.bias'; did you mean 'first.bias'",
        ),
        (({"x": np.ones((2, 4))},), {"target": "label"}, "the column 'label' is missing"),
        (
            (np.ones((2, 4)),),
            {"parameters": {"first.bias": np.ones(2)}},
            r"first.bias: expected shape \(5,\)",
        ),
        ((np.ones((2, 4)),), {"loss": 3}, "expected a loss such as MeanSquaredError"),
    ],
)
def test_messages_of_networks(columns: Any, options: Any, message: str) -> None:
    import re

    with pytest.raises(DescriptionError) as error:
        gradient_check(small_network(), *columns, **options)
    assert re.search(message, str(error.value).replace("\n", " ")), str(error.value)
