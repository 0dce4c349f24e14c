"""`cortex train`: settings, data and network checked first, then the run in a folder of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex import distributed

from . import show
from .errors import mute, say
from .folder import BEST, CHECKPOINT, CONFIG, LOGS, RESULTS, RunFolder
from .results import collected, draw, past, report, score
from .settings import Job, Wishes, prepared, settings, use_threads

if TYPE_CHECKING:
    from cortex.distributed import Group
    from cortex.training import Result


def train(
    source: str | None, given: Mapping[str, Any], step_size: float | None, wishes: Wishes
) -> int:
    """Run `cortex train` and return the exit code; `given` are the settings of the command line.

    Raises:
        CortexError, DataError: bad input; nothing was written.
    """
    group, now = _joined(wishes), time.strftime("%Y%m%d-%H%M%S")
    if group is not None:
        (now, *_) = group.gather(now)  # clocks may differ
    with distributed.agreed(group):
        config, name = settings(source, given, step_size, wishes)
        use_threads(wishes.threads)
        place = wishes.resume or wishes.out or Path("runs") / f"{name}-{now}"
        folder = None
        if distributed.is_leader(group):
            folder = RunFolder(place, wishes.resume is not None, wishes.overwrite)
        job = prepared(config, place if wishes.resume else None, step_size, group)
    with distributed.ending_together(group, lambda: _advice(place)):
        if folder is not None:
            code = _lead(job, folder, name, given, wishes)
        else:
            code = _follow(job)
        return code if group is None else int(group.gather(str(code))[0])


def _advice(place: Path) -> str:
    """Return how to go on after a run was ended, if it got anywhere."""
    kept = (place / CHECKPOINT).is_dir()
    return f" (go on with: cortex train --resume {place})" if kept else ""


def _joined(wishes: Wishes) -> Group | None:
    """Return the processes that train together; all but the first fall silent."""
    if not wishes.distributed:
        return None
    group = distributed.join()
    if group.size == 1:
        say(f"note: {distributed.ALONE}")
        return None
    if not distributed.is_leader(group):
        mute()
    return group


def _lead(job: Job, folder: RunFolder, name: str, given: Mapping[str, Any], wishes: Wishes) -> int:
    """Train, keep the run in its folder and report; return the exit code."""
    with folder:
        if wishes.resume is None or any(value is not None for value in given.values()):
            folder.write_json(CONFIG, _record(job, name))
        began = time.perf_counter()
        result = _fit(job, folder, wishes)
        results = collected(job, result, folder, time.perf_counter() - began, name)
        folder.write_json(RESULTS, results)
        if result.history:
            draw(folder, name)
    return report(results, job, folder, wishes)


def _follow(job: Job) -> int:
    """Train as the leader does, and keep nothing."""
    from cortex import fit

    fit(job.network, job.training, progress=False, **_options(job))
    return 0


def _record(job: Job, name: str) -> dict[str, Any]:
    """Return what config.json holds: a complete config, the network written out."""
    import cortex

    written = replace(job.config, network=job.network.to_data())
    return {"name": name, "cortex": cortex.__version__, **written.to_data()}


def _fit(job: Job, folder: RunFolder, wishes: Wishes) -> Result:
    from cortex import fit

    config = job.config
    if not wishes.quiet:
        say(_headline(job, folder))
    logs = _logs(job, folder)
    watching: list[Any] = [*logs, _Best(folder)]
    bar = not wishes.quiet and sys.stderr.isatty()
    if not (wishes.quiet or bar):
        watching.append(show.EpochLines(config.epochs))
    return fit(
        job.network, job.training, observers=watching, progress=bar, checkpoint=folder.path / CHECKPOINT,
        **_options(job),
    )  # fmt: skip


def _options(job: Job) -> dict[str, Any]:
    """Return what every process that trains gives to `fit`."""
    from cortex import stopping

    config, aim = job.config, job.config.target_accuracy
    return {
        "test": job.test, "loss": job.loss, "optimiser": job.optimiser, "target": config.target,
        "epochs": config.epochs, "batch_size": config.batch_size, "seed": config.seed, "backend": config.backend,
        "loss_scale": config.loss_scale,
        "stop": [stopping.target("test_accuracy", aim)] if aim is not None else [],
        "resume": job.resume, "distributed": job.group if job.group is not None else False,
    }  # fmt: skip


def _headline(job: Job, folder: RunFolder) -> str:
    from cortex import info

    backend = info.chosen(job.config.backend)
    doing = (
        "training"
        if job.resume is None
        else f"going on after {job.resume.position['step']:,} steps with"
    )
    workers = show.workers(1 if job.group is None else job.group.size, info.threads()["count"])
    return (
        f"{doing} {job.network.parameter_count:,} parameters on {len(job.training):,} examples; "
        f"backend {backend}, engine {info.engine_of(backend)}, {workers}; run in {folder.path}"
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


class _Best:
    """Keeps the checkpoint of the epoch with the best test accuracy, or without labels the least test loss."""

    def __init__(self, folder: RunFolder) -> None:
        self.path = folder.path / BEST
        self._score = max(
            (s for row in past(folder, 1 << 62) if (s := score(row)) is not None), default=None
        )

    def __call__(self, record: Mapping[str, Any]) -> None:
        from cortex import save_checkpoint

        found = score(record)
        if found is None or (self._score is not None and found <= self._score):
            return
        self._score = found
        save_checkpoint(self.path, record["checkpoint"])
