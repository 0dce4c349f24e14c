"""Weights and editing: what is drawn from what, and that editing keeps what stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cortex import layers as L
from cortex.compute.errors import DescriptionError
from cortex.compute.spec import Spec
from cortex.initialisers import Constant, Normal
from cortex.network import Network, node
from cortex.network.weights import Drawn


def network(**options: Any) -> Network:
    """Weights as if trained: random everywhere, biases too."""
    plain = Network(
        [
            ("x", L.Input(5)),
            L.Linear(4),
            L.BatchNormalisation(),
            L.Relu(),
            L.Linear(3),
            L.Softmax(),
        ],
        **options,
    )
    rng = np.random.default_rng(3)
    return plain.with_parameters(
        {n: rng.normal(size=s.shape) for n, s in plain.parameter_specs.items()}
    )


def kept(old: Network, new: Network, names: dict[str, str] | None = None) -> set[str]:
    """The parameters of the new network that are those of the old, bit for bit."""
    before = {(names or {}).get(n, n): a for n, a in old.parameters.items()}
    return {n for n, a in new.parameters.items() if n in before and np.array_equal(a, before[n])}


def problem(call: Callable[[], Any]) -> str:
    with pytest.raises(DescriptionError) as error:
        call()
    return str(error.value)


# weights


def test_initial_weights_depend_on_seed_and_name_alone() -> None:
    short = Network([L.Input(5), L.Linear(4), L.Linear(3)], seed=9)
    long = Network(
        [L.Input(5), L.Linear(4), ("extra", L.Linear(4)), ("linear2", L.Linear(3))], seed=9
    )
    assert kept(short, long) == set(short.parameters)
    other = short.with_seed(10)
    assert not np.array_equal(
        other.parameters["linear1.weights"], short.parameters["linear1.weights"]
    )
    assert not np.array_equal(
        Network([L.Input(5), ("a", L.Linear(5)), ("b", L.Linear(5))]).parameters["a.weights"],
        Network([L.Input(5), ("a", L.Linear(5)), ("b", L.Linear(5))]).parameters["b.weights"],
    )


def test_the_first_weights_of_a_seed_never_change() -> None:
    first = Network(
        [L.Input(2), node(L.Linear(1), "a", initialiser=Normal(1.0))], seed=1, dtype="float64"
    )
    # A release that changed these numbers would change every experiment that names its seed.
    assert first.parameters["a.weights"].tolist() == [[-1.228005841153215, 0.10023243184540315]]


def test_parameters_are_drawn_lazily_and_are_read_only() -> None:
    drawn = []

    class Counting:
        def __call__(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
            drawn.append(shape)
            return np.zeros(shape)

    made = Network(
        [L.Input(2), node(L.Linear(3), parameters={"weights": {"initialiser": Counting()}})]
    )
    assert made.parameter_count == 9 and not drawn
    assert made.parameters and made.parameters and drawn == [(3, 2)]
    with pytest.raises(ValueError, match="read-only"):
        made.parameters["linear1.weights"][0, 0] = 1.0


def test_an_initialiser_that_gives_nonsense_is_named() -> None:
    wrong = node(L.Linear(2), initialiser=lambda generator, shape: np.full(shape, np.nan))
    with pytest.raises(
        DescriptionError, match=r"linear1.weights: .* must give finite numbers of shape \(2, 3\)"
    ):
        _ = Network([L.Input(3), wrong]).parameters


def test_with_parameters_copies_and_checks_everything_at_once() -> None:
    old = network()
    array = np.ones((3, 4))
    new = old.with_parameters({"linear2.weights": array})
    array[:] = 5
    assert (new.parameters["linear2.weights"] == 1).all() and new.parameters[
        "linear2.weights"
    ].dtype == np.float32
    assert kept(old, new) == set(old.parameters) - {"linear2.weights"}
    message = problem(
        lambda: old.with_parameters(
            {"linear2.wieghts": array, "linear1.bias": np.ones(3), "linear2.bias": ["a"] * 3}
        )
    )
    assert "no parameter is named 'linear2.wieghts'; did you mean 'linear2.weights'?" in message
    assert "linear1.bias: expected shape (4,), given (3,)" in message
    assert "linear2.bias: expected numbers, given <U1" in message


def test_dtype_changes_with_the_weights() -> None:
    wide = network().with_dtype("float64")
    assert wide.inputs["x"] == Spec((5,), "float64")
    assert {a.dtype.name for a in wide.parameters.values()} == {"float64"}
    assert kept(network(), wide.with_dtype("float32")) == set(wide.parameters)


# editing

STAYS = {"linear1.weights", "linear1.bias", "batch_normalisation1.scale", "batch_normalisation1.bias",
         "batch_normalisation1.running_mean", "batch_normalisation1.running_variance"}  # fmt: skip


def test_append() -> None:
    old = network()
    new = old.append(L.Linear(2), ("end", L.Softmax()))
    assert new["linear3"].parents == ("softmax1",) and new.outputs == ("end",)
    assert kept(old, new) == set(old.parameters)
    assert old.outputs == ("softmax1",)
    named = old.with_outputs("softmax1", "relu1").append(L.Concatenate())
    assert named["concatenate1"].parents == ("softmax1", "relu1") and named.outputs == (
        "concatenate1",
    )


def test_append_keeps_weights_that_were_never_drawn() -> None:
    old = Network([L.Input(3), L.Linear(2)])
    assert kept(Network([L.Input(3), L.Linear(2)]), old.append(L.Relu())) == set(old.parameters)


def test_insert() -> None:
    old = network()
    new = old.insert(L.Dropout(0.5), L.Scale(2.0), after="relu1")
    assert new["dropout1"].parents == ("relu1",) and new["linear2"].parents == ("scale1",)
    assert [n.name for n in new.nodes][3:7] == ["relu1", "dropout1", "scale1", "linear2"]
    assert kept(old, new) == set(old.parameters)
    assert old.insert(("d", L.Dropout(0.5)), before="linear2")["linear2"].parents == ("d",)
    assert old.with_outputs("softmax1").insert(("s", L.Scale(2.0)), after="softmax1").outputs == (
        "s",
    )
    assert "expected either after= or before=, the name of a node" in problem(
        lambda: old.insert(L.Relu())
    )
    assert "no node is named 'rleu1'; did you mean 'relu1'?" in problem(
        lambda: old.insert(L.Relu(), after="rleu1")
    )


def test_remove() -> None:
    old = network()
    new = old.remove("softmax1", "relu1", "batch_normalisation1")
    assert new["linear2"].parents == ("linear1",) and new.outputs == ("linear2",)
    assert kept(old, new) == {"linear1.weights", "linear1.bias", "linear2.weights", "linear2.bias"}
    assert old.with_outputs("softmax1").remove("softmax1").outputs == ("linear2",)
    shared = old.append(node(L.Linear(4), "s", "x", bindings={"weights": "linear1.weights"}))
    message = problem(lambda: shared.remove("linear1"))
    assert (
        "s uses 'linear1.weights', which would be removed; bind it to something else first"
        in message
    )
    assert "no node is named 'linear9'; did you mean" in problem(lambda: old.remove("linear9"))


def test_replace() -> None:
    old = network()
    new = old.replace("linear2", L.Linear(7))
    assert new.specs["softmax1"] == Spec((7,)) and kept(old, new) == STAYS
    same = old.replace("linear2", L.Linear(3))
    assert kept(old, same) == STAYS  # the new layer starts anew even in the same shape
    moved = old.replace("linear2", node(L.Linear(3), parents="x", l2=0.5))
    assert moved["linear2"].parents == ("x",) and moved.attributes("linear2.weights").l2 == 0.5


def test_rename() -> None:
    old = network()
    names = {"linear1.weights": "first.weights", "linear1.bias": "first.bias"}
    new = old.rename(linear1="first")
    assert new["batch_normalisation1"].parents == ("first",)
    assert kept(old, new, names) == set(new.parameters)
    fresh = Network([L.Input(3), L.Linear(2)])
    assert np.array_equal(
        fresh.parameters["linear1.weights"], fresh.rename(linear1="a").parameters["a.weights"]
    )
    composite = Network([L.Input(3), ("body", [L.Linear(2), L.Relu()])]).rename({"body": "head"})
    assert [n.name for n in composite.nodes] == ["input1", "head/linear1", "head/relu1"]
    assert "two nodes have this name" in problem(lambda: old.rename(linear1="linear2"))
    assert old.with_outputs("softmax1").rename(softmax1="s").outputs == ("s",)


def test_freeze_and_unfreeze() -> None:
    old = network()
    new = old.freeze(up_to="relu1")
    assert [n for n, _ in new.parameters.items() if new.attributes(n).frozen] == sorted(
        STAYS, key=list(new.parameters).index
    )
    assert kept(old, new) == set(old.parameters)
    assert not any(new.unfreeze().attributes(n).frozen for n in new.parameters)
    one = old.freeze("linear1.weights")
    assert one.attributes("linear1.weights").frozen and not one.attributes("linear1.bias").frozen
    assert not one.unfreeze("linear1").attributes("linear1.weights").frozen
    assert all(old.freeze().is_frozen(n.name) for n in old.nodes)
    assert "no parameter is named 'linear1.wights'; did you mean" in problem(
        lambda: old.freeze("linear1.wights")
    )
    body = Network([L.Input(3), ("body", [L.Linear(2), L.Linear(2)])]).freeze("body")
    assert body.is_frozen("body/linear1") and body.is_frozen("body/linear2")


def test_with_attributes() -> None:
    old = network()
    new = old.with_attributes("linear1", l2=0.5, max_norm=2.0).with_attributes(
        "linear1.bias", l1=0.25
    )
    assert new.attributes("linear1.weights").l2 == 0.5 and new.attributes("linear1.bias").l1 == 0.25
    assert kept(old, new) == set(old.parameters)
    drawn = old.with_attributes("linear1", initialiser=Constant(3.0))
    assert (drawn.parameters["linear1.weights"] == 3).all()
    assert kept(old, drawn) == set(old.parameters) - {"linear1.weights"}
    assert "no attribute is named 'l3'" in problem(lambda: old.with_attributes("linear1", l3=1))


def test_resize_input() -> None:
    old = network()
    new = old.resize_input(8)
    assert new.specs["x"] == Spec((8,)) and kept(old, new) == set(old.parameters) - {
        "linear1.weights"
    }
    image = Network(
        [("image", L.Input(1, 8, 8)), L.Convolution(2, 3), L.GlobalAveragePooling(), L.Linear(2)]
    )
    assert kept(image, image.resize_input((1, 16, 12), name="image")) == set(image.parameters)
    two = Network([("a", L.Input(2)), ("b", L.Input(2)), node(L.Join("+"), parents=["a", "b"])])
    assert "the network has inputs a, b; say which by name=" in problem(lambda: two.resize_input(3))
    assert "no input is named 'c'" in problem(lambda: two.resize_input(3, name="c"))


def test_with_outputs() -> None:
    assert network().with_outputs("relu1").outputs == ("relu1",)
    assert network().with_outputs("relu1").with_outputs().outputs == ("softmax1",)
    assert "outputs: no node 'rulu1'; did you mean 'relu1'?" in problem(
        lambda: network().with_outputs("rulu1")
    )


def test_sources_of_untouched_weights_stay_undrawn() -> None:
    edited = Network([L.Input(3), L.Linear(2)]).append(L.Relu()).rename(linear1="a").freeze("a")
    assert all(isinstance(s, Drawn) for s in edited.sources.values())
