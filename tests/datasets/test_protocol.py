"""Length, batches, orders, subsets: what every data set shares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.datasets import Arrays, Column, DataError, Dataset, Table, order


def numbered(count: int) -> Arrays:
    return Arrays(number=np.arange(count), square=np.arange(count, dtype=np.float32)[:, None] ** 2)


def numbers(dataset: Dataset, *arguments, **options) -> list[list[int]]:
    return [batch["number"].tolist() for batch in dataset.batches(*arguments, **options)]


class Squares(Table):
    """A data set of one's own: the three members that have no default."""

    columns = {"number": Column((), np.dtype(np.int64))}

    def __len__(self) -> int:
        return 17

    def read(self, rows, columns=None):
        return {"number": np.asarray(rows) ** 2}


def test_seventeen_in_fives():
    assert [len(batch) for batch in numbers(numbered(17), 5)] == [5, 5, 5, 2]
    assert [len(batch) for batch in numbers(numbered(17), 5, drop_last=True)] == [5, 5, 5]
    assert sum(numbers(numbered(17), 5), []) == list(range(17))
    assert numbers(numbered(3), 5) == [[0, 1, 2]]
    assert numbers(numbered(3), 5, drop_last=True) == []
    assert numbers(numbered(0), 5) == []


@given(st.integers(0, 70), st.integers(1, 20), st.integers(0, 2**70), st.integers(0, 1000))
def test_every_row_once_per_epoch(count, size, seed, epoch):
    batches = numbers(numbered(count), size, seed, epoch)
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert sorted(sum(batches, [])) == list(range(count))
    assert batches == numbers(numbered(count), size, seed, epoch)
    whole = numbers(numbered(count), size, seed, epoch, drop_last=True)
    assert whole == [batch for batch in batches if len(batch) == size]


def test_the_order_does_not_depend_on_the_batch_size():
    assert sum(numbers(numbered(50), 7, 3, 2), []) == sum(numbers(numbered(50), 50, 3, 2), [])


def test_epochs_and_seeds_differ():
    orders = {
        tuple(sum(numbers(numbered(40), 8, seed, epoch), []))
        for seed in (0, 1, 2**32, 2**64)
        for epoch in (0, 1, 2)
    }
    assert len(orders) == 12


def test_the_order_of_a_seed_is_fixed_for_ever():
    assert order.permutation(8, 1, order.EPOCH, 0).tolist() == [2, 3, 0, 7, 4, 1, 5, 6]
    assert order.permutation(8, 1, order.EPOCH, 1).tolist() == [7, 0, 5, 3, 4, 1, 6, 2]


def test_orders_are_uniform():
    first = [order.permutation(6, 0, order.EPOCH, epoch)[0] for epoch in range(3000)]
    counts = np.bincount(first, minlength=6)
    assert abs(counts - 500).max() < 100  # five standard deviations of 20.4


def test_batches_belong_to_the_caller():
    data = numbered(6)
    for batch in (*data.batches(3), *data.batches(3, seed=1), data.read([0, 1])):
        batch["number"][:] = -1
    assert data["number"].tolist() == list(range(6))
    with pytest.raises(ValueError, match="read-only"):
        data["number"][0] = 1
    with pytest.raises(ValueError, match="read-only"):
        data.take([1, 2])["number"][0] = 1


def test_slices_examples_and_columns():
    data = numbered(10)
    for source in (data, data.take(np.arange(10))):
        assert source[2:5]["number"].tolist() == [2, 3, 4]
        assert source[::-3]["number"].tolist() == [9, 6, 3, 0]
        assert len(source[20:]) == 0
        assert source[-1]["number"] == 9 and source[-1]["square"].shape == (1,)
        assert source["square"].shape == (10, 1)
        assert source.columns == {
            "number": Column((), np.dtype(np.int64)),
            "square": Column((1,), np.dtype(np.float32)),
        }
    assert repr(data) == "<Arrays of 10 examples: number int64 [], square float32 [1]>"


def test_take():
    data = numbered(10)
    assert data.take([3, 3, -1])["number"].tolist() == [3, 3, 9]
    assert data.take(data["number"] % 4 == 1)["number"].tolist() == [1, 5, 9]
    assert data.take([5, 6, 7]).take([2, 0])["number"].tolist() == [7, 5]
    assert len(data.take([])) == 0
    assert data.take([]).read([])["square"].shape == (0, 1)


def test_a_data_set_of_ones_own():
    data = Squares()
    assert isinstance(data, Dataset) and isinstance(data.take([1]), Dataset)
    assert [len(batch) for batch in numbers(data, 5, seed=1)] == [5, 5, 5, 2]
    assert data[3:5]["number"].tolist() == [9, 16]
    assert not isinstance({"number": [1]}, Dataset)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.batches(0), "batch_size must be at least 1, got 0"),
        (lambda d: d.batches(2.5), "batch_size must be a whole number, got 2.5"),
        (lambda d: d.batches(2, seed=-1), "seed must be at least 0, got -1"),
        (lambda d: d.batches(2, epoch=-1), "epoch must be at least 0, got -1"),
        (lambda d: d["numbre"], "unknown column 'numbre'; .*Did you mean 'number'?"),
        (lambda d: d.take([[1]]), r"row numbers must be a vector, got shape \[1, 1\]"),
        (lambda d: d.take([1.5]), "whole numbers or a mask, got float64"),
        (lambda d: d.take([True]), "a mask needs one entry per row, 10; got 1"),
    ],
)
def test_errors_come_at_the_call(call, message):
    with pytest.raises(DataError, match=message):
        call(numbered(10))


@pytest.mark.parametrize("row", [10, -11])
def test_a_row_that_does_not_exist(row):
    with pytest.raises(IndexError, match=f"row {row} does not exist: the data set has 10 rows"):
        numbered(10).take([0, row])
