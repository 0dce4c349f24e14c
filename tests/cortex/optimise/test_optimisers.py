"""Every optimiser against published numbers and against an independent reference."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.optimise import optimisers as o
from cortex.optimise.schedules import ExponentialDecay

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "optimisers.json").read_text())
NUMBERS = np.arange(1.0, 5.0)


def descend(
    optimiser: Any, gradient: Callable[[np.ndarray], np.ndarray], start: Any, steps: int
) -> tuple[list[np.ndarray], Any]:
    """Parameters before each step and after the last, and the last state."""
    x = np.array(start, np.float64)
    state, path = optimiser.initialise(x.size), [x]
    for _ in range(steps):
        x, state = optimiser.update(state, x, gradient(x))
        path.append(x)
    return path, state


def cross_paraboloid(x: np.ndarray) -> float:
    return float(np.sum((x + np.roll(x, -1)) ** 2))


def cross_gradient(x: np.ndarray) -> np.ndarray:
    return 4 * x + 2 * np.roll(x, 1) + 2 * np.roll(x, -1)


@pytest.mark.parametrize("case", GOLDEN["one_step"], ids=lambda c: c["optimiser"]["type"])
def test_one_step(case: dict[str, Any]) -> None:
    optimiser = o.from_data(case["optimiser"])
    given = {n: np.array(v, np.float64) for n, v in case["state"].items()}
    state = {**optimiser.initialise(3), **given}
    parameters = np.array(case["parameters"], np.float64)
    gradient = np.array(case["gradient"], np.float64)
    moved, new = optimiser.update(state, parameters, gradient)
    np.testing.assert_allclose(moved, case["expected"], rtol=0, atol=1e-8)
    for name, expected in case["expected_state"].items():
        np.testing.assert_allclose(new[name], expected, rtol=1e-9, atol=1e-8)
    np.testing.assert_array_equal(parameters, case["parameters"])  # nothing is changed in place
    for name, value in case["state"].items():
        np.testing.assert_array_equal(state[name], value)


def test_adam_on_the_axis_parallel_hyper_ellipsoid_to_every_printed_digit() -> None:
    golden = GOLDEN["adam_axis_parallel"]
    path, _ = descend(o.Adam(), lambda x: 2 * NUMBERS * x, golden["initial"], 13)
    assert [x.tolist() for x in path] == golden["parameters_by_step"]
    norms = [float(np.linalg.norm(2 * NUMBERS * x)) for x in path]
    assert [n <= 37.5 for n in norms] == [False] * 13 + [True]


def test_adam_converges_in_the_published_number_of_steps_to_every_digit() -> None:
    golden, optimiser = GOLDEN["adam_axis_parallel"], o.Adam()
    x = np.array(golden["initial"], np.float64)
    state, steps = optimiser.initialise(4), 0
    while np.linalg.norm(gradient := 2 * NUMBERS * x) > 1e-10:
        x, state = optimiser.update(state, x, gradient)
        steps += 1
    assert steps == golden["steps_to_1e-10"] == state["num_steps"]
    assert x.tolist() == golden["final"]


def test_adam_on_de_jong() -> None:
    golden = GOLDEN["adam_de_jong"]
    path, _ = descend(o.Adam(), lambda x: 2 * x, golden["initial"], 19)
    np.testing.assert_allclose(path[1:], golden["parameters_by_step"], rtol=0, atol=1e-14)


def test_the_first_step_of_adam_has_the_step_size_in_every_entry() -> None:
    start = np.random.default_rng(0).uniform(size=1000)
    path, _ = descend(o.Adam(), lambda x: 2 * x, start, 2)
    assert np.linalg.norm(path[1] - path[0]) == pytest.approx(0.0316227756, abs=1e-8)
    assert np.linalg.norm(path[2] - path[1]) < np.linalg.norm(path[1] - path[0])


def test_sgd_on_different_powers() -> None:
    def gradient(x: np.ndarray) -> np.ndarray:
        return (NUMBERS + 1) * np.abs(x) ** NUMBERS * np.sign(x)

    golden = GOLDEN["sgd_different_powers"]
    path, _ = descend(o.Sgd(), gradient, golden["initial"], 5)
    np.testing.assert_allclose(path[1], [0.8, 0.7, 0.6, 0.5], rtol=1e-15)
    assert [f"{v:.5g}" for v in path[3]] == ["0.512", "0.46126", "0.45941", "0.44461"]
    np.testing.assert_allclose(path[5], golden["final"], rtol=1e-15)


def test_sgd_on_the_cross_paraboloid() -> None:
    path, _ = descend(o.Sgd(), cross_gradient, [1, 2, 3], 2)
    np.testing.assert_allclose(path, [[1, 2, 3], [-0.4, 0.4, 1.2], [-0.56, 0.08, 0.72]], rtol=1e-14)


def test_adadelta_on_the_cross_paraboloid() -> None:
    golden = GOLDEN["adadelta_cross_paraboloid"]
    path, _ = descend(o.Adadelta(), cross_gradient, golden["initial"], 563)
    for steps, value, gradient in golden["printed"]:
        assert f"{cross_paraboloid(path[steps]):.3g}" == value, steps
        assert " ".join(f"{g:.3g}" for g in cross_gradient(path[steps])) == gradient, steps


def test_adadelta_of_a_network() -> None:
    golden = GOLDEN["network_adadelta"]
    optimiser = o.from_data(golden["optimiser"])
    x, g = np.array(golden["parameters"], np.float64), np.array(golden["gradient"], np.float64)
    moved, _ = optimiser.update(optimiser.initialise(6), x, g)
    np.testing.assert_allclose(moved, golden["expected"], rtol=0, atol=1e-14)


# Independent references: one number at a time, in the words of the papers.


def sgd(p: float, gs: Any, lr: float, mu: float, nesterov: bool) -> float:
    v = 0.0
    for t, g in enumerate(gs(p)):
        old, v = v, mu * v - lr * g
        p += (1 + mu) * v - mu * old if nesterov else v
        gs.at(p, t)
    return p


class Gradients:
    """Yields the gradient of sin(3p) + p^2 at the current p, a number of times."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __call__(self, p: float) -> Any:
        self.p = p
        for _ in range(self.steps):
            yield 3 * math.cos(3 * self.p) + 2 * self.p

    def at(self, p: float, _: int) -> None:
        self.p = p


