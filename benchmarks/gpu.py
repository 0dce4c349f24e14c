"""Training steps on a GPU against PyTorch (eager, compiled) and JAX, at equal precision.

    python benchmarks/gpu.py                            # prints the tables
    python benchmarks/gpu.py --json results.json        # and writes them; scripts/verify_gpu.py does this

Data lies on the device, weights and batches are common, everything is warm; times are those between two events of the
stream (of JAX, which has none, the wall clock), medians over blocks. Small steps take turns; of large ones one
contender at a time is on the device. Needs a GPU; peers are those that are installed and see it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from harness import ROOT, TOLERANCE, Contender, Settings, agree, has, in_turns

sys.path.append(str(ROOT))

ROUNDS, BLOCK = 9, 0.05  # blocks of each contender, and the seconds of one
SMALL, SIZES = ("WIDE_MLP", "LENET"), (64, 256)
LARGE, LARGE_SIZE = ("RESNET_18", "RESNET_50"), 256
ROUNDED = {"tf32": 1e-2, "bfloat16": 5e-2}  # how far first losses may be apart; later ones drift


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


@dataclass(frozen=True)
class Runner:
    """A contender on a device: its `run(k)` enqueues k steps, `timed` measures what is enqueued, in seconds."""

    contender: Contender
    timed: Callable[[Callable[[], object]], float]
    bytes: Callable[[], int | None] = lambda: None


@dataclass(frozen=True)
class Group:
    """Contenders for one workload at one precision; each is built when its turn comes."""

    title: str
    precision: str
    makers: Sequence[Callable[[], Runner]]


def wall(work: Callable[[], object]) -> float:
    """Return the seconds on the clock that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ours(workload: Any, batch: Any, backend: Any) -> Runner:
    """Return our captured training step."""
    from peers.ours import resident_training

    step, contender = resident_training(workload, batch, backend)
    return Runner(contender, backend.device.timed, lambda: step.report.total)


def torch_step(workload: Any, batch: Any, way: str, precision: str) -> Runner:
    """Return PyTorch's step in one of its ways; its bytes are the most it has held beyond what was there."""
    import torch
    from peers import pytorch

    def timed(work: Callable[[], object]) -> float:
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        stop.record()
        stop.synchronize()
        return float(start.elapsed_time(stop)) / 1e3

    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    contender = pytorch.training(workload, batch, way, "cuda", precision)
    return Runner(contender, timed, lambda: int(torch.cuda.max_memory_allocated()) - before)


def jax_step(workload: Any, batch: Any, precision: str) -> Runner:
    """Return JAX's compiled step."""
    from peers import xla

    return Runner(xla.training(workload, batch, precision), wall)


def group(workload: Any, batch: Any, backend: Any, ways: Callable[[str], bool]) -> Group:
    """Return cortex and the peers that see the GPU, PyTorch in those of its ways that `ways` takes."""
    precision = backend.options.precision
    makers = [partial(ours, workload, batch, backend)]
    if torch_sees_it():
        from peers import pytorch

        every = pytorch.ways(workload, Settings(compiled=True))
        makers += [partial(torch_step, workload, batch, w, precision) for w in every if ways(w)]
    if jax_sees_it():
        makers.append(partial(jax_step, workload, batch, precision))
    return Group(f"{workload.name}, batch {len(batch.labels)}, {precision}", precision, makers)


def torch_sees_it() -> bool:
    """Whether PyTorch is installed and has a GPU."""
    if not has("torch"):
        return False
    import torch

    return bool(torch.cuda.is_available())


def jax_sees_it() -> bool:
    """Whether JAX is installed and has a GPU; it then takes memory as it needs it, not most of it at once."""
    if not has("jax"):
        return False
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    return bool(jax.default_backend() == "gpu")


def built(make: Callable[[], Runner]) -> tuple[Runner, Contender, int | None]:
    """Return a runner, a contender that only remembers its first losses, and its bytes after those steps."""
    runner = make()
    losses = list(runner.contender.losses())
    return runner, Contender(runner.contender.name, _nothing, lambda: losses), runner.bytes()


