"""LeNet on the full MNIST set: accuracy by epoch for several seeds, as a table.

    python benchmarks/mnist_accuracy.py                          # prints the table
    python benchmarks/mnist_accuracy.py --write docs/mnist.md    # writes it between the markers of that page

The settings are those of `SETTINGS`; each seed chooses the initial weights and the order of the examples.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import ROOT
from results import fill

sys.path.append(str(ROOT))

SETTINGS = {"epochs": 5, "batch_size": 64, "step_size": 0.001}


def train(seed: int, epochs: int, batch_size: int, step_size: float) -> list[dict[str, Any]]:
    """Return the record of each epoch: losses, accuracies (0..1), seconds with data and evaluation."""
    import cortex
    from cortex import datasets, models
    from cortex.optimise.optimisers import Adam
    from cortex.optimise.schedules import Cosine

    images, test = datasets.mnist("train"), datasets.mnist("test")
    steps = epochs * -(-len(images) // batch_size)
    result = cortex.fit(
        models.lenet(seed=seed),
        images,
        test=test,
        optimiser=Adam(step_size=Cosine(step_size, steps)),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        progress=False,
    )
    return [dict(row) for row in result.history]


def table(runs: dict[int, list[dict[str, Any]]]) -> str:
    """Return the accuracies in percent and the seconds per epoch as Markdown."""
    epochs = len(next(iter(runs.values())))
    head = [
        "seed",
        *(f"epoch {e + 1}" for e in range(epochs)),
        "best",
        "final loss",
        "seconds an epoch",
    ]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for seed, rows in runs.items():
        accuracy = [100 * r["test_accuracy"] for r in rows]
        seconds = sorted(r["epoch_seconds"] for r in rows)[len(rows) // 2]
        cells = [str(seed), *(f"{a:.2f}" for a in (*accuracy, max(accuracy)))]
        cells += [f"{rows[-1]['test_loss']:.4f}", f"{seconds:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    by_epoch = [[100 * rows[e]["test_accuracy"] for rows in runs.values()] for e in range(epochs)]
    best = [max(100 * r["test_accuracy"] for r in rows) for rows in runs.values()]
    means = [sum(a) / len(a) for a in (*by_epoch, best)]
    lines.append(f"| **mean** | {' | '.join(f'**{a:.2f}**' for a in means)} | | |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=SETTINGS["epochs"])
    parser.add_argument("--batch-size", type=int, default=SETTINGS["batch_size"])
    parser.add_argument("--step-size", type=float, default=SETTINGS["step_size"])
    parser.add_argument("--write", type=Path, help="the page whose table to replace")
    parser.add_argument("--json", type=Path, help="where to write every record")
    given = parser.parse_args(arguments)
    runs = {}
    for seed in given.seeds:
        runs[seed] = train(seed, given.epochs, given.batch_size, given.step_size)
        print(
            f"seed {seed}: " + ", ".join(f"{100 * r['test_accuracy']:.2f}" for r in runs[seed]),
            flush=True,
        )
    text = table(runs)
    print(text)
    if given.json:
        given.json.write_text(json.dumps(runs, indent=1), "utf-8")
    if given.write:
        fill(given.write, "results", text)


if __name__ == "__main__":
    main()
