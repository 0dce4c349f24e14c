"""A network as text and in the DOT language; matplotlib is not needed."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from cortex import Network, node
from cortex.layers import Input, Join, Linear, Relu, Split
from cortex.models import lenet
from cortex.visualization import network_dot, network_text


def branches() -> Network:
    return Network([
        ("x", Input(8)), ("a", Linear(4)), ("r", Relu()), node(Linear(4), "b", parents="x"),
        node(Join("+"), "sum", parents=["r", "b"]), ("c", Linear(2)), node(Linear(3), "d", parents="sum"),
    ])  # fmt: skip


def test_a_chain_is_one_rail() -> None:
    lines = network_text(lenet()).splitlines()
    assert len(lines) == 11
    assert all(line.startswith("o  ") for line in lines)
    assert lines[1].split()[1:3] == ["convolution1", "Convolution(20,"] and lines[1].endswith(
        "[20, 24, 24]"
    )


def test_branches_have_rails_of_their_own() -> None:
    rails = {line[4:].split()[0]: line[:3] for line in network_text(branches()).splitlines()}
    assert rails == {
        "x": "o  ",
        "a": "| o",
        "r": "| o",
        "b": "o |",
        "sum": "o /",
        "c": "| o",
        "d": "o  ",
    }


def test_dot_has_a_box_per_node_and_an_edge_per_input() -> None:
    text = network_dot(branches())
    edges = re.findall(r'"(\w+)" -> "(\w+)"', text)
    expected = [
        ("x", "a"),
        ("a", "r"),
        ("x", "b"),
        ("r", "sum"),
        ("b", "sum"),
        ("sum", "c"),
        ("sum", "d"),
    ]
    assert sorted(edges) == sorted(expected)
    assert '"x" -> "a" [label="[8]"]' in text
    for name in ("c", "d"):
        assert re.search(rf'"{name}" \[label=.*penwidth=2', text), "outputs stand out"


def test_shared_parameters_are_dashed() -> None:
    network = Network([
        ("x", Input(4)), ("one", Linear(4)),
        node(Linear(4), "two", bindings={"weights": "one.weights"}),
    ])  # fmt: skip
    assert '"one" -> "two" [style=dashed, label="weights"]' in network_dot(network)
    assert [line[0] for line in network_text(network).splitlines()] == ["o", "o", "o"]


def test_outputs_of_a_split_carry_their_own_shapes() -> None:
    network = Network([("x", Input(8)), ("s", Split((3, 5))), node(Linear(3), "y", parents="s:1")])
    shape = ", ".join(map(str, network.specs["s:1"].shape))
    assert f'"s" -> "y" [label="[{shape}]"]' in network_dot(network)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_accepts_it() -> None:
    done = subprocess.run(
        ["dot", "-Tsvg"], input=network_dot(branches()), capture_output=True, text=True
    )
    assert done.returncode == 0 and "<svg" in done.stdout, done.stderr
