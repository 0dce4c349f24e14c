"""Where the time of a step goes, instruction by instruction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import median
from typing import Any

from harness import Settings
from networks import CONVNET, LENET, MLP, RESNET, VGG, Batch
from peers import ours
from results import Grid, Result

import cortex

SHOWN = 12  # rows; what is below is summed


def profile(settings: Settings) -> Iterator[Result]:
    """Milliseconds by instruction of training steps and inferences, a clock around each instruction."""
    for workload, size in ((MLP, 64), (MLP, 256), (LENET, 64), (CONVNET, 64), (RESNET, 64)):
        if settings.quick and workload is RESNET:
            continue
        size = min(size, 8) if settings.quick else size
        step, batch = ours.training_step(workload, size), Batch.of(size, workload.shape)
        step.write("image", batch.images)
        step.write("label", batch.labels.astype("int32"))
        yield _profile(
            f"{workload.name}, batch {size}: where the training step goes", step, settings
        )
    for workload in (MLP, LENET, VGG):
        if settings.quick and workload is VGG:
            continue
        once = cortex.inference(workload.network, batch_size=1)
        once.write("image", Batch.of(1, workload.shape).images)
        yield _profile(f"{workload.name}, batch 1: where the inference goes", once, settings)


def _profile(title: str, step: Any, settings: Settings) -> Grid:
    step.run()
    rounds = [step.executable.profile() for _ in range(settings.rounds)]
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for k, (op, label, _) in enumerate(rounds[0]):
        seconds[op, label] += median(r[k][2] for r in rounds)
        counts[op, label] += 1
    order = sorted(seconds, key=lambda key: -seconds[key])
    rows = {_name(op, label): [1e3 * seconds[op, label], float(counts[op, label])]
            for op, label in order[:SHOWN]}  # fmt: skip
    rest = order[SHOWN:]
    rows["everything else"] = [
        1e3 * sum(seconds[k] for k in rest), float(sum(counts[k] for k in rest)),
    ]  # fmt: skip
    rows["together"] = [1e3 * sum(seconds.values()), float(len(rounds[0]))]
    return Grid(title, "op, node", ["ms", "instructions"], rows)


def _name(op: str, label: str) -> str:
    return f"{op}, {label}" if label else op
