"""`Session`: the executables of one training run over one memory, and the position in the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex.compute.backend import Backend, Executable
from cortex.datasets import Dataset, prefetch
from cortex.executables import parameters_of, training_step

from .checkpoint import Checkpoint
from .columns import Columns
from .interrupt import whole

if TYPE_CHECKING:
    from cortex.network import Network


@dataclass
class Position:
    """Where a run stands: complete epochs, batches done in the current one, steps and examples in all, running sums."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    examples: int = 0
    loss_sum: float = 0.0
    weight_sum: float = 0.0

    def to_data(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return dict(vars(self))


@dataclass
class Session:
    """Everything that changes while a network trains."""

    network: Network
    columns: Columns
    options: Mapping[str, Any]  # keyword arguments of `training_step`
    batch_size: int
    seed: int
    backend: Backend
    position: Position = field(default_factory=Position)
    memory: Any = None
    _executables: dict[int, Executable] = field(default_factory=dict)
    _initial: Mapping[str, np.ndarray] | None = None

    def executable(self, size: int) -> Executable:
        """Return the training step for batches of `size`; the last, smaller batch has one of its own."""
        if size not in self._executables:
            made = training_step(
                self.network,
                batch_size=size,
                backend=self.backend,
                seed=self.seed,
                memory=self.memory,
                **self.options,
            )
            if self.memory is None:
                self.memory = made.memory
                for name, array in (self._initial or {}).items():
                    made.write(name, array)
            self._executables[size] = made
        return self._executables[size]

    def batches(self, data: Dataset) -> Iterator[dict[str, np.ndarray]]:
        """Yield what is left of the current epoch, prepared ahead on a thread."""
        whole = data.batches(self.batch_size, seed=self.seed, epoch=self.position.epoch)
        return prefetch(islice(whole, self.position.batch, None))

    def train_on(self, batch: Mapping[str, np.ndarray]) -> None:
        """Run one step and add its loss to the running sums."""
        arrays = self.columns.arrays(batch)
        size = len(next(iter(arrays.values())))
        executable = self.executable(size)
        for name, array in arrays.items():
            executable.write(name, array)
        with whole():
            executable.run()
            p = self.position
            p.batch, p.step, p.examples = p.batch + 1, p.step + 1, p.examples + size
            p.loss_sum += float(executable.read("loss")) * size
            p.weight_sum += size

    def end_epoch(self) -> None:
        """Begin the next epoch."""
        p = self.position
        p.epoch, p.batch, p.loss_sum, p.weight_sum = p.epoch + 1, 0, 0.0, 0.0

    def trained(self) -> Network:
        """Return the network with the parameters as they are now."""
        if not self._executables:
            return self.network
        return parameters_of(next(iter(self._executables.values())), self.network)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go to where a checkpoint left off."""
        self.position = Position(**checkpoint.position)
        self._initial = checkpoint.state

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of all persistent buffers by name."""
        if not self._executables:
            return dict(self._initial or {})
        one = next(iter(self._executables.values()))
        return {name: one.read(name) for name in self.memory.names()}

    def checkpoint(self, options: Mapping[str, Any]) -> Checkpoint:
        """Return everything needed to go on as if nothing had happened."""
        return Checkpoint(self.trained(), self.state(), self.position.to_data(), options)
