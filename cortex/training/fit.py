"""`fit`: training run to the end, with a progress bar, a history and a reason."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex.distributed import ending_together, is_leader
from cortex.observers import History, Observer, ProgressBar, at_epoch_ends
from cortex.stopping import Reason

from .checkpoint import Checkpoint, save_checkpoint
from .loop import EPOCHS, Run, prepare, records

if TYPE_CHECKING:
    from cortex.network import Network


@dataclass(frozen=True)
class Result:
    """A trained network, why training ended, one row per epoch, and what is needed to go on."""

    network: Network
    reason: Reason
    history: Sequence[Mapping[str, Any]]
    checkpoint: Checkpoint = field(repr=False)

    @property
    def metrics(self) -> dict[str, Any]:
        """The plain entries of the last complete epoch, or an empty dict."""
        return dict(self.history[-1]) if self.history else {}


def fit(
    network: Network,
    data: Any,
    *,
    observers: Sequence[Observer] = (),
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
    resume: str | Path | Checkpoint | None = None,
    **options: Any,
) -> Result:
    """Train to the end and return the result; Ctrl-C ends it early with a usable network.

    Args:
        network: what to train; it is not changed.
        data: a data set or a mapping of arrays.
        observers: functions called with every record.
        progress: show a progress bar (None: if standard error is a terminal).
        checkpoint: a directory that always holds the last complete epoch, and the end.
        resume: a checkpoint or its directory, to go on from.
        **options: as for `train`. Where several processes train together (`distributed`), number 0 alone observes,
            shows progress and writes checkpoints; all return the same network. An error or Ctrl-C in one of them ends
            all, with what the last checkpoint holds.
    """
    run = prepare(network, data, resume=resume, **options)
    history = History()
    watching: list[Any] = [at_epoch_ends(history)]
    if is_leader(run.session.group):
        watching += observers
        if progress or (progress is None and sys.stderr.isatty()):
            epochs = options.get("epochs") or (None if options.get("stop") else EPOCHS)
            watching.append(ProgressBar(epochs))
    else:
        checkpoint = None
    with ending_together(run.session.group):
        reason = _run(run, watching, checkpoint)
    final = run.checkpoint()
    if checkpoint is not None and reason is Reason.INTERRUPTED:
        save_checkpoint(checkpoint, final)
    return Result(final.network, reason, tuple(history.rows), final)


def _run(run: Run, watching: Sequence[Any], checkpoint: str | Path | None) -> Reason:
    """Train to the end, before all who watch; return why it ended."""
    reason = Reason.EXHAUSTED
    try:
        for record in records(run):
            for observe in watching:
                observe(record)
            reason = record.get("reason", reason)
            sound = reason is not Reason.NOT_FINITE  # else the checkpoint before is worth more
            if checkpoint is not None and record["epoch_complete"] and sound:
                save_checkpoint(checkpoint, record["checkpoint"])
    except KeyboardInterrupt:
        if run.session.group is not None:
            raise
        reason = Reason.INTERRUPTED
    finally:
        for observe in watching:
            close = getattr(observe, "close", None)
            if close is not None:
                close()
    return reason
