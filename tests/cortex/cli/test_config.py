"""The schema of configs: defaults, precedence, paths, losses; each file is checked as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cortex.cli.config import FIELDS, Config, loss_of, network_of, optimiser_of, read_config
from cortex.compute.errors import DescriptionError
from cortex.losses import Huber, MeanSquaredError, SoftmaxCrossEntropy
from cortex.optimise import Adadelta, Adam, Sgd

NODES = [{"type": "Input", "shape": [4]}, {"type": "Linear", "units": 3}]


def written(folder: Path, data: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(data))
    return path


def test_a_network_alone_is_a_config(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, {"nodes": NODES}))
    assert config.epochs == 5 and config.batch_size == 64 and config.backend == "auto"
    assert network_of(config).parameter_count == 15


def test_a_config_survives_its_own_data(tmp_path: Path) -> None:
    data = {"network": {"nodes": NODES}, "data": "iris", "epochs": 3, "loss": "huber", "seed": 8}
    config = read_config(written(tmp_path, data))
    assert (
        read_config(written(tmp_path, {"name": "x", "cortex": "9", **config.to_data()})) == config
    )
    assert set(Config(network="lenet").to_data()) <= set(FIELDS)


def test_paths_are_relative_to_the_config(tmp_path: Path) -> None:
    data = {"network": "mlp", "data": "a.npz", "test": "mnist", "data_dir": "d"}
    config = read_config(written(tmp_path, data))
    assert config.data == str(tmp_path / "a.npz") and config.test == "mnist"
    assert config.data_dir == str(tmp_path / "d")


def test_one_seed_is_enough_and_two_are_possible(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, {"network": {"nodes": NODES}, "seed": 5}))
    assert network_of(config).seed == 5
    config = read_config(written(tmp_path, {"network": {"nodes": NODES, "seed": 2}, "seed": 5}))
    assert network_of(config).seed == 2 and config.seed == 5
    assert network_of(Config(network="mlp", seed=7)).seed == 7


def test_what_is_given_wins() -> None:
    config = Config(network="mlp", epochs=3).over({"epochs": 9, "batch_size": None})
    assert config.epochs == 9 and config.batch_size == 64


@pytest.mark.parametrize("name", ["Huber", "huber", "softmax_cross_entropy", "SoftmaxCrossEntropy"])
def test_a_loss_by_its_name(name: str) -> None:
    assert type(loss_of(Config(network="mlp", loss=name))) in (Huber, SoftmaxCrossEntropy)


def test_losses_of_several_outputs() -> None:
    data = {
        "a": "huber",
        "b": {"loss": {"type": "Huber", "delta": 2.0}, "weight": 0.5},
        "c": {"type": "MeanSquaredError"},
    }
    found = loss_of(Config(network="mlp", loss=data))
    assert found == {"a": Huber(), "b": (Huber(2.0), 0.5), "c": MeanSquaredError()}
    assert loss_of(Config(network="mlp")) is None


def test_optimisers_and_step_sizes() -> None:
    assert optimiser_of(Config(network="mlp")) == Adam()
    assert optimiser_of(Config(network="mlp", optimiser="sgd"), 0.25) == Sgd(0.25)
    data = {"type": "Sgd", "step_size": 1.0, "momentum": 0.5}
    assert optimiser_of(Config(network="mlp", optimiser=data), 0.25) == Sgd(0.25, momentum=0.5)
    assert isinstance(optimiser_of(Config(network="mlp", optimiser="adadelta")), Adadelta)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("network", 3), ("data", 3), ("test", ""), ("limit", 0), ("target", 1), ("loss", 1), ("optimiser", 1),
        ("epochs", 0), ("epochs", True), ("batch_size", 1.5), ("seed", -1), ("seed", 2**64), ("backend", 1),
        ("target_accuracy", 99), ("data_dir", 1),
    ],
)  # fmt: skip
def test_each_value_has_a_rule(key: str, value: Any) -> None:
    with pytest.raises(DescriptionError, match=f"{key}: expected .* given"):
        Config(**{"network": "mlp", key: value})


def test_what_is_no_utf8_and_what_is_nested_too_deep(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(b"\xff\xfe{")
    with pytest.raises(DescriptionError, match="is not JSON"):
        read_config(path)
    path.write_text("[" * 100_000)
    with pytest.raises(DescriptionError, match="nested too deep"):
        read_config(path)
