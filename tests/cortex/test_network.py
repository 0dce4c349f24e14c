"""Networks as values: forms of construction, names, shapes, JSON, every error."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex import layers as L
from cortex.compute.errors import DescriptionError
from cortex.compute.spec import Spec
from cortex.initialisers import He, Orthogonal, Xavier
from cortex.network import Attributes, Network, column, constant, node
from cortex.network.weights import Drawn


def problems(*items: Any, **options: Any) -> tuple[str, ...]:
    with pytest.raises(DescriptionError) as error:
        Network(list(items), **options)
    return error.value.problems


def names(network: Network) -> list[str]:
    return [n.name for n in network.nodes]


def lenet() -> Network:
    return Network(
        [
            ("image", L.Input(1, 28, 28)),
            L.Convolution(20, 5),
            L.MaxPooling(2),
            L.Convolution(50, 5),
            L.MaxPooling(2),
            L.Linear(500),
            L.Relu(),
            L.Linear(10),
            L.Softmax(),
        ]
    )


def block() -> Network:
    return Network([L.Input(6), L.Linear(6), L.Relu()])


FORMS = {
    "chain": lenet,
    "nested lists": lambda: Network([L.Input(3), [L.Linear(4), [L.Relu(), L.Linear(2)]]]),
    "named list": lambda: Network([L.Input(3), ("body", [L.Linear(4), ("act", L.Relu())]), L.Linear(2)]),
    "graph": lambda: Network(
        [
            ("left", L.Input(3)),
            ("right", L.Input(5)),
            node(L.Linear(4), "a", "left"),
            node(L.Linear(4), "b", "right"),
            node(L.Join("+"), parents=["a", "b"]),
        ]
    ),
    "several outputs": lambda: Network(
        [L.Input(3), ("trunk", L.Linear(4)), node(L.Linear(2), "a"), node(L.Linear(1), "b", "trunk")],
        outputs=["b", "a", "trunk"],
    ),
    "split": lambda: Network([L.Input(4), L.Split((2, 2)), node(L.Linear(2), "one", "split1:1")]),
    "network inside": lambda: Network([L.Input(6), block(), ("second", block()), L.Linear(2)]),
    "shared": lambda: Network(
        [L.Input(4), ("a", L.Linear(4)), node(L.Linear(4), "b", bindings={"weights": "a.weights"})]
    ),
    "hypernetwork": lambda: Network(
        [
            L.Input(3),
            node(L.Linear(6), "hyper", parents=constant([0.5, 1.0])),
            node(L.Linear(2), "main", "input1", bindings={"weights": "hyper", "bias": 0}),
        ]
    ),
    "column": lambda: Network([L.Input(3), node(L.Linear(2), bindings={"bias": column("offset")})]),
    "own weights": lambda: Network(
        [L.Input(3), ("a", L.Linear(2)), node(L.Flatten(), "read", "a.weights")], outputs=["a", "read"]
    ),
    "attributes": lambda: Network(
        [
            L.Input(3),
            node(
                L.Linear(2), l2=0.1, frozen=True, initialiser=Orthogonal(),
                parameters={"bias": {"learning_rate_factor": 2, "frozen": False}},
            ),
        ],
        seed=7, dtype="float64",
    ),
    "composite layers": lambda: Network([L.Input(3), L.Residual([L.Linear(3), L.Relu()]), L.linear_softmax(2)]),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_description_survives_json(form: str) -> None:
    network = FORMS[form]()
    again = Network.from_data(json.loads(json.dumps(network.to_data())))
    assert again == network
    assert again.specs == network.specs and again.outputs == network.outputs
    assert all(
        np.array_equal(a, b)
        for a, b in zip(again.parameters.values(), network.parameters.values(), strict=True)
    )
    assert pickle.loads(pickle.dumps(network)) == network  # noqa: S301 (our own bytes)


def test_lenet_has_the_published_shapes_and_count() -> None:
    network = lenet()
    assert names(network)[1:4] == ["convolution1", "max_pooling1", "convolution2"]
    assert network.parameter_count == 431_080
    assert network.specs["max_pooling2"] == Spec((50, 4, 4)) and network.outputs == ("softmax1",)
    assert network.inputs == {"image": Spec((1, 28, 28))}
    assert network.parameter_specs["linear1.weights"] == Spec((500, 800))


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=5),
    st.integers(1, 9),
    st.integers(0, 2**64 - 1),
)
def test_any_chain_survives_json(widths: list[int], inputs: int, seed: int) -> None:
    network = Network([L.Input(inputs), *map(L.Linear, widths)], seed=seed)
    assert Network.from_data(json.loads(json.dumps(network.to_data()))) == network
    sizes = [inputs, *widths]
    assert network.parameter_count == sum((a + 1) * b for a, b in zip(sizes, widths, strict=False))


def test_names_skip_those_that_are_given() -> None:
    network = Network(
        [L.Input(3), L.Linear(2), ("linear2", L.Linear(2)), L.Linear(2), L.BatchNormalisation()]
    )
    assert names(network) == ["input1", "linear1", "linear2", "linear3", "batch_normalisation1"]


def test_names_of_a_composite() -> None:
    network = FORMS["network inside"]()
    assert names(network) == [
        "input1", "network1/linear1", "network1/relu1", "second/linear1", "second/relu1", "linear1",
    ]  # fmt: skip
    assert network["second/linear1"].parents == ("network1/relu1",)
    inside = Network(
        [L.Input(3), ("body", [("first", L.Linear(3)), L.Relu(), node(L.Join("+"), parents=["first", "relu1"])]),
         node(L.Linear(2), parents="body")]
    )  # fmt: skip
    assert inside["body/join1"].parents == ("body/first", "body/relu1")
    assert inside["linear1"].parents == ("body/join1",)


def test_a_network_inside_brings_trained_weights_but_not_initial_ones() -> None:
    inner = block()
    twice = Network([L.Input(6), inner, inner])
    one, two = (
        twice.parameters["network1/linear1.weights"],
        twice.parameters["network2/linear1.weights"],
    )
    assert not np.array_equal(one, two)
    trained = inner.with_parameters({"linear1.weights": np.full((6, 6), 2.5)})
    assert (Network([L.Input(6), ("a", trained)]).parameters["a/linear1.weights"] == 2.5).all()
    with pytest.raises(
        DescriptionError,
        match=r"a/linear1.weights: the network inside has weights of shape \(6, 6\)",
    ):
        Network([L.Input(5), ("a", trained)])


def test_attributes_of_a_composite_reach_its_nodes() -> None:
    network = Network(
        [L.Input(6), node(block(), "a", frozen=True), node([L.Linear(3)], "b", l2=0.5)]
    )
    assert (
        network.attributes("a/linear1.weights").frozen
        and network.attributes("b/linear1.weights").l2 == 0.5
    )


def test_attributes_of_a_parameter_win() -> None:
    network = FORMS["attributes"]()
    assert network.attributes("linear1.weights") == Attributes(
        Orthogonal(), None, True, None, 0.1, None
    )
    assert network.attributes("linear1.bias") == Attributes(
        None, 2, False
    )  # l2 and initialiser are for weights


def test_leaves_are_the_outputs_unless_named() -> None:
    assert FORMS["graph"]().outputs == ("join1",)
    assert FORMS["several outputs"]().outputs == ("b", "a", "trunk")
    assert Network([L.Input(4), L.Split((2, 2))]).outputs == ("split1:0", "split1:1")
    assert FORMS["hypernetwork"]().outputs == ("main",)


def test_networks_compare_by_description_and_do_not_change() -> None:
    assert lenet() == lenet() and lenet() != lenet().with_seed(1) and lenet() != "lenet"
    assert lenet().with_parameters({"linear2.bias": np.ones(10)}) == lenet()
    with pytest.raises(
        AttributeError, match="a network does not change; editing returns a new one"
    ):
        lenet().seed = 3  # type: ignore[misc]
    with pytest.raises(KeyError, match="did you mean 'linear1'"):
        lenet()["linaer1"]


def test_the_initialiser_follows_the_activation() -> None:
    network = Network([L.Input(4), L.Linear(4), L.Dropout(0.1), L.Relu(), L.Linear(2)])
    chosen = {
        n: s.initialiser
        for n, s in network.sources.items()
        if isinstance(s, Drawn) and "weights" in n
    }
    assert chosen == {"linear1.weights": He(), "linear2.weights": Xavier()}


# errors: each message once


def test_all_problems_are_reported_at_once() -> None:
    found = problems(
        L.Input(4), node(L.Linear(3), parents="imput1"), L.Linear, node(L.Linear(3), bindings={"wieghts": 0}),
        node(L.Linear(3), "x", "input1", bindings={"bias": constant([1, 2])}),
        node(L.Concatenate(), parents=["x", "y.weights"]), dtype="float3", seed=-1,
    )  # fmt: skip
    text = "\n".join(found)
    assert "given the class Linear; write Linear(...)" in text
    assert "linear1: it reads 'imput1', but no node has that name; did you mean 'input1'?" in text
    assert "concatenate1: it reads 'y.weights', but no node has that name" in text
    assert "x (Linear): a constant of shape (2,) is bound to a parameter that asks for (3,)" in text
    assert (
        "dtype: expected one of float32, float64, given 'float3'; did you mean 'float32'?" in text
    )
    assert "seed: expected an integer from 0 to 2^64 - 1, given -1" in text
    assert len(found) == 6  # linear2 reads linear1, which is unknown, and says nothing


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "a network has at least one node, an Input; given none"),
        ([L.Input(2), 3], 'item 2: expected a layer, ("name", layer)'),
        ([L.Input(2), ("a", L.Relu()), ("a", L.Relu())], "'a': two nodes have this name; names are unique"),
        ([L.Input(2), ("a.b", L.Relu())], "'a.b': a name is a word without spaces, '.' and ':'"),
        ([("loss", L.Input(2))], "'loss': the name is reserved; reserved are gradient, loss, metric"),
        ([L.Linear(3)], "linear1 (Linear): Linear: expected 1 input, given 0 (none)"),
        (
            [L.Input(2), node(L.Join("+"), "a", ["input1", "b"]), node(L.Relu(), "b", "a")],
            "a: the nodes form a cycle, each needing the one behind it: a -> b -> a",
        ),
        (
            [L.Input(2), node(L.Linear(2), "a", bindings={"bias": "b.bias"}),
             node(L.Linear(2), "b", bindings={"bias": "a.bias"})],
            "a.bias: shared in a circle: a.bias -> b.bias -> a.bias",
        ),
        (
            [L.Input(2), node(L.Linear(2), bindings={"wieghts": 0.0})],
            "linear1 (Linear): the layer has no parameter 'wieghts'; did you mean 'weights'?",
        ),
        (
            [L.Input(2), node(L.Linear(2), parameters={"bais": {"l2": 1}})],
            "linear1 (Linear): the layer has no parameter 'bais'; did you mean 'bias'?",
        ),
        (
            [L.Input(2), ("a", L.Linear(3)), node(L.Linear(3), "b", bindings={"weights": "a.weights"})],
            "b (Linear): parameter 'weights' asks for (3, 3), a.weights has (3, 2)",
        ),
        (
            [L.Input(2), ("a", L.Linear(3)), node(L.Linear(3), "b", bindings={"weights": "a.weight"})],
            "b (Linear): a has no parameter 'weight'; did you mean 'weights'?",
        ),
        (
            [L.Input(2), ("a", L.Linear(6)), node(L.Linear(3), "b", "input1", bindings={"weights": "a"})],
            "b (Linear): parameter 'weights' asks for (3, 2); it is bound to the output a of float32[2, 6], which must "
            "be [1, ...] whatever the batch size and have 6 float elements",
        ),
        (
            [L.Input(4), L.Split((2, 2)), node(L.Relu(), parents="split1:2")],
            "relu1 (Relu): 'split1:2': split1 has 2 outputs, counted from 0",
        ),
        (
            [L.Input(2), node(L.Linear(2), bindings={"bias": "linear1.x"}, parameters={"bias": {"l2": 1}})],
            "parameter 'bias' is bound to 'linear1.x' and has no attributes of its own; give them to what it is",
        ),
        (
            [L.Input(2), node(L.BatchNormalisation(), bindings={"running_mean": 0.0})],
            "batch_normalisation1 (BatchNormalisation): 'running_mean' is a statistic of the layer and cannot be bound",
        ),
        ([L.Input(2), node(L.Relu(), parents=[column("x")])], "relu1: data from the column 'x'; declare an Input"),
        (
            [L.Input(2), node(L.Linear(2), bindings={"bias": column("c"), "weights": column("c")})],
            "linear1 (Linear): column 'c' has shape (2, 2) for one parameter and is bound to (2,)",
        ),
        ([L.Input(6), node(block(), "n", ["input1", "input1"])], "n: the network has 1 inputs (input1), given 2"),
        ([L.Input(6), node(block(), "n", bindings={"weights": 0})], "n: bindings and parameter attributes belong to"),
    ],
)  # fmt: skip
def test_message(items: list[Any], message: str) -> None:
    assert any(message in p for p in problems(*items)), problems(*items)


def test_unknown_output_is_named() -> None:
    assert problems(L.Input(2), L.Linear(2), outputs="liner1") == (
        "outputs: no node 'liner1'; did you mean 'linear1'?",
    )


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"l3": 1}, "no attribute is named 'l3'; did you mean 'l2'?"),
        ({"l2": -1}, "l2: expected a number of at least 0, given -1"),
        ({"max_norm": 0}, "max_norm: expected a number above 0, given 0"),
        ({"frozen": 1}, "frozen: expected True or False, given 1"),
        ({"initialiser": "he"}, "initialiser: expected an initialiser such as He(), given 'he'"),
        (
            {"parameters": {"bias": {"learning_rate": 1}}},
            "parameter 'bias': no attribute is named 'learning_rate'",
        ),
        ({"bindings": {"bias": object()}}, "parameter 'bias': expected numbers, given"),
    ],
)
def test_message_of_node(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(DescriptionError) as error:
        node(L.Linear(2), **attributes)
    assert message in str(error.value)


def test_errors_in_data_are_reported_at_once_with_the_names_of_nodes() -> None:
    data = {
        "version": 1, "sed": 3,
        "nodes": [
            {"type": "Input", "shape": [4]},
            {"name": "a", "layer": {"type": "Liner", "units": 3}},
            {"name": "b", "layer": {"type": "Linear", "unit": 3}, "parents": ["a"]},
            {"name": "c", "layer": {"type": "Linear", "units": 3}, "parent": ["q"], "parents": ["input2"]},
            {"name": "d", "layer": {"type": "Relu"}, "attributes": {"l1": "x", "initialiser": {"type": "Hee"}}},
            {"name": "e", "layer": {"type": "Relu"}, "bindings": {"slope": {"const": 1}}, "parents": "b"},
            7,
        ],
    }  # fmt: skip
    with pytest.raises(DescriptionError) as error:
        Network.from_data(data)
    text = "\n".join(error.value.problems)
    for message in (
        "no field is named 'sed'; did you mean 'seed'?",
        "a: no layer has the type 'Liner'; did you mean 'Linear'?",
        "b: Linear: no field is named 'unit'; did you mean 'units'?",
        "c: no field is named 'parent'; did you mean 'parents'?",
        "c: it reads 'input2', but no node has that name; did you mean 'input1'?",
        "d: l1: expected a number of at least 0, given 'x'",
        "d: attributes: no initialiser has the type 'Hee'",
        'e: bindings.slope: expected a reference such as "conv1"',
        "node 7: expected an object with a 'layer', or a layer with a 'type', given 7",
    ):
        assert message in text, text


def test_short_data_are_understood() -> None:
    data = {
        "nodes": [
            {"type": "Input", "shape": [4]},
            [{"type": "Linear", "units": 3}, {"type": "Relu"}],
        ]
    }
    assert Network.from_data(data) == Network([L.Input(4), L.Linear(3), L.Relu()])


def test_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    from cortex.network import data as module

    old = {"version": 0, "layers": [{"type": "Input", "shape": [4]}]}
    monkeypatch.setitem(module.UPGRADES, 0, lambda d: {"version": 1, "nodes": d["layers"]})
    assert Network.from_data(old) == Network([L.Input(4)])
    with pytest.raises(
        DescriptionError, match="this cortex reads versions up to 1, given 2; update cortex"
    ):
        Network.from_data({"version": 2})
    with pytest.raises(
        DescriptionError, match="expected an object whose 'format' is 'cortex network', given 'x'"
    ):
        Network.from_data({"format": "x"})
    with pytest.raises(DescriptionError, match="given 'list'"):
        Network.from_data([])  # type: ignore[arg-type]


def test_a_function_without_a_name_cannot_be_stored() -> None:
    with pytest.raises(DescriptionError, match="activation1: .*has no name to store"):
        Network([L.Input(2), L.Activation(lambda x: x * 2)]).to_data()


def test_a_users_layer_with_a_plain_signature_gets_a_clear_message() -> None:
    class Two:
        def parameters(self, left: Spec, right: Spec) -> dict[str, Any]:
            return {}

        def forward(self, build: Any, left: Any, right: Any) -> Any:
            return left + right

    assert problems(L.Input(2), Two()) == (
        "two1 (Two): expected 2 inputs (left, right), given 1: float32[2, 2]",
    )

    class Transposing:
        def parameters(self, x: Spec) -> dict[str, Any]:
            return {}

        def forward(self, build: Any, x: Any) -> Any:
            from cortex.compute.ops import Transpose

            return build.apply(Transpose((1, 0)), x)

    assert problems(L.Input(3), Transposing()) == (
        "transposing1 (Transposing): axis 0 of every output is the batch; for a batch of 2 the layer gives "
        "float32[3, 2]",
    )
