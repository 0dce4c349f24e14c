"""Layers against historical values (`cortex.compute.verify.golden`): outputs, gradients, statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cortex import layers
from cortex.compute.autodiff import pull_back
from cortex.compute.backend import Backend
from cortex.compute.program import Program
from cortex.compute.verify import Check, Mismatch, checking, close, execute, within
from cortex.compute.verify.golden import array, load, same_part
from cortex.executables import training_step
from cortex.losses import MeanSquaredError
from cortex.network import Network
from cortex.network.node import node
from cortex.optimise.constraints import max_norm
from cortex.optimise.optimisers import Sgd
from cortex.tracing import output_value, trace_forward

Entry = dict[str, Any]
DTYPES = ("float32", "float64")


def _arguments(**names: str) -> Callable[[Entry], Entry]:
    """Return what renames the arguments of an entry; lists become tuples."""

    def rename(given: Entry) -> Entry:
        return {names.get(k, k): tuple(v) if isinstance(v, list) else v for k, v in given.items()}

    return rename


# The name of a layer in the file: its type here, and our names of its arguments.
LAYERS: dict[str, tuple[Callable[..., Any], Callable[[Entry], Entry]]] = {
    "linear": (layers.Linear, _arguments(outputs="units")),
    "relu": (layers.Relu, _arguments()),
    "logistic": (layers.Logistic, _arguments()),
    "tanh": (layers.Tanh, _arguments()),
    "swish": (layers.Swish, _arguments()),
    "selu": (layers.Selu, _arguments()),
    "softmax": (layers.Softmax, _arguments()),
    "convolution": (layers.Convolution, _arguments()),
    "max_pool": (layers.MaxPooling, _arguments(kernel="size")),
    "average_pool": (layers.AveragePooling, _arguments(kernel="size")),
    "prelu": (layers.Prelu, _arguments()),
    "join": (layers.Join, _arguments()),
    "scale": (layers.Scale, _arguments()),
}


def _network(entry: Entry, dtype: str) -> Network:
    """Return the network that an entry describes, its parameters as given."""
    shapes = [tuple(s["shape"][1:]) for s in entry["inputs"]]
    inputs = [(f"x{i}", layers.Input(s)) for i, s in enumerate(shapes)]
    names = [name for name, _ in inputs]
    given = {n: array(s) for n, s in entry.get("parameters", {}).items()}
    kind = entry["layer"]
    if kind == "split_sum":
        sides = [node(layers.Linear(3, bias=False), n, "x0") for n in ("first", "second")]
        items = [*inputs, *sides, node(layers.Join(), "golden", ["first", "second"])]
        given = {f"{n}.weights": a for n, a in given.items()}
    elif kind == "split_functions_sum":
        sides = [node(layers.Scale(1.0, c), n, "x0") for n, c in (("more", 1.0), ("less", -1.0))]
        items = [*inputs, *sides, node(layers.Join(), "golden", ["more", "less"])]
    else:
        make, rename = LAYERS[kind]
        items = [*inputs, node(make(**rename(entry["arguments"])), "golden", names)]
        given = {f"golden.{n}": a for n, a in given.items()}
    return Network(items, dtype=dtype).with_parameters(given)


def _check(entry: Entry, dtype: str) -> Callable[[Backend], None]:
    def check(backend: Backend) -> None:
        network, inputs = _network(entry, dtype), [array(s) for s in entry["inputs"]]
        made = trace_forward(network, len(inputs[0]))
        p = made.program
        value = output_value(made, "golden")
        p.output("golden", value)
        contents = {f"x{i}": a for i, a in enumerate(inputs)} | network.parameters
        (output,) = entry["outputs"]
        wanted = {} if output is None else {"golden": output}
        if "gradients" in entry:
            (cotangent,) = entry["cotangents"]
            contents["dy"] = array(cotangent)
            expected = _gradients(entry, network)
            wanted |= {f"gradient.{n}": s for n, s in expected.items()}
            wrt = {n: p.inputs[n] if n in p.inputs else made.forward.own(n) for n in expected}
            seeds = {value: p.input("dy", value.shape, dtype)}
            for name, g in zip(wrt, pull_back(p, seeds, list(wrt.values()), 0), strict=True):
                if g is None:
                    raise Mismatch(f"{entry['name']}: nothing flows back to {name}")
                p.output(f"gradient.{name}", g)
        executable = execute(backend, p, contents)
        for name, spec in wanted.items():
            got = same_part(spec, executable.read(name))
            # the file's tolerance is the original's, measured in float64
            least = 2e-6 * np.abs(array(spec)).max() if dtype == "float32" else 1e-12
            within(f"{entry['name']}, {name}", got, array(spec), max(entry["tolerance"], least))

    return check


def _gradients(entry: Entry, network: Network) -> Entry:
    """Return the golden gradients of an entry by the names of the network."""
    given = entry["gradients"]
    found = {f"x{i}": s for i, s in enumerate(given["inputs"])}
    own = {n: s for n, s in given.items() if n != "inputs"}
    return found | {n: own[n.partition(".")[2]] for n in network.parameters if own}


def _constraint(entry: Entry) -> Callable[[Backend], None]:
    def check(backend: Backend) -> None:
        p, (rows,) = Program(), [array(s) for s in entry["inputs"]]
        w = p.input("w", rows.shape, "float64")
        p.output("w after", max_norm(p, w, entry["arguments"]["limit"]))
        (wanted,) = entry["outputs"]
        got = execute(backend, p, {"w": rows}).read("w after")
        within(entry["name"], got, array(wanted), entry["tolerance"])

    return check


def _checks() -> list[Check]:
    found = []
    for entry in load("layers"):
        name = f"golden layer/{entry['name']}"
        if entry["layer"] == "max_norm":
            found.append(Check(name, _constraint(entry), needs=("float64",)))
            continue
        found += [Check(f"{name}/{d}", _check(entry, d), needs=(d,)) for d in DTYPES]
    return found


CHECKS = _checks()


@checking(CHECKS, "golden layer/max norm of a ramp", needs=("float64",))
def ramp(backend: Backend) -> None:
    """Rows of a ramp 10 x 100 with limit 1 have a length of 1 each, but for a row of zeros."""
    p = Program()
    w = p.input("w", (10, 100), "float64")
    p.output("w after", max_norm(p, w, 1.0))
    numbers = np.arange(1000.0).reshape(10, 100)
    got = execute(backend, p, {"w": numbers}).read("w after")
    within("norms", np.linalg.norm(got, axis=1), np.ones(10), 1e-12)
    close("directions", got * np.linalg.norm(numbers, axis=1)[:, None], numbers)


@checking(CHECKS, "golden layer/batch normalisation", needs=("float64",))
def batch_normalisation(backend: Backend) -> None:
    """20 x 20 numbers of mean 5 and variance 20: the output is standard, the statistics follow.

    The original's factor .8 weighs the new batch: momentum .2. After six passes the running mean is
    5 and the running variance 20 x 20 / 19, both to 1e-2.
    """
    generator = np.random.default_rng(4)
    x = generator.normal(size=(20, 20))
    x = 5 + np.sqrt(20) * (x - x.mean(0)) / x.std(0)
    network = Network(
        [("x", layers.Input(20)), ("norm", layers.BatchNormalisation(0.2))], dtype="float64"
    )
    made = training_step(
        network, optimiser=Sgd(0.0), batch_size=20, loss=MeanSquaredError(), backend=backend
    )
    made.write("x", x)
    made.write("label", np.zeros((20, 20)))
    for _ in range(6):
        made.run()
    y = made.read("output")
    within("mean of the output", y.mean(0), np.zeros(20), 1e-6)
    within("variance of the output", y.var(0), np.ones(20), 1e-3)
    within("running mean", made.read("norm.running_mean"), np.full(20, 5.0), 1e-2)
    within("running variance", made.read("norm.running_variance"), np.full(20, 21.05), 1e-2)
