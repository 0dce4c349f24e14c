"""Training steps on a GPU against PyTorch (eager, compiled) and JAX, at equal precision.

    python benchmarks/gpu.py                            # prints the tables
    python benchmarks/gpu.py --json results.json        # and writes them; scripts/verify_gpu.py does this

Data lies on the device, weights and batches are common, everything is warm; times are those between two events of the
stream, medians over blocks that take turns. Needs a GPU; peers are those that are installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from harness import ROOT, TOLERANCE, has
from networks import LENET, Batch, Workload, jax_peer, torch_network

sys.path.append(str(ROOT))

WIDE_MLP = Workload("MLP 784-512-512-10", (), (512, 512, 10))
ROUNDS, BLOCK = 9, 0.05  # blocks of each contender, and the seconds of one
CHECKED = 3  # steps whose losses are compared


@dataclass(frozen=True)
class Timed:
    """Median seconds of a step on the device, least and most of all blocks; bytes on the device where known."""

    workload: str
    contender: str
    median: float
    least: float
    most: float
    bytes: int | None = None
    note: str = ""


@dataclass
class Runner:
    """A contender: `run(k)` enqueues k steps, `timed` measures what is enqueued, `loss` runs one step and reads it."""

    name: str
    run: Callable[[int], None]
    timed: Callable[[Callable[[], None]], float]
    loss: Callable[[], float] | None = None
    bytes: Callable[[], int | None] = lambda: None


def resnet(depth: int) -> Any:
    """Return ResNet-18 or -50 for 1,000 classes. He, Zhang, Ren and Sun 2016, table 1."""
    import cortex
    from cortex.layers import (
        BatchNormalisation,
        Convolution,
        GlobalAveragePooling,
        Input,
        Linear,
        MaxPooling,
        Relu,
        Residual,
        Sequence,
    )

    def normalised(kernels: int, kernel: int, stride: int = 1) -> list[Any]:
        padding = kernel // 2
        return [
            Convolution(kernels, kernel, stride=stride, padding=padding, bias=False),
            BatchNormalisation(),
        ]

    blocks = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]
    nodes: list[Any] = [("image", Input(3, 224, 224)), *normalised(64, 7, 2), Relu()]
    nodes.append(MaxPooling(3, stride=2, padding=1))
    channels = 64
    for stage, count in enumerate(blocks):
        width = 64 << stage
        out = width if depth == 18 else 4 * width
        for block in range(count):
            stride = 2 if stage and not block else 1
            if depth == 18:
                body = [*normalised(width, 3, stride), Relu(), *normalised(width, 3)]
            else:
                body = [
                    *normalised(width, 1),
                    Relu(),
                    *normalised(width, 3, stride),
                    Relu(),
                    *normalised(out, 1),
                ]
            changes = stride != 1 or channels != out
            shortcut = Sequence(tuple(normalised(out, 1, stride))) if changes else None
            nodes += [Residual(tuple(body), shortcut), Relu()]
            channels = out
    return cortex.Network([*nodes, GlobalAveragePooling(), Linear(1000)], seed=1)


def ours(network: Any, images: np.ndarray, labels: np.ndarray, backend: Any) -> Runner:
    """Return our captured training step with Adam."""
    import cortex
    from cortex.losses import SoftmaxCrossEntropy
    from cortex.optimise.optimisers import Adam

    step = cortex.training_step(
        network,
        optimiser=Adam(),
        batch_size=len(labels),
        loss=SoftmaxCrossEntropy(),
        backend=backend,
    )
    step.write("image", images)
    step.write("label", labels.astype(np.int32))

    def loss() -> float:
        step.run()
        return float(step.read("loss"))

    executable: Any = step.executable
    return Runner(
        f"cortex {backend.options.precision}", executable.run, backend.device.timed, loss,
        lambda: step.report.total,
    )  # fmt: skip


def torch_step(
    model: Any, images: np.ndarray, labels: np.ndarray, way: str, precision: str
) -> Runner:
    """Return PyTorch's step: `eager`, or `compiled` by torch.compile in its best mode (CUDA graphs)."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"
    torch.backends.cudnn.benchmark = True
    last = torch.channels_last if images.ndim == 4 else torch.contiguous_format
    model = model.cuda().to(memory_format=last)
    x = torch.from_numpy(images).cuda().to(memory_format=last)
    y = torch.from_numpy(labels).cuda()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=True)
    criterion = torch.nn.CrossEntropyLoss()
    half = precision == "bfloat16"

    def forward() -> Any:
        with torch.autocast("cuda", torch.bfloat16, enabled=half):
            return criterion(model(x), y)

    compiled = torch.compile(forward, mode="max-autotune") if way == "compiled" else forward

    def step() -> Any:
        optimiser.zero_grad(set_to_none=True)
        loss = compiled()
        loss.backward()
        optimiser.step()
        return loss

    def run(count: int) -> None:
        for _ in range(count):
            step()

    def timed(work: Callable[[], None]) -> float:
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        stop.record()
        stop.synchronize()
        return float(start.elapsed_time(stop)) / 1e3

    return Runner(
        f"PyTorch {way} {precision}", run, timed, lambda: float(step().detach()),
        lambda: int(torch.cuda.max_memory_allocated()),
    )  # fmt: skip


