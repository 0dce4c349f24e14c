"""Convolutions layer by layer and pass by pass: effective GFLOP/s of Winograd, of the direct kernels, and of torch.

    python benchmarks/convolutions.py [LAYER ...] [--peak GFLOPS]

Effective: the multiplications and additions of the direct method, divided by the CPU seconds of one core. The transform
of the filters, once a step in training and once for all in inference, stands apart. Training layers (batch 64) lie in
batch lanes, inference layers channels last. The error is the largest difference from the direct kernels in float64,
over the largest value.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness import ROOT, has, one_core

sys.path.append(str(ROOT))
one_core()

import numpy as np  # noqa: E402

from cortex.compute.cpu.backend import CpuBackend  # noqa: E402
from cortex.compute.layouts import BATCH_LANES, CHANNELS_LAST  # noqa: E402
from cortex.compute.ops import (  # noqa: E402
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
    Window,
)
from cortex.compute.ops.arranged import Arranged  # noqa: E402
from cortex.compute.program import Program  # noqa: E402

ROUNDS = 5
PEAK = 117.0  # GFLOP/s of one core of the machine the documents speak of


@dataclass(frozen=True)
class Layer:
    """A convolution of square images and kernels."""

    name: str
    batch: int
    channels: int
    image: int
    filters: int
    kernel: int = 3
    padding: int = 1

    @property
    def flops(self) -> float:
        """Operations of the direct method."""
        out = self.image + 2 * self.padding - self.kernel + 1
        return 2.0 * self.batch * self.channels * self.filters * (self.kernel * out) ** 2


LAYERS = [Layer("lenet", 64, 20, 12, 50, 5, 0)]
LAYERS += [Layer(f"{c}@{n}", 64, c, n, c) for c, n in ((64, 32), (128, 16), (256, 8), (512, 4))]
VGG = ((64, 224), (128, 112), (256, 56), (512, 28), (512, 14))
LAYERS += [Layer(f"vgg-{c}@{n}-b{b}", b, c, n, c) for b in (1, 8) for c, n in VGG]


def passes(layer: Layer, arranged: bool, dtype: str = "float32") -> dict[str, Any]:
    """Return an executable with its inputs written for each pass, forward alone in channels last."""
    window = Window.of(layer.kernel, 1, layer.padding)
    layout = BATCH_LANES if layer.batch == 64 else CHANNELS_LAST
    out = window.output("Convolution", (layer.image,) * 2)
    shapes = {
        "x": (layer.batch, layer.channels, layer.image, layer.image),
        "w": (layer.filters, layer.channels, layer.kernel, layer.kernel),
        "dy": (layer.batch, layer.filters, *out),
    }
    ops = {"forward": (Convolution(window), "x", "w")}
    if layout is BATCH_LANES:
        ops["dx"] = (ConvolutionInputGradient(window, (layer.image,) * 2), "dy", "w")
        ops["dw"] = (ConvolutionKernelGradient(window), "x", "dy")
    made = {}
    for name, (op, *names) in ops.items():
        program = Program()
        values = []
        for n in names:
            inside = arranged and n != "w"
            shape = layout.shape(shapes[n]) if inside else shapes[n]
            values.append(program.input(n, shape, dtype))
        y = program.apply(Arranged(op, layout, layer.batch) if arranged else op, *values)
        program.output("out", y)
        executable = CpuBackend().compile(program)
        for n in names:
            data = np.random.default_rng(len(n)).standard_normal(shapes[n], np.float32)
            if arranged and n != "w":
                if layout is BATCH_LANES:
                    data = data.reshape(layer.batch // 16, 16, *data.shape[1:])
                data = np.moveaxis(data, 1, -1)
            executable.write(n, np.ascontiguousarray(data).astype(dtype))
        made[name] = executable
    return made


def dense(layer: Layer, name: str, result: np.ndarray) -> np.ndarray:
    """Return the result of an arranged pass as dense."""
    if name == "dw":
        return result
    result = np.moveaxis(result, -1, 1)
    return result.reshape(-1, *result.shape[2:]) if layer.batch == 64 else result


def error(layer: Layer, name: str, winograd: Any) -> float:
    """Return the largest error of a pass over its largest value; on a batch of 64 at 32x32 it takes seconds."""
    exact = passes(layer, False, "float64")[name]
    winograd.run()
    exact.run()
    wanted, actual = exact.read("out"), dense(layer, name, winograd.read("out"))
    return float(np.abs(actual - wanted).max() / np.abs(wanted).max())


def torch_passes(layer: Layer) -> dict[str, Callable[[], object]]:
    """Return the same passes in torch, channels last."""
    import torch

    torch.set_num_threads(1)
    last = torch.channels_last
    x = torch.randn(layer.batch, layer.channels, layer.image, layer.image).to(memory_format=last)
    w = torch.randn(layer.filters, layer.channels, layer.kernel, layer.kernel).to(
        memory_format=last
    )
    p = layer.padding
    dy = torch.nn.functional.conv2d(x, w, padding=p)
    inputs = torch.nn.grad.conv2d_input
    weights = torch.nn.grad.conv2d_weight
    return {
        "forward": lambda: torch.nn.functional.conv2d(x, w, padding=p),
        "dx": lambda: inputs(x.shape, w, dy, padding=p),
        "dw": lambda: weights(x, w.shape, dy, padding=p),
    }


def seconds(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median CPU seconds of each, measured in turns."""
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begin = time.process_time()
            run()
            spent[name].append(time.process_time() - begin)
    return {name: statistics.median(s) for name, s in spent.items()}


def filter_seconds(executable: Any) -> float:
    """Return the seconds of the transform of the filters, the first instruction of a pass that has weights."""
    return statistics.median(executable.profile()[0][2] for _ in range(ROUNDS))


def report(layer: Layer, peak: float) -> None:
    """Print a row for each pass of a layer."""
    arranged, direct = passes(layer, True), passes(layer, False)
    peers = torch_passes(layer) if has("torch") else {}
    for name in arranged:
        runs = {"winograd": arranged[name].run, "direct": direct[name].run}
        if name in peers:
            runs["torch"] = peers[name]
        found = seconds(runs)
        apart = 0.0 if name == "dw" else filter_seconds(arranged[name])
        own = found["winograd"] - apart
        cells = [f"{1e3 * own:.3f}", f"{1e3 * apart:.3f}", f"{layer.flops / own / 1e9:.0f}"]
        cells.append(f"{layer.flops / own / 1e9 / peak:.2f}")
        cells += [
            f"{layer.flops / found[n] / 1e9:.0f}" if n in found else "-"
            for n in ("direct", "torch")
        ]
        cells.append(f"{error(layer, name, arranged[name]):.1e}")
        print(f"| {layer.name} | {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the table of the layers named on the command line, or of all."""
    names = sys.argv[1:]
    peak = PEAK
    if "--peak" in names:
        at = names.index("--peak")
        peak = float(names[at + 1])
        del names[at : at + 2]
    heads = "layer", "pass", "ms", "filters ms", "GFLOP/s", "x peak", "direct", "torch", "error"
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for layer in LAYERS:
        if not names or layer.name in names:
            report(layer, peak)


if __name__ == "__main__":
    main()
