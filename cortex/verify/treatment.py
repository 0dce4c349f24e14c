"""What nodes say about training holds: frozen parts, learning-rate factors, norms, penalties, clipping."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortex.compute.backend import Backend
from cortex.compute.verify import Check, Mismatch, checking, close, equal
from cortex.executables import NetworkExecutable, training_step
from cortex.gradient_check import GradientError, gradient_check
from cortex.layers import BatchNormalisation, Input, Linear, Tanh
from cortex.losses import MeanSquaredError
from cortex.network import Network, node
from cortex.optimise.optimisers import Adam, Sgd
from cortex.tracing import Clip

CHECKS: list[Check] = []
RATE = 0.1


def _columns() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    return {"x": generator.normal(size=(7, 5)), "label": generator.normal(size=(7, 2))}


def _network(attributes: dict[str, Any] | None = None, **behind: Any) -> Network:
    items = [
        ("x", Input(5)),
        node(Linear(4), "first", **(attributes or {})),
        Tanh(),
        node(Linear(2), "last", **behind),
    ]
    return Network(items, seed=2, dtype="float64")


def _run(network: Network, backend: Backend, steps: int = 1, **options: Any) -> NetworkExecutable:
    chosen = {"optimiser": Sgd(RATE), "loss": MeanSquaredError(), **options}
    made = training_step(network, batch_size=7, backend=backend, **chosen)
    for name, array in _columns().items():
        made.write(name, array)
    for _ in range(steps):
        made.run()
    return made


def _moved(network: Network, made: NetworkExecutable) -> dict[str, np.ndarray]:
    return {name: made.read(name) - array for name, array in network.parameters.items()}


@checking(CHECKS, "treatment/max norm", needs=("float64",))
def max_norm_holds(backend: Backend) -> None:
    """After each of 20 steps no row of the weights is longer than the limit, and some are as long."""
    network = _network({"max_norm": 0.5})
    made = _run(network, backend, 0, optimiser=Adam(0.05))
    for number in range(20):
        made.run()
        norms = np.linalg.norm(made.read("first.weights"), axis=1)
        if norms.max() > 0.5 * (1 + 1e-12):
            raise Mismatch(f"step {number + 1}: a row has the norm {norms.max()}, the limit is .5")
    if norms.max() < 0.49:
        raise Mismatch(f"no row came near the limit: {norms}")
    free = _run(_network(), backend, 20, optimiser=Adam(0.05)).read("first.weights")
    if np.linalg.norm(free, axis=1).max() < 0.6:
        raise Mismatch("without the limit no row is longer; the check shows nothing")


@checking(CHECKS, "treatment/frozen parts do not move", needs=("float64",))
def frozen(backend: Backend) -> None:
    """Neither weights nor running statistics of a frozen part change, not by a bit; the rest learns."""
    items = [("x", Input(5)), ("a", Linear(4)), ("norm", BatchNormalisation()), ("b", Linear(2))]
    network = Network(items, seed=2, dtype="float64").freeze("a", "norm")
    moved = _moved(network, _run(network, backend, 5, optimiser=Adam(0.05)))
    for name, change in moved.items():
        if name.startswith("b."):
            if not np.abs(change).min() > 0:
                raise Mismatch(f"{name} is not frozen and does not learn")
        else:
            equal(f"change of {name}", change, np.zeros(change.shape))


@checking(CHECKS, "treatment/learning-rate factor", needs=("float64",))
def learning_rate_factor(backend: Backend) -> None:
    """A step of a parameter with factor f is f times its step without, for SGD and for Adam."""
    for optimiser in (Sgd(RATE), Adam(0.01)):
        plain, slow = _network(), _network({"learning_rate_factor": 0.25})
        once = _moved(plain, _run(plain, backend, optimiser=optimiser))
        again = _moved(slow, _run(slow, backend, optimiser=optimiser))
        for name, change in once.items():
            factor = 0.25 if name.startswith("first.") else 1.0
            close(f"{name}, {type(optimiser).__name__}", again[name], factor * change, 1e-11)


@checking(CHECKS, "treatment/penalties", needs=("float64",))
def penalties(backend: Backend) -> None:
    """l1 and l2 are in the loss and in the gradient, l2 w and l1 sign(w), once and for weights only."""
    plain, paying = _network(), _network({"l1": 0.03, "l2": 0.2})
    one, two = _run(plain, backend), _run(paying, backend)
    w = plain.parameters["first.weights"]
    penalty = 0.03 * np.abs(w).sum() + 0.1 * (w * w).sum()
    close("loss", two.read("loss") - one.read("loss"), penalty, 1e-11)
    wanted = -RATE * (0.03 * np.sign(w) + 0.2 * w)
    close("weights", two.read("first.weights") - one.read("first.weights"), wanted, 1e-11)
    equal("bias", two.read("first.bias"), one.read("first.bias"))
    try:
        gradient_check(paying, _columns(), loss=MeanSquaredError(), backend=backend)
    except GradientError as error:
        raise Mismatch(str(error)) from error


@checking(CHECKS, "treatment/clipping", needs=("float64",))
def clipping(backend: Backend) -> None:
    """By norm the whole gradient is shortened, by value each element is cut."""
    network = _network()
    gradient = {n: c / -RATE for n, c in _moved(network, _run(network, backend)).items()}
    norm = np.sqrt(sum(float((g * g).sum()) for g in gradient.values()))
    half = _run(network, backend, clip=norm / 2)
    close("norm", half.read("gradient.norm"), norm, 1e-10)
    for name, change in _moved(network, half).items():
        close(f"{name}, by norm", change, -RATE * gradient[name] / 2, 1e-10)
    for name, change in _moved(network, _run(network, backend, clip=Clip(value=0.05))).items():
        close(f"{name}, by value", change, -RATE * np.clip(gradient[name], -0.05, 0.05), 1e-10)
