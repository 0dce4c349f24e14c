"""Functions: makers, the collections with their minima, gradient ratings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.compute.errors import DescriptionError
from cortex.gradient_check import check_gradient as directional
from cortex.optimise import functions as f
from cortex.optimise.functions import more_garbow_hillstrom as mgh

# objective, dimensions, centre, distance, bar on the average rating: the original's own tests
BARS: list[tuple[f.Objective, int, Any, float, float]] = [
    (f.cross_paraboloid, 3, 0.0, 1.0, 10),
    (f.de_jong, 3, 0.0, 5.12, 10),
    (f.axis_parallel_hyper_ellipsoid, 3, 0.0, 5.12, 10),
    (f.rotated_hyper_ellipsoid, 3, 0.0, 65.536, 10),
    (f.moved_axis_parallel_hyper_ellipsoid, 3, 0.0, 5.12, 10),
    (f.easom, 2, 0.0, 100.0, 10),
    (f.rosenbrock, 3, 0.0, 2.048, 8),
    (f.rastrigin, 3, 0.0, 5.12, 8),
    (f.schwefel, 3, 0.0, 500.0, 8),
    (f.griewangk, 3, 0.0, 600.0, 8),
    (f.different_powers, 3, 0.0, 1.0, 8),
    (f.ackley, 3, 0.0, 1.0, 8),
    (f.michalewicz(1), 3, np.pi / 2, np.pi / 2, 8),
    (f.branin, 2, [2.5, 7.5], 7.5, 8),
    (f.six_hump_camel, 2, 0.0, 2.0, 8),
]


@pytest.mark.parametrize(
    ("of", "dims", "center", "dist", "bar"), BARS, ids=lambda v: getattr(v, "name", "")
)
def test_ratings_of_the_originals_objectives(
    of: f.Objective, dims: int, center: Any, dist: float, bar: float
) -> None:
    found = f.check_gradient(of, dims, center=center, dist=dist)
    assert found.average >= bar
    assert found.verdict == "good"
    assert found.errors.shape == found.ratings.shape == (100 * dims,)


def test_every_objective_is_rated() -> None:
    assert {o.name.split("(")[0] for o, *_ in BARS} == {n.split("(")[0] for n in f.OBJECTIVES}


@pytest.mark.parametrize("dims", [1, 2, 3, 10])
@pytest.mark.parametrize("of", f.OBJECTIVES.values(), ids=list(f.OBJECTIVES))
def test_known_minima(of: f.Objective, dims: int) -> None:
    if of.dims not in (None, dims) or of.minimum is None or of.minimiser is None:
        return
    x = of.minimiser(dims)
    low, high = of.domain(dims)
    assert x.shape == (dims,) and (low <= x).all() and (x <= high).all()
    assert of.value(x) == pytest.approx(of.minimum(dims), abs=1e-12 * max(1, abs(of.minimum(dims))))
    np.testing.assert_allclose(of.gradient(x), 0, atol=1e-9)
    generator = np.random.default_rng(0)
    for scale in (1e-3, 0.1, 0.5):
        other = np.clip(x + scale * generator.standard_normal(dims), low, high)
        assert of.value(other) >= of.value(x) - 1e-12


@pytest.mark.parametrize("of", f.OBJECTIVES.values(), ids=list(f.OBJECTIVES))
def test_finite_at_zero_and_arguments_are_left_alone(of: f.Objective) -> None:
    x = np.zeros(of.dims or 4)
    assert np.isfinite(of.value(x)) and np.isfinite(of.gradient(x)).all()
    assert not x.any()


def test_what_was_wrong_in_the_original() -> None:
    """Ackley knew four dimensions only; the camel's humps had the wrong power; values at 0 were NaN."""
    for n in (1, 2, 3, 7):
        assert f.ackley.value(np.zeros(n)) == pytest.approx(0, abs=1e-14)
        assert f.ackley.value(np.full(n, 0.5)) == pytest.approx(4.2536540265684, abs=1e-10)
    assert f.six_hump_camel.value(np.array([1.0, 1.0])) == pytest.approx(4 - 2.1 + 1 / 3 + 1)
    assert f.branin.value(np.array([-np.pi, 12.275])) == pytest.approx(0.39788735772973816)
    assert f.schwefel.value(np.zeros(3)) == 0


