"""An epoch of LeNet on MNIST, each time as people would write it: ours, and PyTorch in three ways.

Each takes the number of examples to train on; the 10,000 test images are classified by all of them.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

BATCH, JUDGED = 64, 256  # examples per training step, per evaluation
ALL = 60_000
ACCURACY = 0.97  # of an epoch over all examples; below, it did not train


def cortex_epoch(examples: int = ALL, isa: str | None = None) -> None:
    """Train and evaluate with `cortex.fit`, for the best instruction set or the one named."""
    from peers import ours

    import cortex
    from cortex import datasets, models

    train: Any = datasets.mnist("train")
    if examples < ALL:
        train = next(iter(train.batches(examples)))
    with ours.forced(isa) if isa else nullcontext():
        result = cortex.fit(
            models.lenet(),
            train,
            test=datasets.mnist("test"),
            epochs=1,
            batch_size=BATCH,
            progress=False,
        )
    _check(result.metrics["test_accuracy"], examples)


def torch_epoch(examples: int = ALL) -> None:
    """Train and evaluate with `TensorDataset` and `DataLoader`."""
    import torch
    from networks import LENET
    from peers import pytorch
    from torch.utils.data import DataLoader, TensorDataset

    images, labels = _tensors("train")
    data = TensorDataset(images[:examples], labels[:examples])
    train = DataLoader(data, batch_size=BATCH, shuffle=True)
    test = DataLoader(TensorDataset(*_tensors("test")), batch_size=JUDGED)
    model = pytorch.network(LENET)
    optimiser = torch.optim.Adam(model.parameters())
    criterion = torch.nn.CrossEntropyLoss()
    for x, y in train:
        optimiser.zero_grad()
        criterion(model(x), y).backward()
        optimiser.step()
    right = 0
    with torch.no_grad():
        for x, y in test:
            right += int((model(x).argmax(1) == y).sum())
    _check(right / 10_000, examples)


def torch_epoch_by_index(examples: int = ALL, way: str = "eager") -> None:
    """The same with batches cut by index, which spares the loader's work per example."""
    import torch
    from networks import LENET
    from peers import pytorch

    (images, labels), (others, answers) = _tensors("train"), _tensors("test")
    last = torch.channels_last if "channels last" in way else torch.contiguous_format
    images, others = images.to(memory_format=last), others.to(memory_format=last)
    model = pytorch.network(LENET, way)
    optimiser = torch.optim.Adam(model.parameters(), fused=True if "fused" in way else None)
    criterion = torch.nn.CrossEntropyLoss()
    for rows in torch.randperm(examples).split(BATCH):
        optimiser.zero_grad()
        criterion(model(images[rows]), labels[rows]).backward()
        optimiser.step()
    with torch.no_grad():
        right = sum(
            int((model(x).argmax(1) == y).sum())
            for x, y in zip(others.split(JUDGED), answers.split(JUDGED), strict=True)
        )
    _check(right / 10_000, examples)


def torch_epoch_at_its_best(examples: int = ALL) -> None:
    """The same in the layout and with the optimiser that are fastest."""
    torch_epoch_by_index(examples, "channels last, fused")


def _tensors(part: str) -> tuple[Any, Any]:
    """Return images [n, 1, 28, 28] in 0..1 and labels of a part of MNIST."""
    import torch

    from cortex import datasets

    digits: Any = datasets.mnist(part)
    rows = next(iter(digits.batches(len(digits))))
    images, labels = (np.asarray(rows[c]) for c in digits.columns)
    x = torch.from_numpy(images.reshape(-1, 1, 28, 28).astype(np.float32) / 255)
    return x, torch.from_numpy(labels.astype(np.int64))


def _check(accuracy: float, examples: int) -> None:
    if examples == ALL and accuracy < ACCURACY:
        raise SystemExit(
            f"an epoch ended with a test accuracy of {accuracy:.4f}; it did not train, no time"
        )
