"""`cortex train`: settings, data and network checked first, then the run in a folder of its own."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex.compute.errors import CortexError, DescriptionError

from . import show
from .config import Config, located, loss_of, network_of, optimiser_of, read_config
from .data import fitting, held_out, open_data
from .errors import FAILED, INTERRUPTED, say
from .folder import BEST, CHECKPOINT, CONFIG, CURVES, LOGS, RESULTS, RunFolder

if TYPE_CHECKING:
    from cortex.datasets import Dataset
    from cortex.network import Network
    from cortex.training import Checkpoint, Result


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


@dataclass(frozen=True)
class Wishes:
    """How a run is to be shown and where it is to be kept."""

    out: Path | None = None
    resume: Path | None = None
    overwrite: bool = False
    threads: int | None = None
    json: bool = False
    quiet: bool = False


def train(source: str | None, given: Mapping[str, Any], step_size: float | None, wishes: Wishes) -> int:
    """Run `cortex train` and return the exit code; `given` are the settings of the command line.

    Raises:
        CortexError, DataError: bad input; nothing was written.
    """
    config, name = _settings(source, given, step_size, wishes)
    use_threads(wishes.threads)
    place = wishes.resume or wishes.out or Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = RunFolder(place, resumed=wishes.resume is not None, overwrite=wishes.overwrite)
    job = _prepared(config, place if wishes.resume else None, step_size, wishes)
    with folder:
        if wishes.resume is None or any(value is not None for value in given.values()):
            folder.write_json(CONFIG, _record(job, name))
        began = time.perf_counter()
        result = _fit(job, folder, wishes)
        results = _results(job, result, folder, time.perf_counter() - began, name)
        folder.write_json(RESULTS, results)
        if result.history:
            _draw(folder, name)
    return _report(results, job, folder, wishes)


def _settings(
    source: str | None, given: Mapping[str, Any], step_size: float | None, wishes: Wishes
) -> tuple[Config, str]:
    """Return the config of the run and its name, from the command line over a file over the defaults."""
    from cortex.datasets import CATALOGUE
    from cortex.datasets.errors import unknown

    said = {k: v for k, v in given.items() if v is not None}
    for key in ("data", "test"):
        if key in said:
            said[key] = located(said[key], Path())
    if "data_dir" in said:
        said["data_dir"] = str(Path(said["data_dir"]).resolve())
    if wishes.resume is not None:
        return _resumed(source, said, step_size, wishes)
    if source is None:
        raise DescriptionError("train", ["expected what to train: `mnist`, or a config FILE.json"])
    if Path(source).suffix == ".json":
        if "network" in said:
            raise DescriptionError("train", ["--model and a config do not go together; the config has the network"])
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
            "train", [f"{hint} Only mnist comes with models; describe a network for other data in a FILE.json"]
        )
    if "data" in said:
        raise DescriptionError("train mnist", ["--data belongs to a config; for mnist see --data-dir"])
    config = Config(network=said.pop("network", "lenet"), data="mnist")
    return config.over(said), "mnist"


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
    fixed = [k for k in said if k not in ("epochs", "target_accuracy", "backend") and said[k] != getattr(config, k)]
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
    from cortex.compute.cpu import native

    if count is not None:
        os.environ["CORTEX_NUM_THREADS"] = str(count)
    module = native.native()
    try:
        if module is not None:
            module.isa()
            module.set_num_threads(count or module.get_num_threads())
    except ValueError as error:
        raise DescriptionError("environment", [str(error)]) from None


def _prepared(config: Config, resume: Path | None, step_size: float | None, wishes: Wishes) -> Job:
    from cortex.compute import get_backend
    from cortex.training import load_checkpoint

    get_backend(config.backend)
    loss, optimiser = loss_of(config), optimiser_of(config, step_size)
    start = load_checkpoint(resume / CHECKPOINT) if resume else None
    network = start.network if start is not None else network_of(config)
    if start is not None and start.position.get("epoch", 0) >= config.epochs:
        done = start.position["epoch"]
        raise DescriptionError(
            f"--resume {resume}", [f"{done} of {config.epochs} epochs are done; give --epochs, more than {done}"]
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
    return Job(config, network, loss, optimiser, training, test, start)


def _record(job: Job, name: str) -> dict[str, Any]:
    """Return what config.json holds: a complete config, the network written out."""
    import cortex
    from cortex.optimise import optimisers

    written = replace(
        job.config, network=job.network.to_data(), optimiser=optimisers.to_data(job.optimiser)
    )
    return {"name": name, "cortex": cortex.__version__, **written.to_data()}


def _fit(job: Job, folder: RunFolder, wishes: Wishes) -> Result:
    from cortex import fit, stopping

    config = job.config
    if not wishes.quiet:
        say(_headline(job, folder))
    logs = _logs(job, folder)
    watching: list[Any] = [*logs, _Best(folder)]
    bar = not wishes.quiet and sys.stderr.isatty()
    if not (wishes.quiet or bar):
        watching.append(show.EpochLines(config.epochs))
    aim = config.target_accuracy
    return fit(
        job.network, job.training, test=job.test, loss=job.loss, optimiser=job.optimiser, target=config.target,
        epochs=config.epochs, batch_size=config.batch_size, seed=config.seed, backend=config.backend,
        stop=[stopping.target("test_accuracy", aim)] if aim is not None else [],
        observers=watching, progress=bar, checkpoint=folder.path / CHECKPOINT, resume=job.resume,
    )  # fmt: skip


def _headline(job: Job, folder: RunFolder) -> str:
    from cortex import info

    backend = info.chosen(job.config.backend)
    threads = info.threads()["count"]
    doing = "training" if job.resume is None else f"going on after {job.resume.position['step']:,} steps with"
    return (
        f"{doing} {job.network.parameter_count:,} parameters on {len(job.training):,} examples; "
        f"backend {backend}, engine {info.engine_of(backend)}, {threads} threads; run in {folder.path}"
    )


def _logs(job: Job, folder: RunFolder) -> list[Any]:
    """Return the observers that keep the logs; a run that goes on keeps its rows up to the checkpoint."""
    from cortex.observers import LogFile

    logs = [LogFile(folder.path / name) for name in LOGS]
    if job.resume is not None:
        for row in past(folder, job.resume.position["step"]):
            for log in logs:
                log(row)
    return logs


def past(folder: RunFolder, step: int) -> list[dict[str, Any]]:
    """Return the rows that a run has logged up to a step; a torn last line is left out."""
    path = folder.path / "log.jsonl"
    found = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row.get("step", 0) <= step:
            found.append(row)
    return found


class _Best:
    """Keeps the checkpoint of the epoch with the best test accuracy, or without labels the least test loss."""

    def __init__(self, folder: RunFolder) -> None:
        self.path = folder.path / BEST
        self._score = max((s for row in past(folder, 1 << 62) if (s := score(row)) is not None), default=None)

    def __call__(self, record: Mapping[str, Any]) -> None:
        from cortex import save_checkpoint

        found = score(record)
        if found is None or (self._score is not None and found <= self._score):
            return
        self._score = found
        save_checkpoint(self.path, record["checkpoint"])


def score(record: Mapping[str, Any]) -> float | None:
    """Return what the best epoch has most of, or None for a record without a test."""
    if record.get("test_accuracy") is not None:
        return float(record["test_accuracy"])
    return -float(record["test_loss"]) if record.get("test_loss") is not None else None


def _results(job: Job, result: Result, folder: RunFolder, seconds: float, name: str) -> dict[str, Any]:
    from cortex import info
    from cortex.stopping import Reason

    rows = [r for r in past(folder, 1 << 62) if r.get("epoch_complete")]
    last: Mapping[str, Any] = rows[-1] if rows else {}
    best = max((r for r in rows if score(r) is not None), key=lambda r: score(r) or 0.0, default=None)
    position = result.checkpoint.position
    seen = position["examples"] - (job.resume.position["examples"] if job.resume else 0)
    backend = info.chosen(job.config.backend)
    return {
        "test_accuracy": last.get("test_accuracy"),
        "test_loss": last.get("test_loss"),
        "loss": last.get("loss"),
        "accuracy": last.get("accuracy"),
        "epochs": position["epoch"],
        "steps": position["step"],
        "seconds": round(seconds, 3),
        "epoch_seconds": [round(r["epoch_seconds"], 3) for r in rows],
        "samples_per_second": round(seen / max(seconds, 1e-9), 1),
        "backend": backend,
        "engine": info.engine_of(backend),
        "threads": info.threads()["count"],
        "name": name,
        "parameters": job.network.parameter_count,
        "batch_size": job.config.batch_size,
        "optimiser": type(job.optimiser).__name__,
        "seed": job.config.seed,
        "training_examples": len(job.training),
        "test_examples": len(job.test) if job.test is not None else 0,
        "best_epoch": best["epoch"] if best else None,
        "best_test_accuracy": best.get("test_accuracy") if best else None,
        "peak_memory_bytes": info.peak_memory(),
        "reason": result.reason.value,
        "complete": result.reason in (Reason.EPOCHS, Reason.TARGET),
        "run": str(folder.path),
    }


def _draw(folder: RunFolder, name: str) -> None:
    """Draw the curves where matplotlib is there; a picture never ends a run in an error."""
    from importlib import import_module

    try:
        # By name: imports run downwards, and only the command line stands above the pictures.
        curves = import_module("cortex.visualization.curves")
        curves.training_curves(folder.path / "log.jsonl", title=name).savefig(folder.path / CURVES)
    except (ImportError, CortexError, OSError) as error:
        if not isinstance(error, ImportError):
            say(f"note: {CURVES} was not drawn: {error}")


def _report(results: Mapping[str, Any], job: Job, folder: RunFolder, wishes: Wishes) -> int:
    """Print what came of the run and return the exit code."""
    from cortex.stopping import Reason

    if not wishes.quiet:
        show.rows("", _table(results), to_stderr=wishes.json)
    code = 0
    if results["reason"] == Reason.INTERRUPTED.value:
        say(f"interrupted after step {results['steps']:,}; go on with: cortex train --resume {folder.path}")
        code = INTERRUPTED
    elif results["reason"] == Reason.NOT_FINITE.value:
        say("cortex train: the loss is no longer finite; try a smaller --step-size")
        code = FAILED
    elif job.config.target_accuracy is not None and (results["test_accuracy"] or 0.0) < job.config.target_accuracy:
        say(
            f"cortex train: the target of {show.percent(job.config.target_accuracy)} was missed: "
            f"{show.percent(results['test_accuracy'])} after {results['epochs']} epochs"
        )
        code = FAILED
    if wishes.json:
        print(json.dumps(results), flush=True)
    return code


def _table(results: Mapping[str, Any]) -> dict[str, str]:
    times = results["epoch_seconds"]
    each = f" ({show.duration(sorted(times)[len(times) // 2])} an epoch)" if times else ""
    loss = results["loss"]
    best = results["best_test_accuracy"]
    shown = {
        "epochs": f"{results['epochs']} ({results['steps']:,} steps)",
        "training loss": "-" if loss is None else f"{loss:.4f}",
        "test accuracy": show.percent(results["test_accuracy"])
        + (f" (best {show.percent(best)} after epoch {results['best_epoch']})" if best is not None else ""),
        "time": show.duration(results["seconds"]) + each,
        "samples per second": f"{results['samples_per_second']:,.0f}",
        "backend": f"{results['backend']}, {results['threads']} threads",
        "engine": results["engine"],
        "parameters": f"{results['parameters']:,}",
        "peak memory": show.size(results["peak_memory_bytes"]),
        "run": results["run"],
    }
    if results["test_accuracy"] is None and results["test_loss"] is not None:
        shown["test loss"] = f"{results['test_loss']:.6g}"
    return shown
