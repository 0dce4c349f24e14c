"""From the command line and a config to a run in which everything is checked and ready."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex.compute.errors import DescriptionError

from .config import Config, located, loss_of, network_of, optimiser_of, read_config, scheduled
from .data import fitting, held_out, open_data
from .errors import say
from .folder import CHECKPOINT, CONFIG

if TYPE_CHECKING:
    from cortex.compute.group import Group
    from cortex.datasets import Dataset
    from cortex.network import Network
    from cortex.training import Checkpoint


@dataclass(frozen=True)
class Job:
    """Everything a run needs, checked and ready."""

    config: Config
    network: Network
    loss: Any
    optimiser: Any
    training: Dataset
    test: Dataset | None
    resume: Checkpoint | None
    group: Group | None = None  # the processes that train together


@dataclass(frozen=True)
class Wishes:
    """How a run is to be shown and where it is to be kept."""

    out: Path | None = None
    resume: Path | None = None
    overwrite: bool = False
    threads: int | None = None
    json: bool = False
    quiet: bool = False
    distributed: bool = False


def settings(
    source: str | None, given: Mapping[str, Any], step_size: float | None, wishes: Wishes
) -> tuple[Config, str]:
    """Return the config of the run and its name, from the command line over a file over the defaults.

    Raises:
        DescriptionError: options that do not go together, an unknown name, or a faulty config.
    """
    from cortex.datasets import CATALOGUE
    from cortex.datasets.errors import unknown

    said = {k: v for k, v in given.items() if v is not None}
    for key in ("data", "test"):
        if key in said:
            said[key] = located(said[key], Path())
    if "data_dir" in said:
        said["data_dir"] = str(Path(said["data_dir"]).resolve())
    if "loss_scale" in said:
        said["loss_scale"] = _number_or_word(said["loss_scale"])
    if wishes.resume is not None:
        return _resumed(source, said, step_size, wishes)
    if source is None:
        raise DescriptionError("train", ["expected what to train: `mnist`, or a config FILE.json"])
    if Path(source).suffix == ".json":
        if "network" in said:
            raise DescriptionError(
                "train", ["--model and a config do not go together; the config has the network"]
            )
        config = read_config(Path(source)).over(said)
        if "seed" in said and not isinstance(config.network, str):
            config = config.over({"network": {**config.network, "seed": said["seed"]}})
        if config.data is None:
            raise DescriptionError(source, ["no data: give --data FILE.npz, or the key 'data'"])
        return config, _name_of(config, Path(source).stem)
    if source != "mnist":
        known = [*CATALOGUE, "FILE.json"]
        hint = unknown("network or data set", source, known)
        raise DescriptionError(
            "train",
            [
                f"{hint} Only mnist comes with models; describe a network for other data in a FILE.json"
            ],
        )
    if "data" in said:
        raise DescriptionError(
            "train mnist", ["--data belongs to a config; for mnist see --data-dir"]
        )
    config = Config(network=said.pop("network", "lenet"), data="mnist")
    return config.over(said), "mnist"


def _number_or_word(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _name_of(config: Config, stem: str) -> str:
    return config.network if isinstance(config.network, str) else stem


def _resumed(
    source: str | None, said: dict[str, Any], step_size: float | None, wishes: Wishes
) -> tuple[Config, str]:
    """Return the config of an earlier run with what may change: how long, and where it runs."""
    folder = wishes.resume or Path()
    if not (folder / CONFIG).is_file():
        what = f"is no run: there is no {CONFIG} in it" if folder.is_dir() else "does not exist"
        raise DescriptionError(f"--resume {folder}", [f"the folder {what}"])
    config = read_config(folder / CONFIG)
    name = json.loads((folder / CONFIG).read_text("utf-8")).get("name", folder.name)
    fixed = [
        k
        for k in said
        if k not in ("epochs", "target_accuracy", "backend") and said[k] != getattr(config, k)
    ]
    problems = [f"--{k.replace('_', '-')} cannot change in a run that goes on" for k in fixed]
    if step_size is not None:
        problems.append("--step-size cannot change in a run that goes on")
    if source is not None and source not in (name, config.data) and Path(source).suffix != ".json":
        problems.append(f"the run is of {name}, given {source}")
    if wishes.out is not None and wishes.out.resolve() != folder.resolve():
        problems.append(f"--out: a run goes on in its own folder {folder}, given {wishes.out}")
    if problems:
        raise DescriptionError(f"--resume {folder}", problems)
    return config.over(said), name


def use_threads(count: int | None) -> None:
    """Set the number of threads for this process; check what the environment says.

    Raises:
        DescriptionError: CORTEX_NUM_THREADS or CORTEX_ISA hold nonsense.
    """
    from cortex.compute import threads
    from cortex.compute.cpu import native

    if count is not None:
        os.environ["CORTEX_NUM_THREADS"] = str(count)
    module = native.native()
    try:
        threads.set_num_threads(count or threads.get_num_threads())
        if module is not None:
            module.isa()
    except ValueError as error:
        raise DescriptionError("environment", [str(error)]) from None


def prepared(
    config: Config, resume: Path | None, step_size: float | None, group: Group | None = None
) -> Job:
    """Return the run that a config describes, `resume` being the folder of one that goes on.

    Raises:
        CortexError, DataError: network, loss, optimiser, backend, checkpoint or data are not as
            they should be.
    """
    from cortex.compute import get_backend
    from cortex.optimise import optimisers
    from cortex.training import load_checkpoint

    get_backend(config.backend)
    loss, optimiser = loss_of(config), optimiser_of(config, step_size)
    config = replace(config, optimiser=optimisers.to_data(optimiser))
    start = load_checkpoint(resume / CHECKPOINT) if resume else None
    network = start.network if start is not None else network_of(config)
    if start is not None and start.position.get("epoch", 0) >= config.epochs:
        done = start.position["epoch"]
        raise DescriptionError(
            f"--resume {resume}",
            [f"{done} of {config.epochs} epochs are done; give --epochs, more than {done}"],
        )
    training = open_data(config.data or "", "train", config.data_dir, config.limit)
    tested = config.test or held_out(config.data or "")
    test = open_data(tested, "test", config.data_dir, config.limit) if tested else None
    if config.target_accuracy is not None and test is None:
        raise DescriptionError("train", ["--target-accuracy needs test data; give --test"])
    for data, what in ((training, config.data or ""), (test, tested or "")):
        if data is not None:
            _, remarks = fitting(network, data, what, config.target)
            for remark in remarks:
                say(f"note: {what}: {remark}")
    steps = config.epochs * -(-len(training) // config.batch_size)
    optimiser = scheduled(optimiser, config.schedule, steps)
    return Job(config, network, loss, optimiser, training, test, start, group)
