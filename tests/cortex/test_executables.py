"""Executables of a network: memory, names, errors, predictions, gradients of anything by anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from executing import LABELS, RNG, X, mlp, run, softmax, step, two_outputs
from hypothesis import given, settings
from hypothesis import strategies as st

import cortex
from cortex import layers as L
from cortex.compute.backend import Executable
from cortex.compute.errors import BackendError, DescriptionError, ShapeError
from cortex.compute.spec import Spec
from cortex.datasets import Arrays
from cortex.executables import (
    Clip,
    evaluation,
    gradients,
    inference,
    parameters_of,
    predict,
    training_step,
)
from cortex.losses import (
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    CentreLoss,
    MeanSquaredError,
    NegativeLogLikelihood,
    SoftmaxCrossEntropy,
)
from cortex.network import Network, column, constant, node
from cortex.objectives import default_loss, target_spec
from cortex.optimise.optimisers import Adam, Sgd

# memory


def test_the_public_names() -> None:
    assert cortex.training_step is training_step and cortex.inference is inference
    assert cortex.gradients is gradients and cortex.predict is predict


def test_a_training_step_is_an_executable_with_the_weights_of_the_network() -> None:
    network = mlp()
    made = step(network)
    assert isinstance(made, Executable) and made.report.total > 0
    assert made.columns == {"x": Spec((17, 5)), "label": Spec((17,), "int32")}
    for name, array in network.parameters.items():
        assert np.array_equal(made.read(name), array)


def test_executables_of_one_memory_share_parameters() -> None:
    network = mlp()
    made = step(network)
    looking = inference(network, batch_size=17, backend="numpy", memory=made.memory)
    judging = evaluation(network, batch_size=4, backend="numpy", memory=made.memory)
    for _ in range(5):
        run(made, x=X, label=LABELS)
    trained = parameters_of(made, network)
    assert trained == network and not np.array_equal(
        trained.parameters["linear1.bias"], network.parameters["linear1.bias"]
    )
    np.testing.assert_allclose(run(looking, x=X).read("output"), softmax(trained, X), rtol=1e-5)
    run(judging, x=X[:4], label=LABELS[:4])
    np.testing.assert_allclose(
        judging.read("loss"),
        -np.log(softmax(trained, X[:4])[range(4), LABELS[:4]]).mean(),
        rtol=1e-5,
    )
    again = step(network, memory=made.memory)  # what the memory holds stays
    assert np.array_equal(again.read("linear1.bias"), trained.parameters["linear1.bias"])
    assert again.read("optimiser.num_steps") == 5


def test_a_memory_of_another_network_is_refused() -> None:
    made = step(mlp())
    with pytest.raises(BackendError, match="state 'parameters.0'"):
        inference(two_outputs(), batch_size=2, backend="numpy", memory=made.memory)


def test_the_seed_decides_the_random_numbers() -> None:
    network = Network([("x", L.Input(5)), L.Dropout(0.5), L.Linear(3), L.Softmax()])

    def losses(seed: int) -> list[float]:
        made = step(network, seed=seed)
        return [float(run(made, x=X, label=LABELS).read("loss")) for _ in range(3)]

    assert losses(1) == losses(1) != losses(2)
    assert step(network, seed=2**63).read("random.seed") == 2**63


def test_state_of_an_optimiser_that_does_not_begin_at_zero() -> None:
    class Counting:
        def initialise(self, count: int) -> dict[str, np.ndarray]:
            return {"speed": np.full(count, 2.0), "t": np.asarray(7.0)}

        def update(self, state: Any, p: Any, g: Any) -> Any:
            return p - 0 * g, {"speed": state["speed"] + 1, "t": state["t"] + 1}

    made = run(step(mlp(), optimiser=Counting()), x=X, label=LABELS)
    assert made.read("optimiser.t") == 8 and (made.read("optimiser.0.speed") == 3).all()


def test_dtype_of_a_step() -> None:
    made = step(mlp(), dtype="float64")
    assert made.read("linear1.weights").dtype == np.float64 and made.network.dtype == "float64"


# losses by default, targets


def test_default_losses_and_targets() -> None:
    network = Network(
        [("x", L.Input(4)), node(L.linear_softmax(3), "s", "x"), node(L.Linear(2), "m", "x"),
         node([L.Linear(3), L.LogSoftmax()], "l", "x"), node(L.Embedding(3, 2), "e", "i"),
         ("i", L.Input(dtype="int32"))]
    )  # fmt: skip
    assert (
        default_loss(network, "s") == CategoricalCrossEntropy()
        and default_loss(network, "m") == MeanSquaredError()
    )
    assert default_loss(network, "l/log_softmax1") == NegativeLogLikelihood()
    assert target_spec(network, "s", SoftmaxCrossEntropy()) == Spec((), "int32")
    assert target_spec(network, "m", CentreLoss(9)) == Spec((), "int32")
    assert target_spec(network, "m", BinaryCrossEntropy()) == Spec((2,))
    assert network.inputs["i"] == Spec((), "int32")


def test_a_loss_of_ones_own_for_labels_gets_labels() -> None:
    class Own:
        def parameters(self, output: Spec, target: Spec) -> dict[str, Any]:
            return {}

        def terms(self, build: Any, output: Any, target: Any) -> Any:
            return (
                SoftmaxCrossEntropy().terms(build, output, target)
                if target.spec.rank == 1
                else self.refuse()
            )

        def refuse(self) -> Any:
            raise ShapeError("labels, please")

    assert target_spec(mlp(), "linear2", Own()) == Spec((), "int32")


def test_columns_of_a_data_set_say_what_the_targets_are() -> None:
    one_hot = np.eye(3)[LABELS]
    data = Arrays(x=X, label=one_hot)
    made = step(mlp(), columns=data.columns)
    assert made.columns["label"] == Spec((17, 3), "float64")
    loss = run(made, x=X, label=one_hot).read("loss")
    assert loss == pytest.approx(run(step(mlp()), x=X, label=LABELS).read("loss"), rel=1e-6)
    small = step(mlp(), columns={"label": Spec((), "uint8")})
    assert run(small, x=X, label=LABELS.astype(np.uint8)).read("loss") == pytest.approx(
        loss, rel=1e-6
    )


# errors


def message(call: Any) -> str:
    with pytest.raises((DescriptionError, ShapeError)) as error:
        call()
    return str(error.value)


def test_wrong_arguments_are_reported_at_once() -> None:
    text = message(
        lambda: step(
            two_outputs(), batch_size=0, optimiser=Adam, clip=-1, metrics=["corect"],
            loss={"a": MeanSquaredError, "d": MeanSquaredError(), "c": (MeanSquaredError(), "1")},
        )
    )  # fmt: skip
    for part in (
        "batch_size: expected an integer >= 1, given 0",
        "optimiser: expected an optimiser such as Adam(), given <class",
        "clip: expected a norm > 0, given -1",
        "metrics: none is named 'corect'; did you mean 'correct'?",
        "loss of a: expected a loss such as MeanSquaredError(), given <class",
        "loss: no output is named 'd'",
        "loss of c: expected a number as weight, given '1'",
    ):
        assert part in text, text


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"loss": MeanSquaredError()}, "loss: the network has the outputs a, c; name one"),
        ({"loss": {}}, "loss: expected the loss of at least one output of a, c, given none"),
        ({"target": {"a": "y"}}, "target: no column is named for the output 'c'"),
        (
            {"target": "x"},
            "target: 'x' is an input of the network; targets have a column of their own",
        ),
        (
            {"target": "label"},
            "target: 'label' would have to hold float32[2] and, for c, int32[]; say which by columns=",
        ),
        (
            {"clip": Clip(value=0.0), "target": {"a": "y", "c": "z"}},
            "clip: expected a value > 0, given 0.0",
        ),
    ],
)
def test_message(options: dict[str, Any], part: str) -> None:
    assert part in message(lambda: step(two_outputs(), **options))


def test_messages_of_write() -> None:
    made = step(mlp())
    assert "no column or parameter is named 'labels'; did you mean 'label'?" in message(
        lambda: made.write("labels", LABELS)
    )
    assert "did you mean 'linear1.weights'?" in message(lambda: made.write("linear1.weight", X))
    text = message(lambda: made.write("x", X[:5]))
    assert (
        "write 'x': expected a batch of 17, given 5; a batch of another size needs an executable of its own"
        in text
    )
    assert "write 'x': expected shape (17, 5), given (17, 6)" in message(
        lambda: made.write("x", np.ones((17, 6)))
    )
    wrong = LABELS.copy()
    wrong[4] = 3
    text = message(lambda: made.write("label", wrong))
    assert "labels for the output 'softmax1' lie in 0..2 (below 0: missing), given 3 at 4" in text
    made.write("label", np.where(LABELS == 1, -1, LABELS))  # a label below 0 is missing
    assert "expected dtype int32, given float64; convert it first" in message(
        lambda: made.write("label", LABELS * 1.0)
    )


def test_labels_are_checked_by_the_classes_of_the_loss() -> None:
    made = step(
        mlp(), loss={"softmax1": CategoricalCrossEntropy(), "linear1": CentreLoss(2)},
        target={"softmax1": "label", "linear1": "label"},
    )  # fmt: skip
    assert "labels for the output 'linear1' lie in 0..1" in message(
        lambda: made.write("label", LABELS)
    )


# predictions


@pytest.mark.parametrize("batch_size", [1, 5, 17, 256])
def test_one_prediction_per_input(batch_size: int) -> None:
    found = predict(mlp(), X, batch_size=batch_size, backend="numpy")
    assert isinstance(found, np.ndarray) and found.shape == (17, 3)
    np.testing.assert_allclose(found, softmax(mlp(), X), rtol=1e-5)


@settings(max_examples=15)
@given(st.integers(0, 20), st.integers(1, 7))
def test_any_number_of_inputs_and_any_batch_size(count: int, batch_size: int) -> None:
    x = np.arange(count * 5.0).reshape(count, 5) / 50
    found = predict(mlp(), x, batch_size=batch_size, backend="numpy")
    np.testing.assert_allclose(found, softmax(mlp(), x), rtol=1e-4, atol=1e-7)


def test_predictions_of_mappings_data_sets_and_several_outputs() -> None:
    network = two_outputs()
    found = predict(network, {"x": X}, batch_size=5, backend="numpy")
    assert isinstance(found, dict) and {n: a.shape for n, a in found.items()} == {
        "a": (17, 2),
        "c": (17, 3),
    }
    data = predict(network, Arrays(label=LABELS, x=X), batch_size=5, backend="numpy")
    assert all(np.array_equal(data[n], found[n]) for n in found)


def test_predictions_with_several_inputs_and_a_column_for_a_parameter() -> None:
    network = Network(
        [("x", L.Input(5)), node(L.Linear(2), "a", bindings={"weights": column("w"), "bias": 0}), ("y", L.Input(2)),
         node(L.Join("+"), parents=["a", "y"])]
    )  # fmt: skip
    w, y = RNG.normal(size=(2, 5)), RNG.normal(size=(17, 2))
    found = predict(network, {"x": X, "y": y, "w": w}, batch_size=5, backend="numpy")
    np.testing.assert_allclose(found, X @ w.T + y, rtol=1e-4, atol=1e-6)
    assert "the network reads x, y, w; expected a mapping of arrays" in message(
        lambda: predict(network, X)
    )
    assert "no input is named 'v'; known: w, x, y" in message(
        lambda: predict(network, {"x": X, "v": y})
    )
    assert "the input 'w' is missing; given: x, y" in message(
        lambda: predict(network, {"x": X, "y": y})
    )
    text = message(lambda: predict(network, {"x": X, "y": y[:3], "w": w}))
    assert "the inputs must have one length, given x 17, y 3" in text
    assert "x: expected an array [n, ...], given one number" in message(lambda: predict(mlp(), 3.0))
    assert "no column is named 'x'" in message(lambda: predict(mlp(), Arrays(z=X)))


def test_an_output_that_does_not_depend_on_the_input_is_repeated() -> None:
    network = Network(
        [
            ("x", L.Input(2)),
            node(L.Linear(3), "code", constant([1.0, 2.0])),
            node(L.Identity(), "same", "x"),
        ],
        outputs=["code", "same"],
    )
    found = predict(network, RNG.normal(size=(7, 2)), batch_size=3, backend="numpy")
    assert (
        isinstance(found, dict)
        and found["code"].shape == (7, 3)
        and (found["code"] == found["code"][0]).all()
    )


# the other calls


def test_messages_of_other_calls() -> None:
    assert "batch_size: expected an integer >= 1, given 'a'" in message(
        lambda: inference(mlp(), batch_size="a")
    )
    assert "batch_size" in message(lambda: evaluation(mlp(), batch_size=-1))
    assert "batch_size" in message(lambda: gradients(mlp(), wrt="x", batch_size=True))
    assert "batch_size: expected an integer >= 1, given 0" in message(
        lambda: predict(mlp(), X, batch_size=0)
    )
    inputs = mlp().with_outputs("x")
    assert "'x' is an input of the network; put an Identity() behind it" in message(
        lambda: inference(inputs, batch_size=1)
    )


# summary


def test_summary_shows_shapes_parameters_and_the_bytes_of_the_plan() -> None:
    network = Network(
        [("x", L.Input(5)), node(L.Linear(4), l2=0.01), L.BatchNormalisation(),
         node(L.Linear(4), "b", "x", bindings={"weights": "linear1.weights"}),
         node(L.Join("+"), parents=["batch_normalisation1", "b"]), L.Linear(3), L.Softmax()]
    ).freeze("linear2")  # fmt: skip
    text = network.summary(17, backend="numpy", optimiser=Sgd(0.1, momentum=0.9))
    rows = {line.split()[0]: line for line in text.splitlines() if line}
    assert (
        "Linear(4)" in rows["linear1"] and "24" in rows["linear1"] and "l2 0.01" in rows["linear1"]
    )
    assert "weights = linear1.weights" in rows["b"] and "frozen" in rows["linear2"]
    assert (
        f"{network.parameter_count} parameters (float32), 15 of them frozen, 8 statistics" in text
    )
    assert "outputs: softmax1" in text
    trained = step(network, optimiser=Sgd(0.1, momentum=0.9)).report
    seen = inference(network, batch_size=17, backend="numpy").report
    for kind, size in trained.bytes.items():
        assert rows[kind].split()[1:] == [f"{size:,}", f"{seen.bytes[kind]:,}"]
    assert rows["total"].split()[1:] == [f"{trained.total:,}", f"{seen.total:,}"]
    assert "training step" not in network.freeze().summary(2, backend="numpy")
    assert str(network) == network.summary()
    assert "int32" in str(Network([L.Input(3, dtype="int32"), L.Embedding(4, 2)]))
    assert repr(mlp()) == "Network(5 nodes, 39 parameters, outputs softmax1)"
    assert "total" in two_outputs().summary(3, backend="numpy")