def jax_step(workload: Workload, batch: Batch) -> Runner | None:
    """Return JAX's compiled step, where JAX sees the GPU; wall clock, as it has no events."""
    import time

    import jax

    if jax.default_backend() != "gpu":
        return None
    peer = jax_peer(workload, batch)

    def timed(work: Callable[[], None]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return Runner("JAX jit (wall)", peer.run, timed)


def measured(workload: str, runners: Sequence[Runner], note: str = "") -> list[Timed]:
    """Compare the first losses, then time the contenders in turns.

    Raises:
        SystemExit: the losses of two contenders differ.
    """
    losses = {r.name: [r.loss() for _ in range(CHECKED)] for r in runners if r.loss}
    first = next(iter(losses.values()))
    for name, found in losses.items():
        if not np.allclose(found, first, rtol=20 * TOLERANCE if "tf32" in name else TOLERANCE):
            raise SystemExit(f"{workload}: {name} has losses {found}, the first {first}; no times")
    counts = []
    for r in runners:
        r.timed(lambda r=r: r.run(3))
        counts.append(max(1, round(BLOCK / max(1e-6, r.timed(lambda r=r: r.run(5)) / 5))))
    seconds: list[list[float]] = [[] for _ in runners]
    for _ in range(ROUNDS):
        for i, r in enumerate(runners):
            seconds[i].append(r.timed(lambda r=r, n=counts[i]: r.run(n)) / counts[i])
    return [
        Timed(workload, r.name, statistics.median(s), min(s), max(s), r.bytes(), note)
        for r, s in zip(runners, seconds, strict=True)
    ]


def small(backends: Sequence[Any], sizes: Sequence[int] = (64, 256)) -> list[Timed]:
    """MLP and LeNet: what a launch costs."""
    found = []
    for workload in (WIDE_MLP, LENET):
        for size in sizes:
            batch = Batch.of(size)
            network = workload.network().with_parameters(workload.network().parameters)
            runners = [ours(network, batch.images, batch.labels, b) for b in backends]
            if has("torch"):
                for way in ("eager", "compiled"):
                    model = torch_network(workload)
                    runners.append(torch_step(model, batch.images, batch.labels, way, "float32"))
            if has("jax") and (peer := jax_step(workload, batch)):
                runners.append(peer)
            found += measured(f"{workload.name}, batch {size}", runners)
    return found


def residual(backends: Sequence[Any], depth: int, size: int) -> list[Timed]:
    """ResNet: what the libraries and the layout are worth."""
    generator = np.random.default_rng(0)
    images = generator.standard_normal((size, 3, 224, 224), dtype=np.float32)
    labels = generator.integers(0, 1000, size)
    name = f"ResNet-{depth}, batch {size}"
    found = []
    for backend in backends:
        found += measured(name, [ours(resnet(depth), images, labels, backend)])
    if has("torch") and has("torchvision"):
        import torchvision

        for precision in ("tf32", "bfloat16"):
            for way in ("eager", "compiled"):
                model = getattr(torchvision.models, f"resnet{depth}")()
                found += measured(name, [torch_step(model, images, labels, way, precision)])
    return found


def launches(backend: Any, count: int = 200) -> list[Timed]:
    """What one node of a graph and one launch of a graph cost: a chain of tiny products."""
    from cortex.compute.ops import MatMul
    from cortex.compute.program import Program

    p = Program()
    x = p.persistent("x", (16, 16))
    y = x
    for _ in range(count):
        y = p.apply(MatMul(), y, x)
    p.output("y", y)
    executable = backend.compile(p)
    executable.run()
    executable.read("y")
    seconds = [backend.device.timed(lambda: executable.run(20)) / 20 for _ in range(ROUNDS)]
    nodes = f"{executable.launches} nodes"
    return [
        Timed(
            "graph of tiny products",
            "cortex",
            statistics.median(seconds),
            min(seconds),
            max(seconds),
            None,
            nodes,
        )
    ]


def table(rows: Sequence[Timed]) -> str:
    """Return results as Markdown, one line each."""
    lines = ["| workload | | ms per step | least .. most | MiB |", "|---|---|---|---|---|"]
    for r in rows:
        memory = f"{r.bytes / 2**20:,.0f}" if r.bytes else ""
        spread = f"{1e3 * r.least:.3f} .. {1e3 * r.most:.3f}"
        name = f"{r.contender} ({r.note})" if r.note else r.contender
        lines.append(f"| {r.workload} | {name} | {1e3 * r.median:.3f} | {spread} | {memory} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure everything; return 1 where there is no GPU."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--quick", action="store_true", help="MLP and LeNet only")
    options = parser.parse_args(arguments)
    from cortex.compute import availability

    state = availability("cuda")
    if not state.works:
        print(f"no GPU to measure on: {state.reason}", file=sys.stderr)
        return 1
    from cortex.gpu_compute.backend import CudaBackend
    from cortex.gpu_compute.cuda import CudaDevice

    device = CudaDevice()
    strict = CudaBackend(device)
    tf32, half = (
        CudaBackend(device, precision=p, deterministic=False) for p in ("tf32", "bfloat16")
    )
    rows = launches(strict) + small([strict, tf32])
    for depth in () if options.quick else (18, 50):
        rows += residual([tf32, half], depth, 256)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in rows], indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
