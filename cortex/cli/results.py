"""What came of a run: results as data, as a table, as curves, and as an exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cortex.compute.errors import CortexError

from . import show
from .errors import FAILED, INTERRUPTED, say
from .folder import CURVES, RunFolder
from .settings import Job, Wishes

if TYPE_CHECKING:
    from cortex.training import Result


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


def score(record: Mapping[str, Any]) -> float | None:
    """Return what the best epoch has most of, or None for a record without a test."""
    if record.get("test_accuracy") is not None:
        return float(record["test_accuracy"])
    return -float(record["test_loss"]) if record.get("test_loss") is not None else None


def collected(
    job: Job, result: Result, folder: RunFolder, seconds: float, name: str
) -> dict[str, Any]:
    """Return the results of a run, all its parts together; `seconds` are those of this part."""
    from cortex import info
    from cortex.stopping import Reason

    rows = [r for r in past(folder, 1 << 62) if r.get("epoch_complete")]
    last: Mapping[str, Any] = rows[-1] if rows else {}
    best = max(
        (r for r in rows if score(r) is not None), key=lambda r: score(r) or 0.0, default=None
    )
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
        "processes": 1 if job.group is None else job.group.size,
        "name": name,
        "parameters": job.network.parameter_count,
        "batch_size": job.config.batch_size,
        "optimiser": type(job.optimiser).__name__,
        "seed": job.config.seed,
        "training_examples": len(job.training),
        "test_examples": len(job.test) if job.test is not None else 0,
        **{k: last[k] for k in ("loss_scale", "skipped_steps") if k in last},
        "best_epoch": best["epoch"] if best else None,
        "best_test_accuracy": best.get("test_accuracy") if best else None,
        "peak_memory_bytes": info.peak_memory(),
        "reason": result.reason.value,
        "complete": result.reason in (Reason.EPOCHS, Reason.TARGET),
        "run": str(folder.path),
    }


def draw(folder: RunFolder, name: str) -> None:
    """Draw the curves where matplotlib is there; a picture never ends a run in an error."""
    from importlib import import_module

    try:
        # By name: imports run downwards, and only the command line stands above the pictures.
        curves = import_module("cortex.visualization.curves")
        curves.training_curves(folder.path / "log.jsonl", title=name).savefig(folder.path / CURVES)
    except (ImportError, CortexError, OSError) as error:
        if not isinstance(error, ImportError):
            say(f"note: {CURVES} was not drawn: {error}")


def report(results: Mapping[str, Any], job: Job, folder: RunFolder, wishes: Wishes) -> int:
    """Print what came of the run and return the exit code."""
    from cortex.stopping import Reason

    if not wishes.quiet:
        show.rows("", _table(results), to_stderr=wishes.json)
    code = 0
    if results["reason"] == Reason.INTERRUPTED.value:
        say(
            f"interrupted after step {results['steps']:,}; go on with: cortex train --resume {folder.path}"
        )
        code = INTERRUPTED
    elif results["reason"] == Reason.NOT_FINITE.value:
        say("cortex train: the loss is no longer finite; try a smaller --step-size")
        code = FAILED
    elif (
        job.config.target_accuracy is not None
        and (results["test_accuracy"] or 0.0) < job.config.target_accuracy
    ):
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
        + (
            f" (best {show.percent(best)} after epoch {results['best_epoch']})"
            if best is not None
            else ""
        ),
        "time": show.duration(results["seconds"]) + each,
        "samples per second": f"{results['samples_per_second']:,.0f}",
        "backend": f"{results['backend']}, {show.workers(results['processes'], results['threads'])}",
        "engine": results["engine"],
        "parameters": f"{results['parameters']:,}",
        "peak memory": show.size(results["peak_memory_bytes"]),
        "run": results["run"],
    }
    if "loss_scale" in results:
        shown["loss scale"] = (
            f"{results['loss_scale']:g} ({results['skipped_steps']:,} steps skipped)"
        )
    if results["test_accuracy"] is None and results["test_loss"] is not None:
        shown["test loss"] = f"{results['test_loss']:.6g}"
    return shown
