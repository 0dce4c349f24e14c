"""Metrics against scikit-learn and SciPy: random cases, ties, missing classes; accumulators; messages."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex import metrics as M
from cortex.compute.errors import DescriptionError, ShapeError

sklearn_metrics = pytest.importorskip("sklearn.metrics")
scipy_stats = pytest.importorskip("scipy.stats")

CASES = range(20)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """scikit-learn warns where a metric is not defined; the values are what is compared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def labels(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of 2 to 5 classes, few examples, so that classes are often missing on a side."""
    rng = np.random.default_rng(seed)
    k, n = rng.integers(2, 6), rng.integers(1, 25)
    return rng.integers(0, k, n), rng.integers(0, k, n)


def scores(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Both classes, and scores with many ties on every other seed."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 30))
    target = rng.permutation(np.append(rng.integers(0, 2, n - 2), [0, 1]))
    given = rng.normal(size=n) + target
    return target, np.round(given) if seed % 2 else given


@pytest.mark.parametrize("seed", CASES)
def test_decisions(seed: int) -> None:
    t, p = labels(seed)
    assert M.accuracy(t, p) == pytest.approx(sklearn_metrics.accuracy_score(t, p))
    np.testing.assert_array_equal(M.confusion_matrix(t, p), sklearn_metrics.confusion_matrix(t, p))
    kappa = sklearn_metrics.cohen_kappa_score(t, p)
    np.testing.assert_allclose(M.cohen_kappa(t, p), kappa, rtol=1e-12, atol=1e-12)
    matthews = sklearn_metrics.matthews_corrcoef(t, p)
    np.testing.assert_allclose(M.matthews(t, p), matthews, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", CASES)
@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
@pytest.mark.parametrize("chosen", [None, [1, 0], [3, 1, 7]])
def test_precision_recall_f1(seed: int, average: Any, chosen: Any) -> None:
    t, p = labels(seed)
    for ours, theirs in (
        (M.precision, sklearn_metrics.precision_score),
        (M.recall, sklearn_metrics.recall_score),
        (M.f1, sklearn_metrics.f1_score),
    ):
        if chosen is not None and not set(chosen) & set(t.tolist()):
            continue  # scikit-learn refuses labels of which none is a target
        expected = theirs(t, p, average=average, labels=chosen, zero_division=0)
        found = ours(t, p, average=average, labels=chosen)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("seed", CASES)
def test_binary_precision_recall_f1(seed: int) -> None:
    rng = np.random.default_rng(seed)
    t, p = rng.integers(0, 2, (2, rng.integers(1, 9)))
    for positive in (0, 1):
        if not np.isin(positive, np.concatenate([t, p])):
            continue
        for ours, theirs in (
            (M.precision, sklearn_metrics.precision_score),
            (M.recall, sklearn_metrics.recall_score),
            (M.f1, sklearn_metrics.f1_score),
        ):
            expected = theirs(t, p, pos_label=positive, zero_division=0)
            assert ours(t, p, positive=positive) == pytest.approx(expected)


def test_labels_of_any_kind() -> None:
    t, p = np.array(["cat", "dog", "cat", "cow"]), np.array(["cat", "cat", "cat", "dog"])
    assert M.accuracy(t, p) == 0.5
    expected = sklearn_metrics.confusion_matrix(t, p, labels=["dog", "cat"])
    np.testing.assert_array_equal(M.confusion_matrix(t, p, ["dog", "cat"]), expected)
    assert M.recall(t[:3], p[:3], positive="cat") == 1.0
    boolean = np.array([True, False, True])
    assert M.precision(boolean, ~boolean) == 0.0


def test_scores_count_as_the_class_of_the_largest() -> None:
    rows = np.array([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]])
    assert M.accuracy([1, 0, 0], rows) == 1.0
    assert M.accuracy(np.eye(2)[[1, 0, 1]], rows) == pytest.approx(2 / 3)
    assert M.accuracy([[1], [0], [0]], rows) == 1.0


@pytest.mark.parametrize("seed", CASES)
def test_top_k(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(3, 7))
    t, s = rng.integers(0, k, 12), rng.standard_normal((12, k))
    if seed % 2:
        s = np.round(s)
    for top in range(1, k + 1):
        expected = sklearn_metrics.top_k_accuracy_score(t, s, k=top, labels=range(k))
        assert M.top_k_accuracy(t, s, top) == pytest.approx(expected)


@pytest.mark.parametrize("seed", CASES)
def test_ranking(seed: int) -> None:
    t, s = scores(seed)
    expected = sklearn_metrics.roc_curve(t, s, drop_intermediate=False)
    for ours, theirs in zip(M.roc_curve(t, s), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)
    assert M.auroc(t, s) == pytest.approx(sklearn_metrics.roc_auc_score(t, s))
    found = M.average_precision(t, s)
    assert found == pytest.approx(sklearn_metrics.average_precision_score(t, s))
    assert M.auroc(t, -s, positive=0) == pytest.approx(M.auroc(t, s))


@pytest.mark.parametrize("seed", CASES)
def test_auroc_is_how_often_a_positive_scores_higher(seed: int) -> None:
    t, s = scores(seed)
    above = s[t == 1][:, None] - s[t == 0]
    assert M.auroc(t, s) == pytest.approx(np.mean(above > 0) + np.mean(above == 0) / 2)


@pytest.mark.parametrize("seed", CASES)
def test_ranking_of_classes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    t = rng.permutation(np.append(rng.integers(0, 4, 12), range(4)))
    s = rng.dirichlet(np.ones(4), len(t))
    expected = sklearn_metrics.roc_auc_score(t, s, multi_class="ovr")
    assert M.auroc(t, s) == pytest.approx(expected)
    expected = sklearn_metrics.average_precision_score(np.eye(4)[t], s)
    assert M.average_precision(t, s) == pytest.approx(expected)


@pytest.mark.parametrize("seed", CASES)
def test_equal_error_rate(seed: int) -> None:
    """At the rate found, fpr and 1 - tpr agree on the interpolated curve."""
    t, s = scores(seed)
    rate = M.equal_error_rate(t, s)
    fpr, tpr, _ = M.roc_curve(t, s)
    grid = np.linspace(0, 1, 20001)
    gap = np.interp(grid, np.arange(len(fpr)) / (len(fpr) - 1), fpr + tpr - 1)
    crossing = np.interp(0.0, gap, grid)
    at = np.interp(crossing, np.arange(len(fpr)) / (len(fpr) - 1), fpr)
    assert rate == pytest.approx(at, abs=1e-3)
    assert 0 <= rate <= 1


def test_equal_error_rate_of_known_cases() -> None:
    assert M.equal_error_rate([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]) == 0
    assert M.equal_error_rate([0, 0, 1, 1], [0.8, 0.9, 0.1, 0.2]) == 1
    assert M.equal_error_rate([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]) == 0.5
    assert M.equal_error_rate([0, 0, 1, 1], [0.1, 0.8, 0.2, 0.9]) == 0.5


@pytest.mark.parametrize("seed", CASES)
def test_log_loss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    t, p = rng.integers(0, 3, 9), rng.dirichlet(np.ones(3), 9)
    if seed % 4 == 0:
        p[0] = [0, 1, 0]
    assert M.log_loss(t, p) == pytest.approx(sklearn_metrics.log_loss(t, p, labels=[0, 1, 2]))
    t, one = rng.integers(0, 2, 9), rng.uniform(size=9)
    assert M.log_loss(t, one) == pytest.approx(sklearn_metrics.log_loss(t, one, labels=[0, 1]))


@pytest.mark.parametrize("seed", CASES)
def test_regression(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(2, 15)), *([3] if seed % 2 else []))
    t, p = rng.standard_normal(shape), rng.standard_normal(shape)
    if seed % 4 == 1:
        t[:, 0] = 2.0  # a constant target
    assert M.mse(t, p) == pytest.approx(sklearn_metrics.mean_squared_error(t, p))
    assert M.rmse(t, p) == pytest.approx(math.sqrt(M.mse(t, p)))
    assert M.mae(t, p) == pytest.approx(sklearn_metrics.mean_absolute_error(t, p))
    assert M.r2(t, p) == pytest.approx(sklearn_metrics.r2_score(t, p))


def test_r2_of_a_constant_target() -> None:
    for p in ([2.0, 2.0], [2.0, 3.0]):
        assert M.r2([2.0, 2.0], p) == sklearn_metrics.r2_score([2.0, 2.0], p)


@pytest.mark.parametrize("seed", CASES)
def test_correlation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    t, p = rng.standard_normal((2, int(rng.integers(3, 15))))
    if seed % 2:
        t, p = np.round(t), np.round(p)  # ties
    expected = scipy_stats.pearsonr(t, p).statistic
    np.testing.assert_allclose(M.pearson(t, p), expected, rtol=1e-10, atol=1e-12)
    expected = scipy_stats.spearmanr(t, p).statistic
    np.testing.assert_allclose(M.spearman(t, p), expected, rtol=1e-10, atol=1e-12)


def test_a_constant_has_no_correlation() -> None:
    assert math.isnan(M.pearson([1.0, 2.0], [0.1, 0.1]))
    assert math.isnan(M.spearman([1.0, 1.0], [1.0, 2.0]))


def test_one_class_on_both_sides() -> None:
    assert math.isnan(M.cohen_kappa([1, 1], [1, 1]))
    assert M.matthews([1, 1], [1, 1]) == 0


# Accumulators


def batches(array: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return [b for b in np.split(array, sorted(cuts)) if len(b)]


@given(st.integers(1, 30), st.lists(st.integers(0, 30), max_size=4), st.integers(0, 999))
def test_accumulators_equal_the_whole(n: int, cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    t, p = rng.integers(0, 4, n), rng.integers(0, 4, n)
    accuracy, matrix, mean = M.Accuracy(), M.ConfusionMatrix(4), M.Mean()
    for bt, bp in zip(batches(t, cuts), batches(p, cuts), strict=True):
        accuracy.update(bt, bp)
        matrix.update(bt, bp)
        mean.update(np.mean(bt == bp), len(bt))
    assert accuracy.value == M.accuracy(t, p) == pytest.approx(matrix.accuracy())
    assert mean.value == pytest.approx(accuracy.value)
    np.testing.assert_array_equal(matrix.value, M.confusion_matrix(t, p, range(4)))
    present = len(set(t) | set(p))
    for name in ("precision", "recall", "f1"):
        whole = getattr(M, name)(t, p, average="macro") * present / 4
        assert getattr(matrix, name)() == pytest.approx(whole)
    np.testing.assert_allclose(matrix.cohen_kappa(), M.cohen_kappa(t, p))
    np.testing.assert_allclose(matrix.matthews(), M.matthews(t, p), atol=1e-12)


def test_accumulators_add_up() -> None:
    t, p = labels(4)
    assert len(t) > 3
    k = int(max(t.max(), p.max())) + 1
    for make in (M.Accuracy, lambda: M.ConfusionMatrix(k)):
        whole, first, second = make(), make(), make()
        whole.update(t, p)
        first.update(t[:3], p[:3])
        second.update(t[3:], p[3:])
        np.testing.assert_array_equal((first + second).value, whole.value)
    first, second = M.Mean(), M.Mean()
    first.update([1.0, 2.0], [3.0, 1.0])
    second.update(4.0)
    assert (first + second).value == pytest.approx((3 + 2 + 4) / 5)


def test_accumulators_before_the_first_batch() -> None:
    assert math.isnan(M.Mean().value) and math.isnan(M.Accuracy().value)
    assert math.isnan(M.ConfusionMatrix(3).accuracy())
    assert math.isnan(M.ConfusionMatrix(3).cohen_kappa())


def test_two_matrices_do_not_share_their_counts() -> None:
    first, second = M.ConfusionMatrix(2), M.ConfusionMatrix(2)
    first.update([0], [1])
    assert not second.value.any()


# Names and messages


def test_by_name() -> None:
    assert M.by_name("auroc") is M.auroc
    with pytest.raises(DescriptionError, match="no metric is named 'acuracy'; did you mean 'acc"):
        M.by_name("acuracy")


@pytest.mark.parametrize("metric", [M.roc_curve, M.auroc, M.average_precision, M.equal_error_rate])
def test_one_class_only(metric: Any) -> None:
    with pytest.raises(DescriptionError, match="expected the positive class 1 and another, given"):
        metric([1, 1, 1], [0.1, 0.2, 0.3])
    with pytest.raises(DescriptionError, match="given only 0"):
        metric([0, 0], [0.1, 0.2])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: M.accuracy([1, 2], [1]), ShapeError, r"given shapes \(2,\) and \(1,\)"),
        (lambda: M.accuracy([], []), DescriptionError, "at least one example, given none"),
        (lambda: M.accuracy(np.zeros((2, 2, 2)), [0, 1]), ShapeError, r"labels \[N\] or scores"),
        (
            lambda: M.top_k_accuracy([0], [[1, 2]], 3),
            DescriptionError,
            r"expected k in 1..2, given 3",
        ),
        (lambda: M.top_k_accuracy([0], [1], 1), ShapeError, "a target of 1 and a prediction of 2"),
        (
            lambda: M.precision([0, 1, 2], [0, 1, 1]),
            DescriptionError,
            "there are 3 classes: choose",
        ),
        (
            lambda: M.f1([0, 1], [0, 1], average="macor"),  # type: ignore[arg-type]
            DescriptionError,
            "given 'macor'; did you mean 'macro'",
        ),
        (lambda: M.confusion_matrix([0], [0], [1, 1]), DescriptionError, "different classes"),
        (lambda: M.mse([1.0, 2.0], [[1.0], [2.0]]), ShapeError, "must have one shape"),
        (
            lambda: M.mse([1.0], [float("nan")]),
            DescriptionError,
            "prediction holds numbers that are",
        ),
        (lambda: M.r2([1.0], [1.0]), DescriptionError, "at least two examples, given one"),
        (lambda: M.pearson([1.0], [1.0]), DescriptionError, "at least two examples, given one"),
        (lambda: M.log_loss([0], [1.5]), DescriptionError, r"probabilities in \[0, 1\], given 1.5"),
        (lambda: M.log_loss([3], [[0.5, 0.5]]), DescriptionError, "expected targets 0..1, given 3"),
        (lambda: M.log_loss([[1]], [0.5]), ShapeError, r"expected targets \[N\] and probabilities"),
        (lambda: M.auroc([0, 2], [[1, 0], [0, 1]]), DescriptionError, "expected targets 0..1"),
        (lambda: M.ConfusionMatrix(0), ShapeError, "a number of classes >= 1, given 0"),
        (
            lambda: M.ConfusionMatrix(2).update([2], [0]),
            DescriptionError,
            "the target holds 2 .. 2",
        ),
        (lambda: M.ConfusionMatrix(2) + M.ConfusionMatrix(3), ShapeError, "cannot add 2 and 3"),
        (
            lambda: M.Mean().update([1, 2], [1, 2, 3]),
            ShapeError,
            r"weights \(3,\) do not broadcast",
        ),
    ],
)
def test_messages(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_package_does_not_import_scikit_learn() -> None:
    code = "import cortex.metrics, sys; print('sklearn' in sys.modules or 'scipy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
