"""The commands and their options. Nothing but typer is imported before a command is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import reported

app = typer.Typer(
    help="Train, use and study neural networks. Every command has --help.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: 70 ms instead of 150, and errors that can be searched for
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no table.")]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one last line of JSON on standard output; the rest goes to the other."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=1024, help="Threads on the CPU.  [default: the usable cores]"),
]


def _option(text: str, *names: str, **more: object) -> object:
    return typer.Option(*names, help=text, show_default=False, **more)  # type: ignore[arg-type]


@app.command(short_help="Train a network and keep the run in a folder.")
@reported
def train(
    source: Annotated[
        str | None,
        typer.Argument(
            help="mnist, or a FILE.json that describes a network (cortex.cli.config says how).",
            show_default=False,
        ),
    ] = None,
    backend: Annotated[
        str | None,
        _option(
            "numpy, cpu, ..., options behind it: cpu:exact (`cortex info` lists both).  [default: auto]"
        ),
    ] = None,
    model: Annotated[
        str | None, _option("The network for mnist: lenet, mlp, ...  [default: lenet]")
    ] = None,
    epochs: Annotated[int | None, _option("Passes over the data.  [default: 5]", min=1)] = None,
    batch_size: Annotated[int | None, _option("Examples per step.  [default: 64]", min=1)] = None,
    optimiser: Annotated[
        str | None,
        _option("sgd, adam, adamw, rmsprop, ...  [default: adam]", "--optimiser", "--optimizer"),
    ] = None,
    step_size: Annotated[
        float | None, _option("Step size of the optimiser.  [default: its own]")
    ] = None,
    schedule: Annotated[
        str | None,
        _option("cosine (the step size falls to 0 over the run) or constant.  [default: cosine]"),
    ] = None,
    loss_scale: Annotated[
        str | None,
        _option(
            "dynamic, or a number: for gradients in 16 bits.  [default: what the backend wants]"
        ),
    ] = None,
    seed: Annotated[
        int | None, _option("Of weights, order and random layers.  [default: 0]", min=0)
    ] = None,
    out: Annotated[Path | None, _option("Folder of the run.  [default: runs/NAME-TIME]")] = None,
    overwrite: Annotated[
        bool, _option("Replace a run that is in the folder already.", "--overwrite")
    ] = False,
    resume: Annotated[Path | None, _option("Go on with the run in this folder.")] = None,
    target_accuracy: Annotated[
        float | None,
        _option("Stop at this test accuracy (0..1); exit with 1 if it is missed.", min=0, max=1),
    ] = None,
    data: Annotated[
        str | None,
        _option("Training data for a FILE.json: a .npz or .csv, or a data set that ships."),
    ] = None,
    test: Annotated[str | None, _option("Test data, evaluated after each epoch.")] = None,
    data_dir: Annotated[
        str | None, _option("Where the files of MNIST lie.  [default: the package]")
    ] = None,
    limit: Annotated[
        int | None, _option("Use the first so many examples of each set, for quick runs.", min=1)
    ] = None,
    distributed: Annotated[
        bool,
        _option(
            "Share each batch out among the processes of `mpiexec -n N cortex train ...`.",
            "--distributed",
        ),
    ] = False,
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a network and keep the run in a folder: config, logs, checkpoints, results, curves.

    Ctrl-C ends a run at the current step; --resume goes on as if nothing had happened.
    """
    from .settings import Wishes
    from .train import train as run

    given = {
        "backend": backend, "network": model, "epochs": epochs, "batch_size": batch_size, "optimiser": optimiser,
        "schedule": schedule, "loss_scale": loss_scale,
        "seed": seed, "target_accuracy": target_accuracy, "data": data, "test": test, "data_dir": data_dir,
        "limit": limit,
    }  # fmt: skip
    wishes = Wishes(out, resume, overwrite, threads, json, quiet, distributed)
    raise typer.Exit(run(source, given, step_size, wishes))


@app.command(short_help="Write exactly one row of predictions per input.")
@reported
def predict(
    run: Annotated[Path, typer.Argument(help="A run, or a checkpoint.")],
    data: Annotated[
        str, typer.Argument(help="A .npz or .csv, or a data set that ships (mnist: its test set).")
    ],
    out: Annotated[
        Path | None, _option("A .npy, .npz or .csv.  [default: predictions.npy]")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples at a time.")] = 256,
    backend: Annotated[str | None, _option("As for train.  [default: auto]")] = None,
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write exactly one row of predictions per input; with labels in the data, also say how good they are.

    A run's best checkpoint is used where it has one, else its last.
    """
    from .predict import predict as go
    from .settings import use_threads

    use_threads(threads)
    raise typer.Exit(go(run, data, out, batch_size, backend, json, quiet))


@app.command(short_help="Prove a backend against the reference.")
@reported
def verify(
    backend: Annotated[
        str, typer.Option(help="The backend to prove, options behind it: cpu:exact.")
    ] = "auto",
    quick: Annotated[bool, _option("Only the quick checks.", "--quick")] = False,
    slow: Annotated[
        bool, _option("Also the slow checks, such as MNIST in full.", "--slow")
    ] = False,
    pattern: Annotated[
        str | None, _option("Only checks whose name contains this.", "--filter")
    ] = None,
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Prove a backend: every op, layer, optimiser, memory, determinism, training. Exit code 1 on failure."""
    from .verify import verify as go

    raise typer.Exit(go(backend, quick, slow, pattern, json, quiet, threads))


@app.command(short_help="Say what is installed and works here.")
@reported
def info(json: Json = False, debug: Debug = False) -> None:
    """Say what is installed and works here: backends and why not, engine, threads, versions, machine."""
    from json import dumps

    from cortex.info import collect, text

    found = collect()
    print(dumps(found) if json else text(found))


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, _option("Print the version.", "--version")] = False) -> None:
    if version:
        import cortex

        print(cortex.__version__)
        raise typer.Exit