def test_steep_michalewicz_has_the_published_minimum() -> None:
    valley = np.array([2.2029055201726, 1.5707963267949])
    assert f.michalewicz().value(valley) == pytest.approx(-1.8013034100986, abs=1e-12)
    directional(f.michalewicz().value, f.michalewicz().gradient, valley + 0.05)
    with pytest.raises(DescriptionError, match="m: expected a number >= 0.5, given 0.1"):
        f.michalewicz(0.1)


def test_a_wrong_gradient_is_rated_bad() -> None:
    wrong = f.function(lambda x: np.sum(x * x), lambda x: 2 * (x + 1))
    right = f.function(lambda x: np.sum(x * x), lambda x: 2 * x)
    bad, good = f.check_gradient(wrong, 3), f.check_gradient(right, 3)
    assert bad.average <= 3 and bad.verdict in ("bad", "very bad")
    assert good.average >= 10 and good.verdict == "good"
    assert sum(good.classes.values()) == 300
    assert str(good).startswith("good: 1") and "of 300 slopes" in str(good)
    assert f.check_gradient(right, 3, points=200).errors.shape == (600,)
    assert f.check_gradient(right, 2, points=200).errors.shape == (400,)


def test_ratings_and_classes() -> None:
    claimed = [1.0, 1.0, 1.0, np.nan, np.inf, 0.0, 5.0]
    assert f.rating(claimed, [1.0, 1.001, -1.0, 1.0, 1.0, 0.0, 0.0]).tolist() == [
        20,
        4,
        0,
        0,
        0,
        20,
        0,
    ]
    assert [f.rating_class(r) for r in (0, 2, 4, 6.9, 7)] == [
        "very bad", "bad", "maybe okay", "maybe okay", "good",
    ]  # fmt: skip


def test_numerical_gradient_and_random_points() -> None:
    found = f.numerical_gradient(lambda x: np.sum(x * x), [1, 2, 3], h=1e-6)
    np.testing.assert_allclose(found, [2, 4, 6], rtol=0, atol=1e-8)
    np.testing.assert_array_equal(
        f.numerical_gradient(f.de_jong, [1.0]), f.numerical_gradient(f.de_jong.value, [1.0])
    )
    generator = np.random.default_rng(1)
    points = np.array([f.random_point(generator, 3, [1, 2, 3], 0.5) for _ in range(200)])
    lengths = np.linalg.norm(points - [1, 2, 3], axis=1)
    assert lengths.max() <= 0.5 and 0.2 < lengths.mean() < 0.3


def test_every_form_of_a_function() -> None:
    x = np.array([1.0, 2.0, 3.0])
    value, slope = lambda x: float(np.sum(x * x)), lambda x: 2 * x  # noqa: E731
    for made in (
        f.function(value, slope),
        f.function((value, slope)),
        f.function({"value": value, "gradient": slope}),
        f.function(lambda x: (x**2).sum()),
        f.function(f.de_jong),
    ):
        assert isinstance(made, f.Function)
        assert made.value(x) == f.value(made, x) == 14
        np.testing.assert_array_equal(made.gradient(x), [2, 4, 6])
        np.testing.assert_array_equal(f.gradient(made, [1, 2, 3]), [2, 4, 6])


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        (({"value": abs, "gradeint": abs},), "the entry 'gradient' is missing; did you mean 'gradeint'?"),
        ((3, 4), "value: expected a function of a vector, given 3"),
        ((f.Derived,), "given the class Derived; call it first"),
        ((7,), "value: expected a function of a vector, given 7"),
    ],
)  # fmt: skip
def test_what_is_no_function(given_: Any, message: str) -> None:
    with pytest.raises(DescriptionError) as error:
        f.function(*given_)
    assert message in str(error.value)


def test_the_nearest_objective_is_named() -> None:
    assert f.objective("de_jong") is f.de_jong
    with pytest.raises(DescriptionError, match="did you mean 'rastrigin'"):
        f.objective("rastrigin_")
    with pytest.raises(DescriptionError, match="branin: expected 2 dimensions, given 3"):
        f.branin.domain(3)


