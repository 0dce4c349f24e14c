"""Splits: exact partitions, proportions, out-of-fold predictions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.datasets import (
    Arrays,
    DataError,
    fold_rows,
    holdout,
    iris,
    k_fold,
    mnist,
    out_of_fold,
    split,
    split_rows,
)

labels = st.lists(st.integers(0, 4), min_size=1, max_size=120)
shares = st.lists(st.integers(1, 20), min_size=2, max_size=5).map(
    lambda parts: [part / sum(parts) for part in parts]
)


def numbered(count):
    return Arrays(row=np.arange(count), label=np.arange(count) % 3)


@given(labels, shares, st.integers(0, 1000), st.booleans())
def test_split_is_a_partition_in_proportion(classes, fractions, seed, stratified):
    count = len(classes)
    parts = split_rows(count, fractions, seed, classes if stratified else None)
    assert sorted(np.concatenate(parts)) == list(range(count))
    for part, fraction in zip(parts, fractions, strict=True):
        assert (np.diff(part) > 0).all()
        if not stratified:
            assert abs(len(part) - count * fraction) < 1
        for kind in set(classes) if stratified else ():
            members = classes.count(kind)
            found = (np.asarray(classes)[part] == kind).sum()
            assert abs(found - members * fraction) < 1
    if len(parts) == 2:
        assert abs(len(parts[0]) - count * fractions[0]) <= 1
    again = split_rows(count, fractions, seed, classes if stratified else None)
    assert all((one == two).all() for one, two in zip(parts, again, strict=True))


@given(labels.filter(lambda classes: len(classes) > 1), st.data())
def test_folds_are_a_partition_in_proportion(classes, data):
    k = data.draw(st.integers(2, min(10, len(classes))))
    folds = fold_rows(len(classes), k, data.draw(st.integers(0, 99)), classes)
    sizes = np.bincount(folds, minlength=k)
    assert len(sizes) == k and sizes.max() - sizes.min() <= 1
    for kind in set(classes):
        counts = np.bincount(folds[np.asarray(classes) == kind], minlength=k)
        assert counts.max() - counts.min() <= 1


def test_a_share_that_is_whole_is_met_exactly():
    counts = [46, 55, 55, 17, 30]  # 22ths of these, rounded in floating point, once fell short
    classes = np.repeat(range(5), counts)
    for part, share in zip(
        split_rows(203, (1 / 22, 6 / 22, 15 / 22), 0, classes), (1, 6, 15), strict=True
    ):
        found = np.bincount(classes[part], minlength=5)
        assert (np.abs(22 * found - share * np.array(counts)) < 22).all()


def test_exact_sizes():
    training, test = holdout(numbered(100), 0.2, seed=1)
    assert (len(training), len(test)) == (80, 20)
    assert [len(part) for part in split(numbered(100))] == [60, 20, 20]
    assert [len(part) for part in split(numbered(15), (0.8, 0.2))] == [12, 3]
    assert [len(part) for part in split(numbered(10_000), [0.1] * 10)] == [1000] * 10


def test_holdout_of_mnist_keeps_every_class_and_row():
    data = mnist("test")
    training, test = holdout(data, 0.2, seed=3, stratify="label")
    whole, held = np.bincount(data["label"]), np.bincount(test["label"])
    assert abs(held - 0.2 * whole).max() < 1 and abs(len(test) - 2000) <= 1
    np.testing.assert_array_equal(np.bincount(training["label"]) + held, whole)


def test_seeds_differ_and_splits_are_random():
    tests = [holdout(numbered(50), seed=seed)[1]["row"] for seed in range(200)]
    assert len({tuple(rows) for rows in tests}) == 200
    counts = np.bincount(np.concatenate(tests), minlength=50)
    assert abs(counts - 40).max() < 6 * np.sqrt(200 * 0.2 * 0.8)


def test_k_fold():
    tested = []
    for training, test in k_fold(numbered(17), 5, seed=2, stratify="label"):
        assert sorted([*training["row"], *test["row"]]) == list(range(17))
        assert len(test) in (3, 4)
        tested += test["row"].tolist()
    assert sorted(tested) == list(range(17))


def test_out_of_fold_predictions_come_from_models_that_have_not_seen_the_row():
    data = iris()
    rows = Arrays(row=np.arange(150), features=data["features"], label=data["label"])

    def nearest(training, test):
        assert not set(training["row"]) & set(test["row"])
        distances = ((test["features"][:, None] - training["features"]) ** 2).sum(-1)
        return np.stack([test["row"], training["label"][distances.argmin(1)]], axis=1)

    predictions = out_of_fold(rows, nearest, 5, seed=0, stratify="label")
    np.testing.assert_array_equal(predictions[:, 0], np.arange(150))
    assert (predictions[:, 1] == data["label"]).mean() > 0.93


def test_out_of_fold_dtypes_and_errors():
    sizes = iter((1, 2.5))
    values = out_of_fold(numbered(6), lambda training, test: np.full(3, next(sizes)), k=2)
    assert sorted(values) == [1, 1, 1, 2.5, 2.5, 2.5]
    with pytest.raises(DataError, match=r"fold 0 gave .* \[4\], expected \[3\]: one for each of"):
        out_of_fold(numbered(6), lambda training, test: np.zeros(4), k=2)
    widths = iter((1, 2))
    with pytest.raises(DataError, match=r"fold 1 gave .* \[3, 2\], expected \[3, 1\]"):
        out_of_fold(numbered(6), lambda training, test: np.zeros((3, next(widths))), k=2)
    with pytest.raises(DataError, match=r"fold 0 gave .* \[\]"):
        out_of_fold(numbered(6), lambda training, test: 0.0, k=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: holdout(d, 1.0), "fraction must lie between 0 and 1, got 1.0"),
        (lambda d: split(d, (0.5, 0.6)), r"positive and sum to 1, got \(0.5, 0.6\)"),
        (lambda d: split(d, (1.5, -0.5)), "positive and sum to 1"),
        (lambda d: holdout(d[:2], 0.2), r"2 examples in fractions .* leave part 1 empty"),
        (lambda d: holdout(d, stratify="lable"), "Did you mean 'label'"),
        (lambda d: k_fold(d, 1), "k must be at least 2, got 1"),
        (lambda d: k_fold(d, 18), "17 examples cannot make 18 folds"),
        (
            lambda d: split_rows(3, (0.5, 0.5), 0, [1, 2]),
            r"labels must have shape \[3\], got \[2\]",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(DataError, match=message):
        call(numbered(17))
