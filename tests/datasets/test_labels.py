"""One-hot encoding and class weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cortex.datasets import (
    Arrays,
    DataError,
    class_labels,
    class_weights,
    from_one_hot,
    inverse_class_counts,
    one_hot,
)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=0, max_dims=3), elements=st.integers(0, 6)))
def test_one_hot_round_trip(labels):
    encoded = one_hot(labels, 7)
    assert encoded.shape == (*labels.shape, 7) and encoded.dtype == np.float32
    assert (encoded.sum(-1) == 1).all()
    np.testing.assert_array_equal(from_one_hot(encoded), labels)


def test_one_hot():
    assert one_hot([2, 0], dtype=np.uint8).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert one_hot([]).shape == (0, 0)
    assert one_hot([True, False]).tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: one_hot([0, 3], 3), r"label 3 at position 1 lies outside 0 .. 2 \(3 classes\)"),
        (lambda: one_hot([0, -1]), "label -1 at position 1"),
        (lambda: one_hot([0.5]), "whole numbers, got float64"),
        (lambda: from_one_hot([[0, 1], [0.5, 0.5]]), r"vector 1 is not one-hot: \[0.5, 0.5\]"),
        (lambda: from_one_hot([[1, 1]]), "vector 0 is not one-hot"),
        (lambda: from_one_hot([[1, np.nan]]), "vector 0 is not one-hot"),
        (lambda: from_one_hot(1), r"needs vectors \[..., classes\], got \[\]"),
        (lambda: class_weights([1.5]), "class_weights needs labels that are whole numbers"),
        (lambda: inverse_class_counts([[1]]), r"needs labels \[n\], got \[1, 1\]"),
        (lambda: class_labels(Arrays(y=[0.5]), "y"), r"holds no class labels.*float64 \[\]"),
    ],
)
def test_errors(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_inverse_class_counts_of_the_original():
    assert inverse_class_counts([0, 2, 0, 3]).tolist() == [1 / 2, 1, 1 / 2, 1]
    assert inverse_class_counts(["a", "b", "a"]).tolist() == [1 / 2, 1, 1 / 2]
    assert inverse_class_counts([]).tolist() == []


def test_class_weights_agree_with_scikit_learn():
    utils = pytest.importorskip("sklearn.utils.class_weight")
    labels = np.array([0, 1, 1, 2, 2, 2, 0, 2])
    expected = utils.compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(class_weights(labels), expected, rtol=1e-15)
    np.testing.assert_allclose(class_weights(labels)[labels].mean(), 1, rtol=1e-15)
    assert class_weights([0, 2, 2], 4).tolist() == [1.5, 0, 0.75, 0]


def test_class_labels_may_stand_in_a_column_of_one():
    data = Arrays(y=np.array([[1], [0]]), name=["a", "b"])
    assert class_labels(data, "y").tolist() == [1, 0]
    assert class_labels(data, "name").tolist() == ["a", "b"]