def _nothing(count: int) -> None:
    """Stand for the steps of a contender that may be gone."""


def check(title: str, precision: str, contenders: Sequence[Contender]) -> None:
    """Compare the first losses: all in float32, elsewhere the very first.

    Raises:
        SystemExit: those of two contenders differ.
    """
    print(title, file=sys.stderr)
    if precision in ROUNDED:
        contenders = [replace(c, losses=lambda c=c: c.losses()[:1]) for c in contenders]
    agree(contenders, ROUNDED.get(precision, TOLERANCE))


def times(title: str, runners: Sequence[Runner], held: Sequence[int | None]) -> list[Timed]:
    """Time runners in turns."""
    counts = []
    for r in runners:
        r.timed(lambda r=r: r.contender.run(3))
        seconds = r.timed(lambda r=r: r.contender.run(5)) / 5
        counts.append(max(1, round(BLOCK / max(1e-6, seconds))))

    def block(i: int) -> list[float]:
        return [runners[i].timed(lambda: runners[i].contender.run(counts[i])) / counts[i]]

    found = in_turns(len(runners), ROUNDS, block)
    return [
        summary(title, r.contender.name, s, size)
        for r, s, size in zip(runners, found, held, strict=True)
    ]


def summary(title: str, name: str, seconds: Sequence[float], *rest: Any) -> Timed:
    """Return median, least and most."""
    return Timed(title, name, statistics.median(seconds), min(seconds), max(seconds), *rest)


def together(one: Group) -> list[Timed]:
    """Measure a group whose contenders take turns."""
    runners, contenders, held = zip(*map(built, one.makers), strict=True)
    check(one.title, one.precision, contenders)
    return times(one.title, runners, held)


def apart(groups: Sequence[Group]) -> list[Timed]:
    """Measure groups one contender at a time; all of JAX comes last, as it keeps the memory that it has had."""
    rows: dict[str, list[Timed]] = {g.title: [] for g in groups}
    first: dict[str, list[Contender]] = {g.title: [] for g in groups}
    for i in range(max(len(g.makers) for g in groups)):
        for g in groups:
            for make in g.makers[i : i + 1]:
                runner, contender, held = built(make)
                rows[g.title] += times(g.title, [runner], [held])
                first[g.title].append(contender)
                del runner
                release()
    for g in groups:
        check(g.title, g.precision, first[g.title])
    return [row for g in groups for row in rows[g.title]]


def release() -> None:
    """Give the memory of contenders that are gone back to the driver, for those of other libraries."""
    gc.collect()
    if torch := sys.modules.get("torch"):
        torch.compiler.reset()
        torch.cuda.empty_cache()
    if cupy := sys.modules.get("cupy"):
        cupy.get_default_memory_pool().free_all_blocks()


def small(backends: Sequence[Any], sizes: Sequence[int] = SIZES) -> Iterator[Timed]:
    """MLP and LeNet: what a launch costs."""
    import networks

    for workload in (getattr(networks, name) for name in SMALL):
        for size in sizes:
            batch = networks.Batch.of(size, workload.shape)
            for backend in backends:
                yield from together(group(workload, batch, backend, lambda way: True))
                release()


def large(backends: Sequence[Any], size: int = LARGE_SIZE) -> list[Timed]:
    """ResNet-18 and -50: what the libraries and the layout are worth."""
    import networks

    batch = networks.Batch.of(size, networks.LARGE)
    workloads = [getattr(networks, name) for name in LARGE]
    best = lambda way: "channels last" in way  # noqa: E731
    return apart([group(w, batch, backend, best) for w in workloads for backend in backends])


def launches(backend: Any, count: int = 200) -> Timed:
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
    return summary(
        "graph of tiny products", "cortex", seconds, None, f"{executable.launches} nodes"
    )


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
    rows = [launches(strict), *small([strict, tf32])]
    if not options.quick:
        rows += large([tf32, half])
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in rows], indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
