"""Solvers and line searches: the classic problems, side by side with SciPy; each part on its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortex.compute.errors import DescriptionError
from cortex.optimise import ConjugateGradients, LBfgs, NewtonSecant, Sgd, functions, optimisers
from cortex.optimise import descent as d
from cortex.optimise.constraints import Box
from cortex.optimise.descent.point import Counted
from cortex.optimise.line_search import Backtracking, StrongWolfe
from cortex.optimise.optimisers.conjugate_gradients import FORMULAS
from cortex.optimise.optimisers.solvers import two_loops
from cortex.optimise.trace import trace
from cortex.stopping import Reason

SCIPY = json.loads((Path(__file__).parents[2] / "golden" / "minimisers.json").read_text())[
    "problems"
]
CLASSICS = functions.classics()
SOLVERS = [LBfgs(), ConjugateGradients()]


def values_needed(
    problem: functions.Problem, solver: Any, target: float, limit: int = 1500
) -> float:
    """How many values a solver computes until one is at the target; infinite where none is."""
    values: list[float] = []

    def value(x: np.ndarray) -> float:
        values.append(problem.value(x))
        return values[-1]

    with np.errstate(all="ignore"):
        d.study(
            (value, problem.gradient), solver, problem.start,
            lambda r: r["value"] <= target or len(values) >= limit,
        )  # fmt: skip
    found = np.flatnonzero(np.array(values) <= target)
    return found[0] + 1 if len(found) else np.inf


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
def test_every_classic_that_scipy_solves_in_about_as_many_values(solver: Any) -> None:
    ratios = {
        name: values_needed(CLASSICS[name], solver, row["target"]) / row["values"]
        for name, row in SCIPY.items()
        if row["values"]
    }
    assert len(ratios) == 38
    assert not [name for name, ratio in ratios.items() if not np.isfinite(ratio)]
    assert np.median(list(ratios.values())) <= 1.5


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(
    ("name", "target"),
    [("powell_badly_scaled", 1e-8), ("jennrich_sampson", 124.3622), ("meyer", 87.9459)],
)
def test_classics_that_scipy_does_not_solve(solver: Any, name: str, target: float) -> None:
    assert SCIPY[name]["values"] is None
    assert np.isfinite(values_needed(CLASSICS[name], solver, target))


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize(
    ("memory", "search"),
    [(0, StrongWolfe(curvature=0.1)), (4, StrongWolfe(curvature=0.1)), (4, Backtracking())],
)
def test_every_formula(formula: str, memory: int, search: Any) -> None:
    solver = ConjugateGradients(formula, memory, search)
    for name in ("beale", "wood", "broyden_tridiagonal_10"):
        problem = CLASSICS[name]
        result = d.study(
            problem, solver, problem.start, [d.limit_gradient(1e-6), d.limit_steps(2000)]
        )
        assert result.reason is Reason.GRADIENT, (name, result)
        assert result.value < 1e-9


def test_plain_conjugate_gradients_end_a_quadratic_in_n_steps() -> None:
    """With exact line searches the gradients are orthogonal: n steps suffice (Hestenes and Stiefel 1952)."""
    generator = np.random.default_rng(0)
    a = generator.standard_normal((6, 6))
    a = a @ a.T + np.eye(6)
    bowl = functions.function(lambda x: 0.5 * x @ a @ x, lambda x: a @ x)
    for formula in FORMULAS:
        solver = ConjugateGradients(formula, 0, StrongWolfe(curvature=1e-3))
        result = d.study(bowl, solver, np.ones(6), d.limit_gradient(1e-5))
        assert result.steps <= 7, formula


def test_two_loops_are_the_bfgs_matrix() -> None:
    """Against the update formula of the inverse Hessian, written out (Nocedal and Wright 2006, equation 6.17)."""
    generator = np.random.default_rng(1)
    moves = generator.standard_normal((4, 5))
    a = generator.standard_normal((5, 5))
    changes = moves @ (a @ a.T + np.eye(5))
    h = np.eye(5) * (moves[-1] @ changes[-1]) / (changes[-1] @ changes[-1])
    for s, y in zip(moves, changes, strict=True):
        rho, e = 1 / (s @ y), np.eye(5)
        h = (e - rho * np.outer(s, y)) @ h @ (e - rho * np.outer(y, s)) + rho * np.outer(s, s)
    g = generator.standard_normal(5)
    np.testing.assert_allclose(two_loops(g, moves, changes), h @ g, rtol=1e-10)
    np.testing.assert_array_equal(two_loops(g, moves[:0], changes[:0]), g)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
def test_state_is_immutable_and_any_step_resumes(solver: Any) -> None:
    problem = CLASSICS["wood"]
    kept = d.log(problem, solver, problem.start, d.limit_steps(14))
    again = d.log(problem, kept[6]["optimiser"], kept[6]["params"], d.limit_steps(8))
    np.testing.assert_array_equal(again[-1]["params"], kept[-1]["params"])
    assert kept[-1]["step"] == again[-1]["step"] == kept[-1]["num_steps"] == 14
    assert kept[3]["moves"].shape == (3, 4) and kept[12]["moves"].shape == (10, 4)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
def test_values_and_gradients_of_the_search_are_not_computed_again(solver: Any) -> None:
    problem = CLASSICS["rosenbrock"]
    rules = [d.limit_value(0), d.limit_gradient(1e-9)]
    watched = d.profile(problem, solver, problem.start, rules)
    alone = d.profile(problem, solver, problem.start, stop_at(watched.result.steps))
    assert (watched.value_calls, watched.gradient_calls) == (
        alone.value_calls,
        alone.gradient_calls,
    )


def stop_at(steps: int) -> Any:
    return d.limit_steps(steps)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
def test_a_solver_says_when_nothing_is_better(solver: Any) -> None:
    wrong = functions.function(lambda x: float(x @ x), lambda x: -2 * x)
    result = d.study(wrong, solver, [1.0, 2.0], lambda r: False)
    assert result.reason is Reason.STUCK and result.steps == 0
    result = d.study(functions.de_jong, solver, [1.0, 2.0], lambda r: False)
    assert result.reason is Reason.STUCK and result.value < 1e-20
    result = d.study(functions.de_jong, solver, [0.0, 0.0], lambda r: False)
    assert result.reason is Reason.STUCK and result.steps == 0


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
def test_cliffs(solver: Any) -> None:
    """Steps into places without a value are shortened."""
    log_barrier = functions.function(
        lambda x: float(x[0] - np.log(x[0])) if x[0] > 0 else float("nan"), lambda x: 1 - 1 / x
    )
    result = d.study(log_barrier, solver, [1e-3], d.limit_gradient(1e-8))
    assert result.params == pytest.approx(1)


def test_constraints_need_an_optimiser_of_gradients() -> None:
    with pytest.raises(DescriptionError, match="project: LBfgs searches along lines.*such as Adam"):
        d.study(functions.de_jong, LBfgs(), [1.0], d.limit_steps(1), project=Box(0, 1))


def test_training_says_that_a_solver_is_none_of_its_optimisers() -> None:
    with pytest.raises(
        DescriptionError, match="LBfgs: it searches along lines.*such as Adam or Sgd"
    ):
        trace(LBfgs())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "solver",
    [
        LBfgs(),
        LBfgs(3, Backtracking(1e-3)),
        ConjugateGradients("dai_yuan", 0, StrongWolfe(curvature=0.2)),
    ],
    ids=repr,
)
def test_solvers_survive_as_data(solver: Any) -> None:
    data = json.loads(json.dumps(optimisers.to_data(solver)))
    assert optimisers.from_data(data) == solver
    assert optimisers.from_data("lbfgs") == LBfgs()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ConjugateGradients("polak"),
            "formula: expected .*given 'polak'; did you mean 'polak_ribiere'",
        ),
        (lambda: LBfgs(0), "memory: expected an integer >= 1, given 0"),
        (lambda: StrongWolfe(0.5, 0.1), "expected sufficient < curvature, given 0.5 and 0.1"),
        (lambda: Backtracking(shrink=1.5), "shrink: expected a number >= 0 and < 1"),
        (lambda: NewtonSecant(decay=2), "decay: expected a number from 0 to 1"),
        (
            lambda: optimisers.from_data("lbgs"),
            "did you mean 'lbfgs'|no optimiser has the type 'lbgs'",
        ),
    ],
)
def test_messages(make: Any, message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        make()


# Line searches on their own. The functions are those of Moré and Thuente 1994, section 5.


def more_thuente(number: int) -> Any:
    if number == 1:
        return lambda a: -a / (a * a + 2), lambda a: (a * a - 2) / (a * a + 2) ** 2
    if number == 2:
        return (
            lambda a: (a + 0.004) ** 5 - 2 * (a + 0.004) ** 4,
            lambda a: 5 * (a + 0.004) ** 4 - 8 * (a + 0.004) ** 3,
        )
    b1, b2 = {4: (1e-3, 1e-3), 5: (1e-2, 1e-3), 6: (1e-3, 1e-2)}[number]
    g1, g2 = (np.sqrt(1 + b * b) - b for b in (b1, b2))

    def value(a: float) -> float:
        return g1 * np.sqrt((1 - a) ** 2 + b2**2) + g2 * np.sqrt(a * a + b1**2)

    def slope(a: float) -> float:
        return g1 * (a - 1) / np.sqrt((1 - a) ** 2 + b2**2) + g2 * a / np.sqrt(a * a + b1**2)

    return value, slope


@pytest.mark.parametrize("first", [1e-3, 0.1, 10.0, 1000.0])
@pytest.mark.parametrize("number", [1, 2, 4, 5, 6])
@pytest.mark.parametrize("curvature", [0.002, 0.1, 0.9])
def test_strong_wolfe_conditions_hold(number: int, first: float, curvature: float) -> None:
    value, slope = more_thuente(number)
    line = functions.function(lambda x: value(x[0]), lambda x: np.array([slope(x[0])]))
    point = d.Point(Counted(line), np.zeros(1))
    search = StrongWolfe(1e-3, curvature)
    found = search.search(point, np.ones(1), slope(0.0), first)
    a = found.params[0]
    assert value(a) <= value(0) + 1e-3 * a * slope(0)
    assert abs(slope(a)) <= curvature * abs(slope(0)) * (1 + 1e-12)
    assert point.function.values <= 22


@pytest.mark.parametrize("first", [1e-3, 0.1, 10.0, 1000.0])
@pytest.mark.parametrize("number", [1, 2, 4, 5, 6])
def test_backtracking_lowers_the_value_enough_and_needs_no_gradient(
    number: int, first: float
) -> None:
    value, slope = more_thuente(number)
    line = functions.function(lambda x: value(x[0]), lambda x: np.array([slope(x[0])]))
    point = d.Point(Counted(line), np.zeros(1))
    found = Backtracking().search(point, np.ones(1), slope(0.0), first)
    assert value(found.params[0]) <= value(0) + 1e-4 * found.params[0] * slope(0)
    assert point.function.gradients == 0


def test_a_search_that_finds_nothing_says_so() -> None:
    point = d.Point(Counted(functions.de_jong), np.zeros(1))
    for search in (Backtracking(), StrongWolfe()):
        assert search.search(point, np.ones(1), -1.0, 1.0) is None


# Newton-secant


def test_newton_secant_of_a_quadratic() -> None:
    """Against the rule written out for one number at a time; it learns each curvature."""
    curvature = np.array([0.5, 3.0, 40.0])
    kept = d.log(
        (lambda x: 0.5 * x @ (curvature * x), lambda x: curvature * x),
        NewtonSecant(),
        [5, -3, 2],
        d.limit_steps(60),
    )
    for i, c in enumerate(curvature):
        x, mx, mg, mxx, mxg = float(kept[0]["params"][i]), 0.0, 0.0, 1.0, 1.0
        for _ in range(60):
            g = c * x
            mx, mg, mxx, mxg = (
                0.9 * m + 0.1 * v for m, v in ((mx, x), (mg, g), (mxx, x * x), (mxg, x * g))
            )
            variance, slope = mxx - mx * mx, abs(mxg - mx * mg) / (mxx - mx * mx)
            x -= np.sign(g) * min(0.1 * abs(g) / slope, 2 * np.sqrt(variance))
        assert kept[-1]["params"][i] == pytest.approx(x, rel=1e-8)
    assert kept[-1]["value"] < 0.05 * kept[0]["value"]


def test_newton_secant_takes_the_largest_step_where_the_slope_is_flat() -> None:
    """E[x g] - E[x] E[g] = 0 with E[x^2] - E[x]^2 = 1: two standard deviations, against the gradient."""
    optimiser = NewtonSecant(decay=0.0)
    state = {**optimiser.initialise(3), "mean_product": np.zeros(3)}
    moved, _ = optimiser.update(state, np.zeros(3), np.array([1e-3, -5.0, 0.0]))
    assert moved.tolist() == [-2, 2, 0]


def test_every_gradient_optimiser_lowers_the_ellipsoid() -> None:
    start = functions.axis_parallel_hyper_ellipsoid.value(np.array([1.0, 2, 3]))
    for name in optimisers.OPTIMISERS.types:
        optimiser = Sgd(0.01) if name == "Sgd" else optimisers.from_data(name)
        result = d.study(
            functions.axis_parallel_hyper_ellipsoid, optimiser, [1, 2, 3], d.limit_steps(200)
        )
        assert result.value < start, name
