"""Where the time of a step goes, instruction by instruction: of each, the least of some runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from harness import Settings
from networks import CONVNET, LENET, MLP, RESNET, VGG, Batch
from peers import ours
from results import Grid, Result

import cortex

SHOWN = 12  # rows; what is below is summed
MOST_NODES = 60  # of what is told apart; deeper networks are summed by op


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
    labels = len({(op, label) for op, label, _ in rounds[0]})
    seconds: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for k, (op, label, _) in enumerate(rounds[0]):
        name = f"{op}, {label}" if label and labels <= MOST_NODES else op
        seconds[name] += min(r[k][2] for r in rounds)
        counts[name] += 1
    order = sorted(seconds, key=lambda name: -seconds[name])
    shown, rest = order[:SHOWN], order[SHOWN:]
    rows: dict[str, list[float | None]] = {n: [1e3 * seconds[n], counts[n]] for n in shown}
    if rest:
        together = [1e3 * sum(seconds[n] for n in rest), sum(counts[n] for n in rest)]
        rows["everything else"] = [*together]
    rows["together"] = [1e3 * sum(seconds.values()), len(rounds[0])]
    return Grid(title, "op, node" if labels <= MOST_NODES else "op", ["ms", "instructions"], rows)