def adagrad(p: float, gs: Any, lr: float, eps: float, initial: float) -> float:
    total = initial
    for t, g in enumerate(gs(p)):
        total += g**2
        p -= lr * g / (math.sqrt(total) + eps)
        gs.at(p, t)
    return p


def adadelta(p: float, gs: Any, rho: float, eps: float, lr: float) -> float:
    eg = ex = 0.0
    for t, g in enumerate(gs(p)):
        eg = rho * eg + (1 - rho) * g**2
        dx = -math.sqrt(ex + eps) / math.sqrt(eg + eps) * g
        ex = rho * ex + (1 - rho) * dx**2
        p += lr * dx
        gs.at(p, t)
    return p


def rmsprop(p: float, gs: Any, lr: float, rho: float, mu: float, centred: bool) -> float:
    v = mean = d = 0.0
    for t, g in enumerate(gs(p)):
        v = rho * v + (1 - rho) * g**2
        mean = rho * mean + (1 - rho) * g
        spread = max(v - mean**2, 0.0) if centred else v
        d = mu * d - lr * g / math.sqrt(spread + 1e-7)
        p += d
        gs.at(p, t)
    return p


def adam(p: float, gs: Any, lr: float, decay: float = 0.0, amsgrad: bool = False) -> float:
    b1, b2, m, v, top = 0.8, 0.95, 0.0, 0.0, 0.0
    for t, g in enumerate(gs(p), 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        top = max(top, v)
        corrected = (top if amsgrad else v) / (1 - b2**t)
        p -= lr * (m / (1 - b1**t) / (math.sqrt(corrected) + 1e-8) + decay * p)
        gs.at(p, t)
    return p


def nadam(p: float, gs: Any, lr: float) -> float:
    b1, b2, m, v = 0.9, 0.999, 0.0, 0.0
    mus = [0.0] + [b1 * (1 - 0.5 * 0.96 ** (0.004 * t)) for t in range(1, 200)]
    for t, g in enumerate(gs(p), 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        now, ahead = math.prod(mus[1 : t + 1]), math.prod(mus[1 : t + 2])
        m_hat = mus[t + 1] * m / (1 - ahead) + (1 - mus[t]) * g / (1 - now)
        p -= lr * m_hat / (math.sqrt(v / (1 - b2**t)) + 1e-8)
        gs.at(p, t)
    return p


def lion(p: float, gs: Any, lr: float, decay: float) -> float:
    m = 0.0
    for t, g in enumerate(gs(p)):
        c = 0.9 * m + 0.1 * g
        p -= lr * ((c > 0) - (c < 0) + decay * p)
        m = 0.99 * m + 0.01 * g
        gs.at(p, t)
    return p


AGAINST = [
    (o.Sgd(0.03), sgd, (0.03, 0.0, False)),
    (o.Sgd(0.03, 0.7), sgd, (0.03, 0.7, False)),
    (o.Sgd(0.03, 0.7, nesterov=True), sgd, (0.03, 0.7, True)),
    (o.Adagrad(0.05, 1e-6, 0.2), adagrad, (0.05, 1e-6, 0.2)),
    (o.Adadelta(0.8, 1e-4, 0.5), adadelta, (0.8, 1e-4, 0.5)),
    (o.RmsProp(0.02, 0.8), rmsprop, (0.02, 0.8, 0.0, False)),
    (o.RmsProp(0.02, 0.8, momentum=0.5, centred=True), rmsprop, (0.02, 0.8, 0.5, True)),
    (o.Adam(0.03, 0.8, 0.95), adam, (0.03,)),
    (o.AdamW(0.03, 0.8, 0.95, weight_decay=0.1), adam, (0.03, 0.1)),
    (o.AmsGrad(0.03, 0.8, 0.95), adam, (0.03, 0.0, True)),
    (o.Nadam(0.03), nadam, (0.03,)),
    (o.Lion(0.003, weight_decay=0.1), lion, (0.003, 0.1)),
]


@pytest.mark.parametrize(
    ("optimiser", "reference", "arguments"), AGAINST, ids=[repr(a[0]) for a in AGAINST]
)
def test_against_an_independent_reference(
    optimiser: Any, reference: Callable[..., float], arguments: tuple[Any, ...]
) -> None:
    start = np.random.default_rng(3).standard_normal(7)
    steps = 60
    path, state = descend(optimiser, lambda x: 3 * np.cos(3 * x) + 2 * x, start, steps)
    expected = [reference(float(p), Gradients(steps), *arguments) for p in start]
    np.testing.assert_allclose(path[-1], expected, rtol=1e-9, atol=1e-12)
    assert state["num_steps"] == steps
    assert not np.allclose(path[-1], start)


def test_a_schedule_is_the_number_it_gives_at_each_step() -> None:
    schedule = ExponentialDecay(0.1, 0.5, 2)
    x, gradient = np.array([1.0, -2.0]), np.array([3.0, 4.0])
    optimiser = o.Sgd(schedule)
    state = optimiser.initialise(2)
    for step in range(5):
        moved, state = optimiser.update(state, x, gradient)
        np.testing.assert_allclose(moved, x - 0.1 * 0.5 ** (step / 2) * gradient, rtol=1e-14)


def test_a_plain_function_is_a_schedule() -> None:
    optimiser = o.Sgd(lambda step: 1.0 / (step + 1))
    x, state = optimiser.update(optimiser.initialise(1), np.zeros(1), np.ones(1))
    x, state = optimiser.update(state, x, np.ones(1))
    assert x.tolist() == [-1.5]


def test_momentum_that_is_a_schedule_keeps_a_velocity() -> None:
    optimiser = o.Sgd(0.1, momentum=ExponentialDecay(0.9, 0.5))
    assert set(optimiser.initialise(3)) == {"velocity", "num_steps"}
    x = np.zeros(1)
    state = optimiser.initialise(1)
    for _ in range(2):
        x, state = optimiser.update(state, x, np.ones(1))
    np.testing.assert_allclose(state["velocity"], 0.45 * -0.1 - 0.1)


@pytest.mark.parametrize("name", o.OPTIMISERS.types)
def test_state_is_vectors_and_scalars_in_float64(name: str) -> None:
    state = o.from_data(name).initialise(5)
    assert "num_steps" in state
    for entry in state.values():
        assert entry.dtype == np.float64 and entry.shape in ((), (5,))


@pytest.mark.parametrize("name", o.OPTIMISERS.types)
def test_zero_gradients_move_nothing_and_give_no_nan(name: str) -> None:
    optimiser = o.from_data(name)
    if name == "AdamW":
        optimiser = o.AdamW(weight_decay=0.0)
    path, _ = descend(optimiser, np.zeros_like, [1.0, -2.0, 0.0], 3)
    np.testing.assert_array_equal(path[-1], [1, -2, 0])


@pytest.mark.parametrize("name", o.OPTIMISERS.types)
def test_any_step_resumes(name: str) -> None:
    optimiser = o.from_data(name)
    x = np.array([1.0, 2.0])
    state = optimiser.initialise(2)
    kept = []
    for _ in range(6):
        kept.append((x, state))
        x, state = optimiser.update(state, x, 2 * x)
    y, again = kept[2]
    for _ in range(4):
        y, again = optimiser.update(again, y, 2 * y)
    np.testing.assert_array_equal(x, y)
