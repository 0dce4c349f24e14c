"""`train`: a generator of lazy records, one per reporting interval and one at each end of an epoch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex import stopping
from cortex.compute.backend import Backend
from cortex.compute.errors import DescriptionError
from cortex.compute.group import Group, check_same, in_group
from cortex.compute.registry import get_backend
from cortex.datasets import Dataset, as_dataset
from cortex.distributed import agreed, group_of
from cortex.records import Lazy, Record
from cortex.tracing import LossScaleOf, loss_scale_of

from .checkpoint import Checkpoint, load_checkpoint
from .columns import match, objective
from .evaluation import evaluate_in
from .session import Session

if TYPE_CHECKING:
    from cortex.network import Network
    from cortex.protocols import Optimiser

EPOCHS = 5  # when neither epochs nor a rule is given
JUDGED = 32  # examples per evaluation at least; at the size of a training step it needs no memory of its own


def train(
    network: Network,
    data: Any,
    *,
    loss: Any = None,
    optimiser: Optimiser | None = None,
    epochs: int | None = None,
    batch_size: int = 64,
    test: Any = None,
    target: str | Mapping[str, str] | None = None,
    every: int | None = None,
    stop: stopping.RuleFactory | Sequence[stopping.RuleFactory] = (),
    clip: Any = None,
    loss_scale: LossScaleOf = None,
    seed: int = 0,
    backend: str | Backend | None = None,
    resume: Checkpoint | None = None,
    distributed: bool | Group = False,
) -> Iterator[Record]:
    """Train and yield a record every `every` steps (None: about fifty times an epoch) and at each end of an epoch.

    The last record has the entry `reason`, a `stopping.Reason`. A record's lazy entries (`network`, `state`,
    `checkpoint`) show the moment of the record and must be read before the next one is asked for.

    Args:
        network: what to train; it is not changed.
        data: a data set, or a mapping of column names to arrays with one row per example.
        loss: a loss, or a mapping of outputs to losses or (loss, weight); None: what fits the output.
        optimiser: None means `Adam()`.
        epochs: passes over the data; None with no rule in `stop` means 5.
        batch_size: examples per step; the last, smaller batch of an epoch is trained on too.
        test: data to evaluate on at each end of an epoch (entries `test_loss`, `test_accuracy`).
        target: the column of targets, or a mapping of outputs to columns.
        every: steps between records.
        stop: stopping rules besides `epochs`.
        clip: gradient clipping, see `training_step`.
        loss_scale: "dynamic", a number or a `LossScale`; None: what the backend wants. Records then have the entries
            `loss_scale` and `skipped_steps`: how many of the steps changed nothing because a gradient was not finite.
        seed: of the order of examples and of random layers.
        backend: a name, with options as in `"cpu:exact"`; None: the default.
        resume: where to go on; the run then equals one that was never interrupted.
        distributed: share out each batch among the processes that `mpiexec` started (or those of a group). All must
            make this call with the same arguments and ask for the same records; see docs/distributed.md.

    Raises:
        DescriptionError: columns, shapes or options do not fit.
        DistributedError: mpi4py is missing, or the processes were not given the same.
    """
    run = prepare(
        network, data, loss=loss, optimiser=optimiser, epochs=epochs, batch_size=batch_size, test=test, target=target,
        every=every, stop=stop, clip=clip, loss_scale=loss_scale, seed=seed, backend=backend, resume=resume,
        distributed=distributed,
    )  # fmt: skip
    yield from records(run)


@dataclass
class Run:
    """A training run that is about to begin: a session, its data, and how to watch and end it."""

    session: Session
    examples: Dataset
    test: Dataset | None
    rule: stopping.Rule
    period: int
    total: int  # batches per epoch
    begin: float = field(default_factory=time.perf_counter)
    before: int = 0  # examples seen before this run

    def checkpoint(self) -> Checkpoint:
        """Return what is needed to go on from the current step."""
        return self.session.checkpoint(
            {
                "batch_size": self.session.batch_size,
                "seed": self.session.seed,
                "backend": self.session.backend.name,
            }
        )


def records(run: Run) -> Iterator[Record]:
    """Train and yield records until the rule of the run says stop."""
    session, position = run.session, run.session.position
    while True:
        epoch_begin = time.perf_counter()
        for size, batch in session.batches(run.examples):
            session.train_on(size, batch)
            if position.batch % run.period == 0 and position.batch < run.total:
                record = _record(run, {"epoch_complete": False})
                reason = _decided(run, record)
                yield _with_reason(record, reason)
                if reason is not None:
                    return
        more: dict[str, Any] = {"epoch_complete": True}
        if run.test is not None:
            found = evaluate_in(session, run.test, max(session.batch_size, JUDGED))
            more |= {f"test_{k}": v for k, v in found.items()}
        more["epoch_seconds"] = time.perf_counter() - epoch_begin
        record = _record(run, more)
        session.end_epoch()
        reason = _decided(run, record)
        yield _with_reason(record, reason)
        if reason is not None:
            return


def prepare(
    network: Network, data: Any, *, distributed: bool | Group = False, **options: Any
) -> Run:
    """Check the arguments of `train` and return the run; all problems at once."""
    group = group_of(distributed)
    with agreed(group):
        run = _prepared(network, data, group, **options)
    if group is not None:
        check_same(group, "train", _what(run, options.get("loss")))
    return run


def _prepared(
    network: Network, data: Any, group: Group | None, *, loss: Any = None, optimiser: Any = None,
    epochs: int | None = None, batch_size: int = 64, test: Any = None, target: Any = None, every: int | None = None,
    stop: Any = (), clip: Any = None, loss_scale: LossScaleOf = None, seed: int = 0, backend: Any = None,
    resume: Checkpoint | str | Path | None = None,
) -> Run:  # fmt: skip
    from cortex.optimise import Adam

    engine = get_backend(backend)
    in_group(engine, group)
    if isinstance(resume, (str, Path)):
        resume = load_checkpoint(resume)
    examples = as_dataset(data)
    problems = []
    if batch_size < 1:
        problems.append(f"batch_size must be at least 1, given {batch_size}")
    if epochs is not None and epochs < 1:
        problems.append(f"epochs must be at least 1, given {epochs}")
    if len(examples) == 0:
        problems.append("the data set is empty; training needs at least one example")
    if resume is not None:
        problems += [
            f"resume: the checkpoint was made with {name} {resume.options[name]}, given {given}"
            for name, given in (("batch_size", batch_size), ("seed", seed))
            if resume.options.get(name, given) != given
        ]
    scale = loss_scale_of(loss_scale, engine.capabilities, problems)
    if problems:
        raise DescriptionError("train", problems)
    if resume is not None:
        network = resume.network
    columns = match(tuple(network.inputs), tuple(examples.columns), target)
    aim = objective(network, examples, columns, loss, target)
    session = Session(
        network,
        columns,
        aim,
        optimiser or Adam(),
        batch_size,
        seed,
        engine,
        clip,
        scale,
        group,
    )
    if resume is not None:
        session.resume(resume)
    rules = [stop] if callable(stop) else list(stop)
    if epochs is not None or not rules:
        rules.append(stopping.epochs(epochs or EPOCHS))
    total = -(-len(examples) // batch_size)
    return Run(
        session,
        examples,
        None if test is None else as_dataset(test),
        stopping.any_of(stopping.not_finite("loss"), *rules)(),
        every or max(1, total // 50),
        total,
        before=session.position.examples,
    )


def _decided(run: Run, record: Record) -> stopping.Reason | None:
    """Return why to stop; the first process that wants to decides for all, for clocks and rules may differ."""
    reason = run.rule(record)
    if run.session.group is None:
        return reason
    names = run.session.group.gather("" if reason is None else reason.name)
    return next((stopping.Reason[name] for name in names if name), None)


def _what(run: Run, loss: Any) -> dict[str, Any]:
    """Return what must be the same in all processes that train together, as plain data."""
    session = run.session
    named = {
        "loss": loss,
        "optimiser": session.optimiser,
        "clip": session.clip,
        "loss_scale": session.loss_scale,
    }
    return {
        "network": session.network.to_data(),
        "batch_size": session.batch_size,
        "seed": session.seed,
        "position": vars(session.position),
        "every": run.period,
        "backend": session.backend.name,
        "examples": len(run.examples),
        "columns": {n: str(c) for n, c in run.examples.columns.items()},
        "test examples": None if run.test is None else len(run.test),
        # what shows an address is known by its type alone
        **{n: repr(v) if " at 0x" not in repr(v) else type(v).__name__ for n, v in named.items()},
    }


def _record(run: Run, more: Mapping[str, Any]) -> Record:
    session, p = run.session, run.session.position
    seconds = time.perf_counter() - run.begin
    moment = p.step

    def now(compute: Any) -> Lazy:
        def read() -> Any:
            if session.position.step != moment:
                raise RuntimeError(
                    f"this record is of step {moment}, training is at step {session.position.step} already; "
                    "read network, state and checkpoint before asking for the next record"
                )
            return compute()

        return Lazy(read)

    done = p.epoch + (1 if more["epoch_complete"] else 0)
    return Record(
        {
            "epoch": done,
            "batch": p.batch,
            "batches": run.total,
            "step": p.step,
            "examples": p.examples,
            **session.totals(),
            **session.scaling(),
            "seconds": seconds,
            "examples_per_second": (p.examples - run.before) / max(1e-9, seconds),
            "backend": session.backend.name,
            "network": now(session.trained),
            "state": now(session.state),
            "checkpoint": now(run.checkpoint),
            **more,
        }
    )


def _with_reason(record: Record, reason: stopping.Reason | None) -> Record:
    return record if reason is None else record.extended({"reason": reason})
