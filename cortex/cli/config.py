"""What a training run is described by: the schema of `cortex train FILE.json`.

```
{"network": {"nodes": [{"type": "Input", "shape": [4]}, {"type": "Linear", "units": 3},
                       {"type": "Softmax"}]},
 "data": "train.npz", "test": "test.npz", "target": "label",
 "loss": {"type": "SoftmaxCrossEntropy", "label_smoothing": 0.1},
 "optimiser": {"type": "Adam", "step_size": 0.002}, "epochs": 20, "batch_size": 32, "seed": 1}
```

| key | what | default |
|---|---|---|
| `network` | a description (`Network.to_data`), or the name of a model (`cortex.models`) | required |
| `data`, `test` | a .npz or .csv file, relative to the config, or a data set that ships | `--data` |
| `data_dir` | where the files of a data set that ships lie instead | the package |
| `limit` | use only the first so many examples of each | all |
| `target` | the column of targets, or `{output: column}` | `label`, `target` or `y` |
| `loss` | a loss, or `{output: loss}`, or `{output: {"loss": loss, "weight": 0.5}}` | by output and target |
| `optimiser` | an optimiser | `Adam` |
| `schedule` | `cosine`: the step size falls along half a cosine to 0 at the end of the run; `constant` | `cosine` |
| `loss_scale` | `"dynamic"` or a number, for gradients in 16 bits | what the backend wants |
| `epochs`, `batch_size`, `seed`, `backend` | as the options of that name, `"cpu:exact"` too | 5, 64, 0, `auto` |
| `target_accuracy` | stop when the test accuracy reaches it | none |

Losses and optimisers are objects with a `type`, or the type alone, `"adam"`. A file that is a network
description itself is taken as `{"network": ...}`. What the command line says wins. A run keeps its
complete config as config.json, which is a config again: `cortex train RUN/config.json --seed 1`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex.compute.errors import DescriptionError, near
from cortex.rules import COUNT, NONE, POSITIVE, SHARE, Rule, check, either, is_integer, one_of

SEED = Rule("an integer from 0 to 2^64 - 1", lambda v: is_integer(v, 0) and v < 2**64)
SCHEDULE = Rule("'cosine' or 'constant'", lambda v: v in ("cosine", "constant"))
TEXT = Rule("a string", lambda v: isinstance(v, str) and bool(v))
OBJECT = Rule("an object", lambda v: isinstance(v, Mapping))
EXTRA = ("name", "cortex")  # what a run's own config.json says besides


@dataclass(frozen=True)
class Config:
    """A training run as plain data; see the module for the meaning of the fields."""

    network: Any = None
    data: str | None = None
    test: str | None = None
    data_dir: str | None = None
    limit: int | None = None
    target: Any = None
    loss: Any = None
    optimiser: Any = "Adam"
    schedule: str = "cosine"
    loss_scale: float | str | None = None
    epochs: int = 5
    batch_size: int = 64
    seed: int = 0
    backend: str = "auto"
    target_accuracy: float | None = None

    def __post_init__(self) -> None:
        check(
            self,
            network=either(TEXT, OBJECT),
            data=either(TEXT, NONE),
            test=either(TEXT, NONE),
            data_dir=either(TEXT, NONE),
            limit=either(COUNT, NONE),
            target=either(TEXT, OBJECT, NONE),
            loss=either(TEXT, OBJECT, NONE),
            optimiser=either(TEXT, OBJECT),
            schedule=SCHEDULE,
            loss_scale=either(one_of("dynamic"), POSITIVE, NONE),
            epochs=COUNT,
            batch_size=COUNT,
            seed=SEED,
            backend=TEXT,
            target_accuracy=either(SHARE, NONE),
        )

    def over(self, given: Mapping[str, Any]) -> Config:
        """Return this config with those of the `given` values that are not None in place of its own."""
        said = {name: value for name, value in given.items() if value is not None}
        return dataclasses.replace(self, **said)

    def to_data(self) -> dict[str, Any]:
        """Return the fields as plain data, those at None left out."""
        return {k: v for k, v in vars(self).items() if v is not None}


FIELDS = tuple(f.name for f in dataclasses.fields(Config))


def read_config(path: Path) -> Config:
    """Return the config in a JSON file; paths in it are relative to its folder.

    Raises:
        DescriptionError: the file is missing or no JSON, has unknown keys or wrong values, all at once.
    """
    data = _read_json(path)
    if "nodes" in data:
        data = {"network": data}
    unknown = [k for k in data if k not in FIELDS and k not in EXTRA]
    problems = [f"no key is named {k!r}{near(k, FIELDS)}" for k in unknown]
    if "network" not in data:
        problems.append("the key 'network' is missing: a description, or the name of a model")
    said = {k: v for k, v in data.items() if k in FIELDS}
    try:
        config = Config(**{"network": "lenet", **said})
    except DescriptionError as error:
        problems += error.problems
    problems += _faults(said)
    if problems:
        raise DescriptionError(str(path), problems)
    if isinstance(config.network, Mapping):  # one seed for weights and order, unless there are two
        config = config.over({"network": {"seed": config.seed, **config.network}})
    moved: dict[str, Any] = {
        k: located(v, path.parent) for k in ("data", "test") if (v := getattr(config, k))
    }
    if config.data_dir:
        moved["data_dir"] = str((path.parent / config.data_dir).resolve())
    return config.over(moved)


def _faults(said: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the things that a config describes, whatever else is wrong with it."""
    found: list[str] = []
    for key, make in (("network", network_of), ("loss", loss_of), ("optimiser", optimiser_of)):
        if isinstance(said.get(key), (str, Mapping)):
            try:
                make(Config(**{"network": "lenet", key: said[key]}))
            except DescriptionError as error:
                found += [f"{key}: {problem}" for problem in error.problems]
    return found