def test_a_seed_draws_the_function_of_a_step() -> None:
    noisy = f.stochastic(lambda x, seed: (x**2).sum() + np.random.default_rng(seed).normal() * x[0])
    x = np.array([1.0, 2.0])
    one, again, other = noisy.at((0, 1)), noisy.at((0, 1)), noisy.at((0, 2))
    assert one.value(x) == again.value(x) != other.value(x)
    np.testing.assert_array_equal(one.gradient(x), again.gradient(x))
    directional(one.value, one.gradient, x)
    assert isinstance(noisy, f.Function) and noisy.value(x) == noisy.at((0,)).value(x)


def test_minibatches() -> None:
    a = np.arange(20.0).reshape(10, 2)
    b = np.arange(10.0)
    part = f.minibatches(lambda x, a, b: np.mean((a @ x - b) ** 2), a, b, size=4)
    x = np.array([0.3, -0.1])
    values = {part.at((0, k)).value(x) for k in range(5)}
    assert len(values) == 5
    directional(part.at((0, 3)).value, part.at((0, 3)).gradient, x)
    whole = f.minibatches(lambda x, a, b: np.mean((a @ x - b) ** 2), a, b, size=10).at((1,))
    assert whole.value(x) == pytest.approx(np.mean((a @ x - b) ** 2))
    with pytest.raises(DescriptionError, match=r"lengths \[9, 10\], size 4"):
        f.minibatches(lambda x, a, b: 0.0, a, b[:9], size=4)
    with pytest.raises(DescriptionError, match="size 11"):
        f.minibatches(lambda x, a, b: 0.0, a, b, size=11)


# The problems of Moré, Garbow and Hillstrom.

CLASSICS = f.classics()
# f at the standard start, from tables published with implementations of the collection
STARTS = {
    "rosenbrock": 24.2, "freudenstein_roth": 400.5, "beale": 14.203125, "jennrich_sampson": 4171.306,
    "helical_valley": 2500.0, "bard": 41.681696, "meyer": 1693607809.4361, "box": 1031.1538106,
    "powell_singular": 215.0, "wood": 19192.0, "brown_dennis": 7926693.337, "osborne_1": 0.879026,
    "osborne_2": 2.093420, "watson_9": 30.0, "watson_12": 30.0, "biggs": 0.779070,
    "kowalik_osborne": 5.313172e-3, "gulf": 12.11070583,
}  # fmt: skip


def test_all_35_are_there() -> None:
    assert {int(p.source) for p in CLASSICS.values()} == set(range(1, 36))
    for name, value in STARTS.items():
        problem = CLASSICS[name]
        assert problem.value(np.array(problem.start)) == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("problem", CLASSICS.values(), ids=list(CLASSICS))
def test_derived_gradients_of_the_classics(problem: f.Problem) -> None:
    start = np.array(problem.start)
    directional(problem.value, problem.gradient, start, tolerance=1e-5, name=problem.name)
    near = start + 0.01 * np.random.default_rng(0).standard_normal(start.size) * np.abs(start)
    directional(problem.value, problem.gradient, near, tolerance=1e-5, name=problem.name)


PLACES = {
    "rosenbrock": [1, 1], "freudenstein_roth": [5, 4], "beale": [3, 0.5], "helical_valley": [1, 0, 0],
    "brown_badly_scaled": [1e6, 2e-6], "gulf": [50, 25, 1.5], "box": [1, 10, 1], "wood": [1, 1, 1, 1],
    "powell_singular": [0, 0, 0, 0], "biggs": [1, 10, 1, 5, 4, 3], "brown_almost_linear_10": [1] * 10,
    "variably_dimensioned_10": [1] * 10, "extended_rosenbrock_10": [1] * 10,
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_published_minimisers_of_the_classics(name: str) -> None:
    assert CLASSICS[name].value(np.array(PLACES[name], float)) == pytest.approx(0, abs=1e-20)


@given(st.integers(1, 12), st.integers(0, 9))
def test_linear_problems_of_any_size_have_the_minimum_of_least_squares(n: int, extra: int) -> None:
    m = n + extra
    for made in (mgh.linear_full_rank(n, m), mgh.linear_rank_1(n, m)):
        origin = made.residuals(np.zeros(n))
        columns = np.array([made.residuals(e) - origin for e in np.eye(n)]).T
        x = np.linalg.lstsq(columns, -origin, rcond=None)[0]
        assert made.value(x) == pytest.approx(made.minima[0], rel=1e-9, abs=1e-20)
