"""`Session`: the executables of one training run over one memory, and the position in the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from cortex.compiled import share_state
from cortex.compute.backend import Backend, Memory
from cortex.compute.group import Group
from cortex.compute.spec import Spec
from cortex.datasets import Dataset, in_parts, prefetch
from cortex.distributed import check_drift
from cortex.executables import NetworkExecutable, evaluation, parameters_of, training_step
from cortex.network import Network
from cortex.protocols import Loss, Optimiser
from cortex.tracing import Clip, LossScale
from cortex.tracing.scaling import SCALE, SKIPPED, STATE

from .checkpoint import Checkpoint
from .columns import Columns
from .interrupt import whole

LOSS, EXAMPLES, CORRECT = "total.loss", "total.examples", "total.metric.correct"
TOTALS = (LOSS, EXAMPLES, CORRECT)


@dataclass(frozen=True)
class Objective:
    """What a network is trained or judged by: losses, the columns of their targets, whether labels can be counted."""

    loss: Loss | Mapping[str, Loss | tuple[Loss, float]] | None
    target: str | Mapping[str, str]
    specs: Mapping[str, Spec]
    counts_labels: bool

    def arguments(self, columns: Columns) -> dict[str, Any]:
        """Return the keyword arguments that `training_step` and `evaluation` share."""
        return {
            "loss": self.loss,
            "target": self.target,
            "columns": self.specs,
            "sample_weight": columns.weight is not None,
            "metrics": ("correct",) if self.counts_labels else (),
        }


@dataclass
class Position:
    """Where a run stands: complete epochs, batches done in the current one, steps and examples in all."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    examples: int = 0


@dataclass
class Session:
    """Everything that changes while a network trains."""

    network: Network
    columns: Columns
    objective: Objective
    optimiser: Optimiser
    batch_size: int
    seed: int
    backend: Backend
    clip: float | Clip | None = None
    loss_scale: LossScale | None = None
    group: Group | None = None  # the processes that train together; None: this one alone
    position: Position = field(default_factory=Position)
    memory: Memory | None = None
    _steps: dict[int, NetworkExecutable] = field(default_factory=dict)
    _judges: dict[int, NetworkExecutable] = field(default_factory=dict)
    _first: Mapping[str, np.ndarray] = field(
        default_factory=dict
    )  # content of the memory after a resume

    def step(self, size: int) -> NetworkExecutable:
        """Return the training step for batches of `size` (of all processes); the last, smaller one has its own."""
        if size not in self._steps:
            made = training_step(
                self.network,
                optimiser=self.optimiser,
                batch_size=size,
                clip=self.clip,
                loss_scale=self.loss_scale,
                totals=True,
                backend=self.backend,
                memory=self.memory,
                seed=self.seed,
                group=self.group,
                **self.objective.arguments(self.columns),
            )
            if self.memory is None:
                self.memory = made.memory
                self.memory.one_at_a_time = (
                    True  # training, the last batch and evaluation take turns
                )
                for name, array in self._first.items():
                    made.executable.write(name, array)
                share_state(made, self.group, self._first)
            self._steps[size] = made
        return self._steps[size]

    def judge(self, size: int) -> NetworkExecutable:
        """Return the evaluation of batches of `size` with the weights as they are in the memory."""
        if self.memory is None and self._first:
            self.step(
                self.batch_size
            )  # resumed at an epoch's end: a step brings all the state back
        if size not in self._judges:
            self._judges[size] = evaluation(
                self.network,
                batch_size=size,
                backend=self.backend,
                memory=self.memory,
                seed=self.seed,
                group=self.group,
                **self.objective.arguments(self.columns),
            )
            self.memory = self._judges[size].memory
        return self._judges[size]

    def batches(self, data: Dataset) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield what is left of the current epoch, prepared ahead on a thread; see `shares`."""
        epoch = self.shares(data, self.batch_size, self.seed, self.position.epoch)
        return prefetch(islice(epoch, self.position.batch, None))

    def shares(
        self, data: Dataset, batch_size: int, seed: int | None = None, epoch: int = 0
    ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield the size of each batch of all processes together, and the rows of it that this process has."""
        if self.group is None:
            for batch in data.batches(batch_size, seed, epoch):
                yield len(next(iter(batch.values()))), batch
            return
        part = (self.group.rank, self.group.size)
        for number, batch in enumerate(in_parts(data, part, batch_size, seed, epoch)):
            yield min(batch_size, len(data) - number * batch_size), batch

    def train_on(self, size: int, batch: Mapping[str, np.ndarray]) -> None:
        """Run one step on the own rows of a batch of `size`; its loss goes to running sums in the memory."""
        step = self.step(size)
        for name, array in self.columns.arrays(batch).items():
            step.write(name, array)
        with whole():
            step.run()
            p = self.position
            p.batch, p.step, p.examples = p.batch + 1, p.step + 1, p.examples + size

    def totals(self) -> dict[str, float]:
        """Return the mean loss and the accuracy over what was trained on in this epoch."""
        any_step = next(iter(self._steps.values()), None) or self.step(self.batch_size)
        count = float(any_step.read(EXAMPLES))
        found = {"loss": float(any_step.read(LOSS)) / count if count else float("nan")}
        if self.objective.counts_labels:
            found["accuracy"] = float(any_step.read(CORRECT)) / count if count else float("nan")
        return found

    def scaling(self) -> dict[str, float]:
        """Return the scale of the loss now and how many steps were left out, where there is a scale."""
        if self.loss_scale is None:
            return {}
        any_step = next(iter(self._steps.values()))
        moves = SCALE in self.loss_scale.state
        return {
            "loss_scale": float(any_step.read(SCALE)) if moves else self.loss_scale.start,
            "skipped_steps": int(any_step.read(SKIPPED)),
        }

    def end_epoch(self) -> None:
        """Begin the next epoch with running sums of zero.

        Raises:
            DistributedError: the processes no longer have the same parameters.
        """
        self.position.epoch, self.position.batch = self.position.epoch + 1, 0
        any_step = next(iter(self._steps.values()))
        for name in TOTALS[: 3 if self.objective.counts_labels else 2]:
            any_step.executable.write(name, np.zeros(()))
        for parameters in any_step.layout.groups if self.group is not None else ():
            check_drift(self.group, parameters.state, any_step.read(parameters.state))

    def trained(self) -> Network:
        """Return the network with the parameters as they are now."""
        return (
            parameters_of(next(iter(self._steps.values())), self.network)
            if self._steps
            else self.network
        )

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all persistent buffers by name."""
        if not self._steps or self.memory is None:
            return dict(self._first)
        one = next(iter(self._steps.values()))
        return {name: one.read(name) for name in one.program.state}

    def checkpoint(self, options: Mapping[str, Any]) -> Checkpoint:
        """Return everything needed to go on as if nothing had happened."""
        return Checkpoint(self.trained(), self.state(), vars(self.position).copy(), options)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go to where a checkpoint left off; the scale of its loss counts where this session has one too."""
        self.position = Position(**checkpoint.position)
        strange = set(STATE).difference(self.loss_scale.state if self.loss_scale else ())
        self._first = {n: a for n, a in checkpoint.state.items() if n not in strange}
