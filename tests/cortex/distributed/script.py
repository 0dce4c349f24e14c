"""What the processes of test_processes.py do: `script.py FOLDER TASK ...`.

What the tasks return is in the folder afterwards, as JSON, in a file for each process.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import cortex
from cortex import layers as L
from cortex.compute import threads
from cortex.distributed import ending_together, join
from cortex.optimise import Sgd
from cortex.training.loop import prepare, records

BATCH = 64


def network(*more: Any) -> Any:
    items = [L.Input(1, 6, 6), L.Convolution(5, kernel=3), L.BatchNormalisation(), L.Relu(), *more]
    return cortex.Network([*items, L.MaxPooling(2), L.Linear(7), L.Tanh(), L.Linear(3)], seed=4)


def data(count: int) -> Any:
    g = np.random.default_rng(8)
    image = g.normal(size=(count, 1, 6, 6)).astype(np.float32)
    return cortex.datasets.Arrays(image=image, label=g.integers(0, 3, count))


def trained(examples: int, **options: Any) -> Any:
    settings = {
        "epochs": 2,
        "batch_size": BATCH,
        "optimiser": Sgd(0.1, 0.9),
        "seed": 6,
        "backend": "cpu",
    }
    held = data(examples)
    return cortex.fit(
        network(L.Dropout(0.3)), held, test=held[:33], progress=False, **{**settings, **options}
    )


def agree(folder: Path) -> Any:
    """Train on several sizes: 64 + 64 + 22 rows; a last batch of one; fewer rows than processes."""
    group = join()
    found = {"threads": threads.get_num_threads()}
    for count in (150, 65, 2):
        together, alone = trained(count, distributed=True), trained(count)
        one, other = alone.checkpoint.state, together.checkpoint.state
        found[count] = {
            "difference": max(
                float(np.abs(one[n] - other[n]).max(initial=0)) for n in one if "total" not in n
            ),
            "loss": abs(alone.history[-1]["loss"] - together.history[-1]["loss"]),
            "test": [r.history[-1]["test_loss"] for r in (alone, together)],
            "accuracy": [r.history[-1]["test_accuracy"] for r in (alone, together)],
            "position": together.checkpoint.position == alone.checkpoint.position,
        }
        np.savez(folder / f"{count}-{group.rank}.npz", **other)
    judged = cortex.evaluate(network(), data(50), distributed=True, batch_size=7)
    expected = cortex.evaluate(network(), data(50), batch_size=7)
    found["evaluate"] = [abs(judged[k] - expected[k]) for k in expected]
    return found


def fail(folder: Path) -> Any:
    """Process 1 fails after the third step, of an error that nobody foresaw."""

    def rule(record: Any) -> None:
        if record["step"] == 3 and join().rank == 1:
            raise ZeroDivisionError("a fault in a rule")

    trained(1000, every=1, epochs=100, stop=[rule], distributed=True)


def fail_outside(folder: Path) -> Any:
    """Process 1 fails where cortex sees nothing of it; the others wait for it in a sum."""
    group = join()
    if group.rank == 1:
        raise ZeroDivisionError("a fault in a script")
    trained(100, distributed=True)


def interrupt(folder: Path) -> Any:
    """Process 1 gets what Ctrl-C gives."""
    group = join()
    with ending_together(group):
        if group.rank == 1:
            raise KeyboardInterrupt
        time.sleep(600)


def cannot_begin(folder: Path) -> Any:
    """Process 1 finds no data: all are told, and live on."""
    group = join()
    try:
        trained(0 if group.rank == 1 else 100, distributed=True)
    except cortex.distributed.DistributedError as error:
        return str(error)


def differ(folder: Path) -> Any:
    """Process 1 has another batch size."""
    try:
        trained(100, distributed=True, batch_size=32 if join().rank == 1 else 64)
    except cortex.distributed.DistributedError as error:
        return str(error)


def other_program(folder: Path) -> Any:
    """Process 1 has another network, which only the programs say."""
    from cortex.executables import training_step

    group = join()
    more = [L.BatchNormalisation()] if group.rank == 1 else []
    try:
        training_step(network(*more), optimiser=Sgd(), batch_size=8, group=group, backend="cpu")
    except cortex.distributed.DistributedError as error:
        return str(error)


def drift(folder: Path) -> Any:
    """Process 1 changes a weight on its own; the end of the epoch tells."""
    run = prepare(network(), data(64), epochs=3, every=1, backend="cpu", distributed=True)
    group = join()
    try:
        for record in records(run):
            if group.rank == 1 and record["step"] == 1:
                run.session.step(64).executable.write("linear1.bias", np.ones(7))
    except cortex.distributed.DistributedError as error:
        return str(error)


def first_weights(folder: Path) -> Any:
    """Process 1 begins with other weights; those of process 0 count."""
    group = join()
    begun = network()
    if group.rank == 1:
        begun = begun.with_parameters(
            {n: 0 * a for n, a in begun.parameters.items() if "running" not in n}
        )
    result = cortex.fit(
        begun, data(64), epochs=1, optimiser=Sgd(0.0), progress=False, distributed=True
    )
    same = all(
        np.array_equal(result.network.parameters[n], network().parameters[n])
        for n in result.network.parameters
        if "running" not in n
    )
    return same


def stop(folder: Path) -> Any:
    """Process 1 alone wants to stop, after step 2; nobody else's rule says so."""
    group = join()
    rule = (lambda r: r["step"] >= 2) if group.rank == 1 else (lambda r: None)
    result = trained(1000, distributed=True, every=1, stop=[rule])
    return [result.checkpoint.position["step"], result.reason.name]


def observers(folder: Path) -> Any:
    """Only process 0 observes and writes."""
    group = join()
    seen: list[int] = []
    trained(
        100, distributed=True, observers=[lambda r: seen.append(r["step"])],
        checkpoint=folder / "kept" if group.rank == 0 else folder / "never",
    )  # fmt: skip
    return bool(seen)


def scaled(folder: Path) -> Any:
    """Train with a scale of the loss, where each of two rows, in one process each, has a loss without end."""
    items = [L.Input(1, 6, 6), L.Linear(8), L.Tanh(), L.Dropout(0.3), L.Linear(3)]
    net, held = cortex.Network(items, seed=4), data(150)
    image = held["image"].copy()
    image[[17, 120], 0, 2, 2] = np.inf
    options = {
        "epochs": 3, "batch_size": 16, "optimiser": Sgd(0.1, 0.9), "seed": 6, "backend": "cpu", "progress": False,
        "loss_scale": cortex.LossScale(64.0, interval=4),
    }  # fmt: skip
    arrays = {"image": image, "label": held["label"]}
    together, alone = (cortex.fit(net, arrays, distributed=d, **options) for d in (True, False))
    one, other = alone.checkpoint.state, together.checkpoint.state
    np.savez(folder / f"scaled-{join().rank}.npz", **other)
    return {
        "skipped": [r.metrics["skipped_steps"] for r in (alone, together)],
        "scale": [r.metrics["loss_scale"] for r in (alone, together)],
        "difference": max(
            float(np.abs(one[n] - other[n]).max(initial=0)) for n in one if "total" not in n
        ),
        "loss": abs(alone.metrics["loss"] - together.metrics["loss"]),
        "reason": together.reason.name,
    }


def main() -> None:
    folder, *tasks = sys.argv[1:]
    answers = {task: globals()[task](Path(folder)) for task in tasks}
    Path(folder, f"{join().rank}.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
