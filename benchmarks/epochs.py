"""An epoch of LeNet on MNIST, each time as people would write it: ours, and PyTorch in two ways."""

from __future__ import annotations

from typing import Any

import numpy as np

BATCH, JUDGED = 64, 256  # examples per training step, per evaluation


def cortex_epoch(epochs: int) -> None:
    """Train and evaluate with `cortex.fit`."""
    import cortex
    from cortex import datasets, models

    train, test = datasets.mnist("train"), datasets.mnist("test")
    result = cortex.fit(
        models.lenet(), train, test=test, epochs=epochs, batch_size=BATCH, progress=False
    )
    _check(result.metrics["test_accuracy"])


def torch_epoch(epochs: int) -> None:
    """Train and evaluate with `TensorDataset` and `DataLoader`."""
    import torch
    from networks import LENET, torch_network
    from torch.utils.data import DataLoader, TensorDataset

    train = DataLoader(TensorDataset(*_tensors("train")), batch_size=BATCH, shuffle=True)
    test = DataLoader(TensorDataset(*_tensors("test")), batch_size=JUDGED)
    model = torch_network(LENET)
    optimiser = torch.optim.Adam(model.parameters())
    criterion = torch.nn.CrossEntropyLoss()
    for _ in range(epochs):
        for x, y in train:
            optimiser.zero_grad()
            criterion(model(x), y).backward()
            optimiser.step()
        right = 0
        with torch.no_grad():
            for x, y in test:
                right += int((model(x).argmax(1) == y).sum())
        _check(right / 10_000)


def torch_epoch_by_index(epochs: int) -> None:
    """The same with batches cut by index, which spares the loader's work per example."""
    import torch
    from networks import LENET, torch_network

    (images, labels), (others, answers) = _tensors("train"), _tensors("test")
    model = torch_network(LENET)
    optimiser = torch.optim.Adam(model.parameters())
    criterion = torch.nn.CrossEntropyLoss()
    for _ in range(epochs):
        for rows in torch.randperm(len(labels)).split(BATCH):
            optimiser.zero_grad()
            criterion(model(images[rows]), labels[rows]).backward()
            optimiser.step()
        with torch.no_grad():
            right = sum(
                int((model(x).argmax(1) == y).sum())
                for x, y in zip(others.split(JUDGED), answers.split(JUDGED), strict=True)
            )
        _check(right / 10_000)


def _tensors(part: str) -> tuple[Any, Any]:
    """Return images [n, 1, 28, 28] in 0..1 and labels of a part of MNIST."""
    import torch

    from cortex import datasets

    digits: Any = datasets.mnist(part)
    rows = next(iter(digits.batches(len(digits))))
    images, labels = (np.asarray(rows[c]) for c in digits.columns)
    x = torch.from_numpy(images.reshape(-1, 1, 28, 28).astype(np.float32) / 255)
    return x, torch.from_numpy(labels.astype(np.int64))


def _check(accuracy: float) -> None:
    if accuracy < 0.97:
        raise SystemExit(
            f"an epoch ended with a test accuracy of {accuracy:.4f}; it did not train, no time"
        )
