"""PyTorch: eager, fused optimiser, channels last, compiled; networks translated from cortex layers.

| way | what |
|---|---|
| eager | the defaults |
| fused | the optimiser as one kernel |
| channels last, fused | images and kernels NHWC as well, what the documentation recommends for convolutions |
| compile, ... | `torch.compile` of network and loss, with static shapes; on a GPU in its best mode (CUDA graphs) |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from harness import STEPS_CHECKED, Contender, Settings
from networks import Batch, Workload
from torch import nn

from cortex import layers as L


def ways(workload: Workload, settings: Settings) -> list[str]:
    """Return the configurations worth a column."""
    made = ["eager", "fused"]
    images = any(isinstance(a, L.Convolution) for a in workload.layers)
    made += ["channels last, fused"] * images
    if settings.compiled:
        made += ["compile, fused"] + ["compile, channels last, fused"] * images
    return made


def training(
    workload: Workload,
    batch: Batch,
    way: str,
    device: str = "cpu",
    precision: str | None = None,
) -> Contender:
    """Return the training step in one of the `ways`; with a `precision` the batch lies on the device.

    "float32", "tf32" and "bfloat16" (mixed, as autocast chooses) are precisions.
    """
    model = network(workload, way).to(device)
    parameters, fused = model.parameters(), True if "fused" in way else None
    optimiser: Any = (
        torch.optim.Adam(parameters, lr=0.001, fused=fused)
        if workload.optimiser == "adam"
        else torch.optim.SGD(parameters, lr=0.01, momentum=0.9, fused=fused)
    )
    criterion = nn.CrossEntropyLoss()

    def given() -> Any:
        return images(batch.images, way), torch.from_numpy(batch.labels)

    if precision is not None:
        resident = [a.to(device) for a in given()]
        given = lambda: resident  # noqa: E731
        torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
        torch.backends.cudnn.allow_tf32 = precision != "float32"
        torch.backends.cudnn.benchmark = True

    def loss_of(x: Any, y: Any) -> Any:
        return criterion(model(x), y)

    if "compile" in way:
        mode = "max-autotune" if device == "cuda" else None
        loss_of = torch.compile(loss_of, dynamic=False, mode=mode)
    if precision == "bfloat16":
        loss_of = torch.autocast(device, torch.bfloat16)(loss_of)

    def step() -> Any:
        optimiser.zero_grad()
        loss = loss_of(*given())
        loss.backward()
        optimiser.step()
        return loss

    def run(count: int) -> None:
        for _ in range(count):
            step()

    losses = lambda: [float(step().detach()) for _ in range(STEPS_CHECKED)]  # noqa: E731
    return Contender(f"PyTorch {way}", run, losses)


def inference(workload: Workload, x: np.ndarray, way: str) -> Contender:
    """Return the inference of a batch in one of the `ways`."""
    model = network(workload, way).eval()
    if "compile" in way:
        model = torch.compile(model, dynamic=False)

    def run(count: int) -> Any:
        with torch.inference_mode():
            for _ in range(count):
                y = model(images(x, way)).numpy()
        return y

    return Contender(f"PyTorch {way}", run, lambda: run(1))


def adam(size: int, gradient: np.ndarray, fused: bool) -> Contender:
    """Return Adam's update of `size` parameters alone."""
    w = torch.zeros(size, requires_grad=True)
    w.grad = torch.from_numpy(gradient)
    optimiser = torch.optim.Adam([w], fused=fused or None)

    def run(count: int) -> None:
        for _ in range(count):
            optimiser.step()

    def first() -> np.ndarray:
        run(1)
        return w.detach().numpy()[:1000].copy()

    return Contender(f"PyTorch Adam{', fused' * fused}", run, first)


def images(x: np.ndarray, way: str) -> Any:
    """Return a batch as a tensor in the layout of that way."""
    made = torch.from_numpy(x)
    return made.to(memory_format=torch.channels_last) if "channels last" in way else made


def network(workload: Workload, way: str = "eager") -> nn.Module:
    """Return the network with our weights."""
    weights = iter(workload.weights())
    model = nn.Sequential(*(module(layer, weights) for layer in workload.layers))
    return model.to(memory_format=torch.channels_last) if "channels last" in way else model


class _Mean(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.mean((2, 3))


class _Residual(nn.Module):
    def __init__(self, body: nn.Module, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Any) -> Any:
        return (x if self.shortcut is None else self.shortcut(x)) + self.body(x)


def module(layer: Any, weights: Iterator[np.ndarray]) -> nn.Module:
    """Return the module that does what a layer does, with the next of the weights."""
    match layer:
        case L.Convolution():
            w = next(weights)
            made: Any = nn.Conv2d(
                w.shape[1], len(w), w.shape[2:], layer.stride, layer.padding, bias=layer.bias
            )
            return _filled(made, w, *([next(weights)] if layer.bias else []))
        case L.Linear():
            w, b = next(weights), next(weights)
            return nn.Sequential(nn.Flatten(), _filled(nn.Linear(w.shape[1], len(w)), w, b))
        case L.BatchNormalisation():
            scale, bias, mean, variance = (next(weights) for _ in range(4))
            made = nn.BatchNorm2d(len(scale), layer.epsilon, 1 - layer.momentum)
            made.running_mean.copy_(torch.from_numpy(mean.copy()))
            made.running_var.copy_(torch.from_numpy(variance.copy()))
            return _filled(made, scale, bias)
        case L.MaxPooling():
            return nn.MaxPool2d(layer.size, layer.stride, layer.padding)
        case L.Relu():
            return nn.ReLU(inplace=True)
        case L.GlobalAveragePooling():
            return _Mean()
        case L.Sequence():
            return nn.Sequential(*(module(a, weights) for a in layer.layers))
        case L.Residual():
            body = nn.Sequential(*(module(a, weights) for a in layer.layers))
            shortcut = None if layer.shortcut is None else module(layer.shortcut, weights)
            return _Residual(body, shortcut)
    raise TypeError(f"{layer} has no counterpart in PyTorch here; add one")


def _filled(made: Any, *arrays: np.ndarray) -> nn.Module:
    with torch.no_grad():
        for p, a in zip(made.parameters(), arrays, strict=True):
            p.copy_(torch.from_numpy(a.copy()))  # ours are read-only
    return made
