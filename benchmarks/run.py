"""Speed of cortex beside PyTorch, JAX and scikit-learn, as Markdown tables and JSON.

    python benchmarks/run.py                                    # everything, all cores, wall clock: a quiet machine
    python benchmarks/run.py --one-core train latency           # chosen workloads, CPU seconds of one pinned core
    python benchmarks/run.py --json results.json --rounds 11 train
    python benchmarks/run.py --one-core --write docs/performance.md train    # into that page

| workload | what |
|---|---|
| `train` | LeNet and an MLP, batches of 64 and 256: forward, gradients, Adam; host arrays in |
| `epoch` | one epoch of LeNet on MNIST with reading, shuffling and evaluating, as each is ordinarily written |
| `latency` | batch 1, host array in and out |
| `activation` | a user's own activation beside the built-in one |
| `adam` | the update of 10 million parameters |
| `start` | import, and the first step from nothing |

Peers take part where they are installed (PyTorch for the CPU, JAX, scikit-learn). Whatever is compared computes the
same numbers: losses over five steps from common weights are checked before a time is printed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import harness
from harness import ROOT, Contender, Table, Timing, compare, has

sys.path.append(str(ROOT))

PARAMETERS = 10_000_000


def train(options: argparse.Namespace) -> Iterator[Table]:
    """Training steps."""
    from networks import LENET, MLP, training

    for w in (LENET, MLP):
        for n in (64, 256):
            title = f"{w.name}, batch {n}: training step"
            yield compare(title, training(w, n), wall=options.wall, rounds=options.rounds)


def epoch(options: argparse.Namespace) -> list[Table]:
    """One epoch: 60,000 images in batches of 64, then 10,000 to evaluate on."""
    from epochs import cortex_epoch, torch_epoch, torch_epoch_by_index

    made = [Contender("cortex.fit", cortex_epoch)]
    if has("torch"):
        made.append(Contender("PyTorch eager, DataLoader", torch_epoch))
        made.append(Contender("PyTorch eager, batches by index", torch_epoch_by_index))
    title = "LeNet on MNIST: an epoch with data and evaluation"
    clock = time.perf_counter if options.wall else time.process_time
    table = Table(title, "epoch", "wall" if options.wall else "CPU of one core")
    seconds: dict[str, list[float]] = {c.name: [] for c in made}
    for c in (*made, *reversed(made)):  # long enough to need no calibration
        begin = clock()
        c.run(1)
        seconds[c.name].append(clock() - begin)
    table.rows = [Timing(n, sum(s) / len(s), min(s), max(s)) for n, s in seconds.items()]
    table.notes.append("Building and compiling included; mean of two. Accuracies: docs/mnist.md.")
    return [table]


def latency(options: argparse.Namespace) -> list[Table]:
    """Inference of one example."""
    import numpy as np
    from networks import LENET, MLP, Batch, torch_network

    tables = []
    for w in (LENET, MLP):
        image = Batch.of(1).images
        made = [Contender("cortex", _ours_once(w, image))]
        if has("torch"):
            import torch

            model = torch_network(w).eval()
            expected = made[0].run(1)

            def run(count: int, model: Any = model, image: Any = image) -> Any:
                with torch.inference_mode():
                    for _ in range(count):
                        y = model(torch.from_numpy(image)).numpy()
                return y

            np.testing.assert_allclose(run(1), expected, rtol=1e-3, atol=1e-4)
            made.append(Contender("PyTorch eager", run))
        tables.append(
            compare(
                f"{w.name}, batch 1: inference",
                made,
                unit="example",
                wall=options.wall,
                rounds=options.rounds,
            )
        )
    return tables


def _ours_once(workload: Any, image: Any) -> Callable[[int], Any]:
    import cortex

    once = cortex.inference(workload.network(), batch_size=1)

    def run(count: int) -> Any:
        for _ in range(count):
            once.write("image", image)
            once.run()
            y = once.read("output")
        return y

    return run


def activation(options: argparse.Namespace) -> list[Table]:
    """A function of the user's own in place of the built-in one that computes the same."""
    import math

    from networks import LENET, Batch, ours

    from cortex import layers
    from cortex.compute import math as m

    def own_relu(x: Any) -> Any:
        return m.where(x > 0, x, 0)

    def own_swish(x: Any) -> Any:
        return x / (1 + m.exp(-x))

    def own_gelu(x: Any) -> Any:
        return 0.5 * x * (1 + m.erf(x / math.sqrt(2)))

    tables, batch = [], Batch.of(64)
    for name, own in (("Relu", own_relu), ("Swish", own_swish), ("Gelu", own_gelu)):
        made = [
            ours(LENET, batch, getattr(layers, name)(), f"layers.{name}()"),
            ours(LENET, batch, layers.Activation(own), f"layers.Activation({own.__name__})"),
        ]
        tables.append(
            compare(
                f"LeNet, batch 64, with {name.lower()}",
                made,
                wall=options.wall,
                rounds=options.rounds,
            )
        )
    return tables


