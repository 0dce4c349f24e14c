"""Scaling: statistics, both directions, JSON."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cortex.datasets import Arrays, DataError, MinMax, Standardise, iris, scaling_from_data

batches = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=1, max_dims=4, min_side=2, max_side=5),
    elements=st.floats(-100, 100).map(lambda value: round(value, 3)),
)


@given(batches)
def test_standardise_is_numpy_s(values):
    fitted = Standardise.fit(values)
    np.testing.assert_allclose(fitted.mean, values.mean(0), atol=1e-12)
    np.testing.assert_allclose(fitted.deviation, values.std(0, ddof=1), atol=1e-11)
    np.testing.assert_allclose(fitted.inverse(fitted.transform(values)), values, atol=1e-10)


@given(batches)
def test_min_max_is_numpy_s(values):
    fitted = MinMax.fit(values, -1, 3)
    np.testing.assert_array_equal(fitted.minimum, values.min(0))
    np.testing.assert_array_equal(fitted.maximum, values.max(0))
    scaled = fitted.transform(values)
    assert scaled.min() >= -1 - 1e-12 and scaled.max() <= 3 + 1e-12
    np.testing.assert_allclose(fitted.inverse(scaled), values, atol=1e-10)


@given(batches, st.sampled_from(["element", "channel", "all"]), st.booleans())
def test_json_round_trip(values, per, standard):
    per = "all" if values.ndim == 1 else per
    fitted = Standardise.fit(values, per) if standard else MinMax.fit(values, -1, 3, per)
    back = scaling_from_data(json.loads(json.dumps(fitted.to_data())))
    assert back == fitted and hash(back) == hash(fitted) and type(back) is type(fitted)
    np.testing.assert_array_equal(back.transform(values), fitted.transform(values))


@pytest.mark.parametrize("kind", [Standardise, MinMax])
def test_a_stream_of_batches_gives_the_same(kind):
    values = np.random.default_rng(0).normal(1e3, 2, (10_001, 3))
    data = Arrays(x=values)
    streamed = kind.fit(batch["x"] for batch in data.batches(777))
    whole = kind.fit(values)
    for name in ("mean", "deviation") if kind is Standardise else ("minimum", "maximum"):
        np.testing.assert_allclose(getattr(streamed, name), getattr(whole, name), rtol=1e-13)
    if kind is Standardise:
        np.testing.assert_allclose(whole.deviation, values.std(0, ddof=1), rtol=1e-12)


def test_columns_become_mean_0_deviation_1():
    features = iris()["features"]
    scaled = Standardise.fit(features).transform(features)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-14)
    np.testing.assert_allclose(scaled.std(0, ddof=1), 1, rtol=1e-14)
    ranged = MinMax.fit(features, -1, 1).transform(features)
    np.testing.assert_allclose([ranged.min(0), ranged.max(0)], [[-1] * 4, [1] * 4])


def test_images_per_channel_and_all():
    images = np.random.default_rng(1).integers(0, 256, (20, 3, 4, 5), dtype=np.uint8)
    channel = Standardise.fit(images, per="channel")
    assert channel.mean.shape == (3, 1, 1)
    scaled = channel.transform(images)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(channel.inverse(scaled), images, atol=1e-4)
    assert channel.transform(images[:, :, :2, :3]).shape == (20, 3, 2, 3)
    whole = MinMax.fit(images, per="all")
    assert whole.minimum.shape == () and float(whole.maximum) == images.max()


@pytest.mark.parametrize("value", [0.1, 1e9 + 0.1, 0.0, -7])
def test_a_constant_column_stays_finite(value):
    values = np.full((5000, 1), value)
    assert (Standardise.fit(values).transform(values) == 0).all()
    assert (MinMax.fit(values, 2, 3).transform(values) == 2).all()
    assert Standardise.fit(values).inverse([[0.0]]) == value


def test_dtypes_and_fixed_statistics():
    fitted = Standardise.fit([[1.0], [3.0]])
    assert fitted.transform(np.array([[1]], np.float32)).dtype == np.float32
    assert fitted.transform(np.array([[1]], np.float64)).dtype == np.float64
    assert fitted.inverse(np.array([[0]], np.int8)).dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        fitted.mean[0] = 0
    assert fitted != MinMax.fit([[1.0], [3.0]]) and fitted != Standardise.fit([[1.0], [4.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Standardise.fit([[1.0]]), r"at least 2 examples \(n - 1\), got 1"),
        (lambda: Standardise.fit(iter([])), "at least 2 examples"),
        (lambda: MinMax.fit(np.zeros((0, 2))), "at least 1 example, got 0"),
        (lambda: MinMax.fit([1.0], 1, 1), "low must be below high, got 1 and 1"),
        (lambda: MinMax.fit([1.0, np.nan]), "row 1 holds NaN or infinity; see check_finite"),
        (
            lambda: MinMax.fit(iter([np.zeros(3), np.array([0, np.inf])])),
            "row 4 holds NaN or infinity",
        ),
        (lambda: MinMax.fit(["a"]), "needs real numbers, got <U1"),
        (lambda: MinMax.fit([1.0], per="chanel"), "Did you mean 'channel'"),
        (lambda: MinMax.fit([1.0], per="channel"), "have no channel axis"),
        (
            lambda: MinMax.fit([[1.0, 2.0]]).transform([[1.0]]),
            r"fitted to examples of shape \[2\].*given an array of shape \[1, 1\]",
        ),
        (lambda: scaling_from_data({"type": "minmax"}), "Did you mean 'min-max'"),
    ],
)
def test_errors(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_from_data_reports_all_problems():
    data = {"type": "min-max", "minimum": [1, "a"], "maximun": [2], "low": [0], "high": None}
    with pytest.raises(DataError) as caught:
        scaling_from_data(data)
    for part in (
        "unknown entry 'maximun'; known: minimum, maximum, low, high. Did you mean 'maximum'?",
        "entry 'maximum' is missing",
        "entry 'minimum' holds no numbers: [1, 'a']",
        "entry 'low' must be one number",
        "entry 'high' holds NaN or infinity",
    ):
        assert part in str(caught.value)
    with pytest.raises(DataError, match="entries mean and deviation have different shapes"):
        scaling_from_data({"type": "standardise", "mean": [1], "deviation": [1, 2]})
    with pytest.raises(DataError, match="type is 'min-max'"):
        Standardise.from_data(MinMax.fit([1.0, 2.0]).to_data())