def located(source: str, folder: Path) -> str:
    """Return the name of a data set as it is, a path as an absolute one."""
    from cortex.datasets import CATALOGUE

    return source if source in CATALOGUE else str((folder / source).resolve())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DescriptionError(str(path), ["there is no such file"]) from None
    except OSError as error:
        raise DescriptionError(str(path), [f"cannot be read: {error.strerror}"]) from None
    except ValueError as error:  # JSON, or bytes that are no UTF-8
        raise DescriptionError(str(path), [f"is not JSON: {error}"]) from None
    except RecursionError:
        raise DescriptionError(
            str(path), ["is not JSON that can be read: nested too deep"]
        ) from None
    if not isinstance(data, dict):
        raise DescriptionError(str(path), [f"expected a JSON object, given {type(data).__name__}"])
    return data


def network_of(config: Config) -> Any:
    """Return the network of a config.

    Raises:
        DescriptionError: everything that is wrong with its description.
    """
    from cortex import models
    from cortex.network import Network

    if isinstance(config.network, str):
        return models.by_name(config.network, seed=config.seed)
    return Network.from_data(config.network)


def loss_of(config: Config) -> Any:
    """Return the loss of a config as `train` takes it.

    Raises:
        DescriptionError: everything that is wrong with it.
    """
    given = config.loss
    if given is None or isinstance(given, str) or "type" in given:
        return None if given is None else _loss(given)
    problems: list[str] = []
    found: dict[str, Any] = {}
    for output, entry in given.items():
        try:
            found[output] = _weighted(entry)
        except DescriptionError as error:
            problems += [f"{output}: {p}" for p in error.problems]
    if problems:
        raise DescriptionError("loss", problems)
    return found


def _weighted(entry: Any) -> Any:
    if not isinstance(entry, Mapping) or "type" in entry:
        return _loss(entry)
    problems = [
        f"no key is named {k!r}{near(k, ('loss', 'weight'))}"
        for k in entry
        if k not in ("loss", "weight")
    ]
    weight = entry.get("weight", 1.0)
    if not isinstance(weight, (int, float)) or isinstance(weight, bool):
        problems.append(f"weight: expected a number, given {weight!r}")
    if "loss" not in entry:
        problems.append("the key 'loss' is missing")
    if problems:
        raise DescriptionError("loss", problems)
    return (_loss(entry["loss"]), float(weight))


def _loss(data: Any) -> Any:
    from cortex import losses

    if not isinstance(data, str):
        return losses.from_data(data)
    names = {name.lower(): name for name in losses.LOSSES.types}
    key = data.replace("_", "").lower()
    if key not in names:
        raise DescriptionError(
            "loss", [f"no loss has the type {data!r}{near(data, losses.LOSSES.types)}"]
        )
    return losses.from_data({"type": names[key]})


def optimiser_of(config: Config, step_size: float | None = None) -> Any:
    """Return the optimiser of a config, with another step size where one is given.

    Raises:
        DescriptionError: everything that is wrong with it.
    """
    from cortex.optimise import optimisers

    data = config.optimiser
    if isinstance(data, str):
        data = optimisers.to_data(optimisers.from_data(data))
    if step_size is not None:
        data = {**data, "step_size": step_size}
    return optimisers.from_data(data)


def scheduled(optimiser: Any, schedule: str, steps: int) -> Any:
    """Return an optimiser whose step size falls to 0 over `steps` updates, if that is the schedule.

    What comes with a schedule of its own, or without a step size, stays as it is.
    """
    from cortex.optimise.schedules import Cosine

    size = getattr(optimiser, "step_size", None)
    if schedule != "cosine" or not isinstance(size, (int, float)):
        return optimiser
    return dataclasses.replace(optimiser, step_size=Cosine(float(size), steps))