def adam(options: argparse.Namespace) -> list[Table]:
    """One update of 10 million parameters: 280 MB read and written."""
    import numpy as np

    from cortex.compute import Program, get_backend
    from cortex.compute.ops import Map
    from cortex.optimise.optimisers import Adam
    from cortex.optimise.trace import trace

    t = trace(Adam())
    p = Program()
    names = ("parameters", "gradient", *t.vectors)
    flat = [p.persistent(n, (PARAMETERS,)) for n in names]
    scalars = [p.persistent(n, (), "float64") for n in t.scalars]
    dtypes = ("float64",) * len(t.scalars) + ("float32",) * len(t.coefficients)
    small = p.apply(Map((*t.scalar_updates, *t.coefficients), dtypes), *scalars)
    new = p.apply(
        Map(tuple(t.vector_updates), ("float32",) * len(t.vector_updates)),
        *flat,
        *small[len(scalars) :],
    )
    for name, value in zip(("parameters", *t.vectors, *t.scalars), (*new, *small), strict=False):
        p.update(name, value)
    update = get_backend("cpu").compile(p)
    gradient = np.random.default_rng(1).normal(size=PARAMETERS).astype(np.float32)
    update.write("gradient", gradient)
    made = [Contender("cortex", lambda count: [update.run() for _ in range(count)] and None)]
    if has("torch"):
        import torch

        for fused in (True, False):
            w = torch.zeros(PARAMETERS, requires_grad=True)
            w.grad = torch.from_numpy(gradient)
            optimiser = torch.optim.Adam([w], fused=fused or None)
            name = "PyTorch Adam" + (", fused" if fused else "")
            made.append(
                Contender(
                    name, lambda count, o=optimiser: [o.step() for _ in range(count)] and None
                )
            )
            if fused:
                optimiser.step()
                update.run()
                np.testing.assert_allclose(
                    update.read("parameters"), w.detach().numpy(), rtol=1e-4, atol=1e-7
                )
    return [
        compare(
            "Adam, 10 million parameters",
            made,
            unit="update",
            wall=options.wall,
            rounds=options.rounds,
        )
    ]


IMPORT = """
import time, sys; sys.path.append({root!r})
begin = time.perf_counter(); {made}
print(time.perf_counter() - begin)
"""
FIRST_STEP = """
import time; begin = time.perf_counter()
import sys; sys.path += [{root!r}, {here!r}]
from networks import *
import numpy as np
batch = Batch(np.zeros((64, 1, 28, 28), np.float32), np.zeros(64, np.int64))
made = {made}
made.run(1)
print(time.perf_counter() - begin)
"""


def start(options: argparse.Namespace) -> list[Table]:
    """Seconds from nothing, each in fresh processes that take turns."""
    here = str(Path(__file__).resolve().parent)
    imports = {"cortex": "import cortex", "NumPy": "import numpy"}
    first = {"cortex": "ours(LENET, batch)"}
    if has("torch"):
        imports["PyTorch"] = "import torch"
        first["PyTorch eager"] = 'torch_peer(LENET, batch, "eager")'
    if has("jax"):
        imports["JAX"] = "import jax"
        first["JAX jit"] = "jax_peer(LENET, batch)"
    return [
        _fresh("Import", "import", IMPORT, imports, here),
        _fresh("From nothing to the end of LeNet's first step", "process", FIRST_STEP, first, here),
    ]


def _fresh(title: str, unit: str, source: str, ways: dict[str, str], here: str) -> Table:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(4):
        for name in list(ways)[:: 1 if turn % 2 == 0 else -1]:
            text = source.format(root=str(ROOT), here=here, made=ways[name])
            command = [sys.executable, "-P", "-c", text]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds[name].append(float(done.stdout.split()[-1]))
    rows = [Timing(n, sorted(s)[len(s) // 2], min(s), max(s)) for n, s in seconds.items()]
    return Table(title, unit, "wall", rows, ["The first round reads files that no cache holds."])


WORKLOADS = {f.__name__: f for f in (train, epoch, latency, activation, adam, start)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workloads", nargs="*", choices=[*WORKLOADS, []], help="which; none: all")
    parser.add_argument("--one-core", action="store_true", help="CPU seconds of one pinned core")
    parser.add_argument("--rounds", type=int, default=harness.ROUNDS)
    parser.add_argument("--write", type=Path, help="the page whose tables to replace")
    parser.add_argument("--json", type=Path, help="where to write the results")
    options = parser.parse_args(arguments)
    options.wall = not options.one_core
    if options.one_core:
        harness.one_core()
    about = harness.machine()
    print("\n".join(f"{k}: {v}" for k, v in about.items()), flush=True)
    tables: list[Table] = []
    for name in options.workloads or WORKLOADS:
        made = []
        for table in WORKLOADS[name](options):
            made.append(table)
            print(f"\n{table}", flush=True)
        tables += made
        if options.write:
            section = f"{name}, {'one core' if options.one_core else 'all cores'}"
            harness.fill(options.write, section, "\n\n".join(map(str, made)))
        harness.report(tables, options.json, {**about, "load at end": os.getloadavg()[0]})


if __name__ == "__main__":
    main()
