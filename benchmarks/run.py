"""Speed of cortex beside PyTorch, JAX, scikit-learn and NumPy, as Markdown tables, JSON and figures.

    python benchmarks/run.py --all                     # everything below: results/, docs/performance.md, its figures
    python benchmarks/run.py --all --quick             # the same in short, to see that it works; into build/
    python benchmarks/run.py --one-core lenet latency  # chosen ones, CPU seconds of one pinned core, printed
    python benchmarks/run.py lenet                     # all cores, wall clock: a quiet machine
    python benchmarks/run.py --isa avx2 --isa base mlp # cortex limited to AVX2 and to SSE2 too, in the same turns
    python benchmarks/run.py --compiled --json benchmarks/results/mine.json lenet
    python benchmarks/run.py --publish benchmarks/results/mine.json --page docs/performance.md

| workload | what |
|---|---|
| `mlp` `lenet` `convnet` `resnet` | a training step: forward, gradients, optimiser; host arrays in |
| `vgg` | inference of VGG16, batches of 1 and 8 |
| `latency` | inference of one example: median and 99th percentile; host array in and out |
| `products` | matrix products of squares, of the MLP and of few rows, in GFLOP/s and of the peak |
| `adam` | the update of 10 million parameters |
| `epoch` | one epoch of LeNet on MNIST with reading, shuffling and evaluating, as each is ordinarily written |
| `activation` | a user's own activation beside the built-in one |
| `start` `memory` | in fresh processes: import and first step; peak memory of a training step |
| `batch` `width` `threads` | how the step grows |
| `competing` | the step on all cores while another process keeps one busy |
| `profile` | where our steps go, by instruction |

Peers take part where they are installed (PyTorch and JAX for the CPU, scikit-learn). Whatever is compared computes the
same numbers, which is checked before a time is printed. "Of the bound" is `roofline.py`'s. `--compiled` adds
`torch.compile`, which needs a C++ compiler and takes minutes to start; `--all` without `--quick` implies it.
Every workload of `--all` runs in a process of its own, first on one core and then on all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from harness import ROOT, Settings, one_core, quick
from results import Result, Table, fill, load, machine, store, summary, surroundings

sys.path.append(str(ROOT))

BOTH = (
    "mlp", "lenet", "convnet", "resnet", "vgg", "latency", "products", "adam", "epoch", "batch",
    "width",
)  # fmt: skip
ONE_CORE = (*BOTH, "activation", "profile")
ALL_CORES = (*BOTH, "start", "memory", "threads", "competing")
NAMES = tuple(dict.fromkeys((*ONE_CORE, *ALL_CORES)))
ELSEWHERE = {
    "fresh": ("start", "memory"),
    "growth": ("batch", "width", "threads", "competing"),
    "profiles": ("profile",),
    "products": ("products",),
}
PAGE = ROOT / "docs" / "performance.md"


def workload(name: str) -> Callable[[Settings], Iterator[Result]]:
    """Return the function of a workload."""
    module = next((m for m, names in ELSEWHERE.items() if name in names), "workloads")
    return getattr(import_module(module), name)


def measure(names: Sequence[str], options: argparse.Namespace) -> None:
    """Measure in this process, print, and keep where asked."""
    settings = Settings(
        not options.one_core, options.rounds, compiled=options.compiled, isas=tuple(options.isa)
    )
    settings = quick(settings) if options.quick else settings
    about = {**machine(), **capability(settings)}
    print(", ".join(f"{k}: {v}" for k, v in about.items()), flush=True)
    for name in names:
        made = []
        for result in workload(name)(settings):
            made.append(result)
            print(f"\n{result}", flush=True)
        section = f"{name}, {settings.cores}"
        if options.json:
            store(
                options.json, section, made, {**about, "load at end": round(os.getloadavg()[0], 1)}
            )


def capability(settings: Settings) -> dict[str, float]:
    """Return the measured peak of multiply-adds and bandwidth of memory, with as many threads as cortex uses."""
    import cores
    import roofline

    from cortex.compute import get_num_threads

    threads = get_num_threads() if settings.wall else 1
    rates = {
        "peak, GFLOP/s": roofline.peak(threads),
        "reading memory, GB/s": roofline.bandwidth(1 << 28, threads),
        "changing memory in place, GB/s": roofline.bandwidth(1 << 28, threads, update=True),
    }
    found = {name: round(rate / 1e9, 1) for name, rate in rates.items()}
    if settings.wall and (pair := cores.cores()):
        found["writing what two cores have read, ns a line"] = round(pair.read_by_both(), 1)
    return found


def everything(options: argparse.Namespace) -> int:
    """Measure all workloads, each in a process of its own, then publish; return how many failed."""
    folder = ROOT / "build" / "benchmarks" if options.quick else ROOT / "benchmarks" / "results"
    path = options.json or folder / f"{time.strftime('%Y-%m-%d')}.json"
    page = options.page or (None if options.quick else PAGE)
    flags = ["--compiled"] * (options.compiled or not options.quick) + ["--quick"] * options.quick
    flags += [f"--isa={isa}" for isa in options.isa]
    flags += ["--json", str(path), "--rounds", str(options.rounds)]
    failed = []
    for cores, names in ((["--one-core"], ONE_CORE), ([], ALL_CORES)):
        for name in names:
            if name not in (options.workloads or NAMES):
                continue
            command = [sys.executable, __file__, *cores, *flags, name]
            if subprocess.run(command).returncode:
                failed.append(" ".join([*cores, name]))
    if path.exists():
        publish(path, page)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


def publish(path: Path, page: Path | None) -> None:
    """Print the summaries of stored results, draw figures, and fill a page; figures lie beside it, else beside them."""
    sections = load(path)
    folder = path.parent if page is None else page.with_suffix("")
    try:
        from plots import draw

        figures = draw(sections, folder)
    except ImportError as error:
        print(f"no figures: {error}")
        figures = {}
    texts = {name: "\n\n".join(map(str, results)) for name, results in sections.items()}
    for cores in ("one core", "all cores"):
        found = [r for name, rs in sections.items() if name.endswith(cores) for r in rs]
        if not found:
            continue
        texts[f"summary, {cores}"] = summary([t for t in found if isinstance(t, Table)])
        texts[f"machine, {cores}"] = surroundings(path, cores)
        print(f"\n{cores}\n\n{texts[f'summary, {cores}']}")
    if page:
        for name, text in texts.items():
            figure = figures.get(name)
            image = f"![{name}]({folder.name}/{figure.name})\n\n" if figure else ""
            fill(page, name, image + text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workloads", nargs="*", choices=[*NAMES, []], help="which")
    parser.add_argument("--all", action="store_true", help="each in a process, on one core and all")
    parser.add_argument("--one-core", action="store_true", help="CPU seconds of one pinned core")
    parser.add_argument("--compiled", action="store_true", help="torch.compile too")
    parser.add_argument(
        "--isa",
        action="append",
        default=[],
        choices=("avx2", "base"),
        help="cortex with these instructions only, as a further column; may be repeated",
    )
    parser.add_argument("--quick", action="store_true", help="short; the numbers mean nothing")
    parser.add_argument("--rounds", type=int, default=Settings.rounds)
    parser.add_argument("--json", type=Path, help="where to keep the results")
    parser.add_argument("--page", type=Path, help="what --all and --publish fill")
    parser.add_argument("--publish", type=Path, help="stored results: figures, summary, page")
    options: Any = parser.parse_args(arguments)
    if options.publish:
        publish(options.publish, options.page)
        return 0
    if options.all:
        return everything(options)
    if not options.workloads:
        parser.error(f"name workloads, or --all: {', '.join(NAMES)}")
    if options.one_core:
        one_core()
    measure(options.workloads, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
