"""How times grow: with the batch, with the width, with the threads, and with a neighbour on the same cores."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

from harness import Contender, Settings, compare, has, in_turns
from networks import LENET, MLP, Batch, Workload, mlp
from peers import ours, training
from results import OURS, Grid, Result

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
WIDTHS = (64, 128, 256, 512, 1024, 2048)
SHOWN = ("PyTorch fused", "PyTorch channels last, fused", "JAX jit")
BUSY = "while True: pass"


def batch(settings: Settings) -> Iterator[Result]:
    """Training steps of MLP and LeNet by batch size."""
    for workload in (MLP, LENET):
        sizes = BATCHES[:2] if settings.quick else BATCHES
        columns = {size: _medians(workload, size, settings) for size in sizes}
        yield _series(f"{workload.name}: a training step by batch size", "batch", columns)


def width(settings: Settings) -> Iterator[Result]:
    """Training steps of an MLP with two hidden layers by their width, batches of 64."""
    columns = {}
    for n in WIDTHS[:2] if settings.quick else WIDTHS:
        workload = Workload(f"MLP 784-{n}-{n}-10", MLP.shape, mlp(n, n, 10))
        columns[n] = _medians(workload, 64, settings)
    yield _series("MLP 784-n-n-10, batch 64: a training step by width", "width n", columns)


def _medians(workload: Workload, size: int, settings: Settings) -> dict[str, float]:
    """Return milliseconds a step of ours and of those that are `SHOWN`."""
    made = [
        c for c in training(workload, size, settings) if c.name in SHOWN or c.name.startswith(OURS)
    ]
    settings = replace(settings, rounds=min(3, settings.rounds))
    return {r.name: 1e3 * r.median for r in compare("", made, settings).rows}


def _series(title: str, x: str, columns: dict[int, dict[str, float]]) -> Grid:
    names = list(dict.fromkeys(n for c in columns.values() for n in c))
    rows = {n: [c.get(n) for c in columns.values()] for n in names}
    return Grid(title, "ms", list(columns), rows, x=x)


def threads(settings: Settings) -> Iterator[Result]:
    """Training steps by the number of threads; JAX cannot change its own."""
    from cortex.compute import set_num_threads

    cores = len(os.sched_getaffinity(0))
    settings = replace(settings, rounds=min(3, settings.rounds))
    for workload, size in ((MLP, 256), (LENET, 256)):
        size = 8 if settings.quick else size
        data = Batch.of(size)
        columns = {}
        for count in _counts(cores):
            set_num_threads(count)
            made = [ours.training(workload, data)]
            if has("torch"):
                import torch
                from peers import pytorch

                torch.set_num_threads(count)
                made.append(pytorch.training(workload, data, pytorch.ways(workload, settings)[-1]))
            columns[count] = {r.name: 1e3 * r.median for r in compare("", made, settings).rows}
        title = f"{workload.name}, batch {size}: a training step by threads"
        yield _series(title, "threads", columns)


def _counts(cores: int) -> list[int]:
    """Return 1, 2, 4, ... and the number of cores."""
    return sorted({*(1 << k for k in range(cores.bit_length()) if 1 << k <= cores), cores})


def competing(settings: Settings) -> Iterator[Result]:
    """Training steps on all cores while another process keeps one core busy; goal: below 2.5 times."""
    for workload, size in ((MLP, 256), (LENET, 256)):
        size = 8 if settings.quick else size
        made = training(workload, size, settings)
        made = [c for c in made if "NumPy" not in c.name and "scikit" not in c.name]
        rows = {c.name: _slowed(c, settings) for c in made}
        columns = ["ms alone", "ms with one core busy", "times slower"]
        title = f"{workload.name}, batch {size}: a training step beside a busy process"
        yield Grid(title, "median of steps", columns, rows, ["Goal: less than 2.5 times slower."])


def _slowed(contender: Contender, settings: Settings) -> list[float]:
    """Return the median wall milliseconds of single steps alone and disturbed, in turns, and their ratio."""
    contender.run(2)

    def block(disturbed: int) -> list[float]:
        found: list[float] = []
        with busy_core() if disturbed else nullcontext():
            end = time.perf_counter() + settings.block
            while not found or time.perf_counter() < end:
                begin = time.perf_counter()
                contender.run(1)
                found.append(time.perf_counter() - begin)
        return found

    alone, disturbed = (statistics.median(s) for s in in_turns(2, settings.rounds, block))
    return [1e3 * alone, 1e3 * disturbed, disturbed / alone]


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy with a process that never waits."""
    process = subprocess.Popen([sys.executable, "-S", "-c", BUSY])
    try:
        time.sleep(0.2)  # until it runs
        yield
    finally:
        process.kill()
        process.wait()
