"""Views: columns and rows changed without a copy; class-balanced sampling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.datasets import (
    Arrays,
    Column,
    DataError,
    balanced,
    concatenate,
    map_batches,
    rename,
    select,
    shuffle,
)


@pytest.fixture
def data():
    return Arrays(x=np.arange(10.0).reshape(5, 2), label=np.array([0, 1, 0, 2, 1], np.uint8))


def test_select_and_rename(data):
    assert list(select(data, "label").columns) == ["label"]
    renamed = rename(data, {"x": "label"}, label="x")
    assert renamed["x"].tolist() == [0, 1, 0, 2, 1]
    assert renamed.take([4])["label"].tolist() == [[8, 9]]
    (batch,) = rename(data, x="image").batches(9, seed=1)
    assert list(batch) == ["image", "label"]
    rows = (batch["image"][:, 0] // 2).astype(int)
    np.testing.assert_array_equal(data.read(rows)["label"], batch["label"])


def test_map_batches(data):
    calls = []

    def scale(batch):
        calls.append(len(batch["x"]))
        batch["x"] /= 2
        return {
            "x": batch["x"].astype(np.float32),
            "sum": batch["x"].sum(1),
            "k": [1] * len(batch["x"]),
        }

    mapped = map_batches(data, scale)
    assert {name: str(column) for name, column in mapped.columns.items()} == {
        "x": "float32 [2]", "sum": "float64 []", "k": "int64 []",
    }  # fmt: skip
    assert [batch["sum"].tolist() for batch in mapped.batches(3)] == [[0.5, 2.5, 4.5], [6.5, 8.5]]
    assert calls == [1, 3, 2]
    assert mapped.take([4])["sum"].tolist() == [8.5]
    assert data["x"].tolist() == np.arange(10.0).reshape(5, 2).tolist()
    empty = map_batches(data.take([]), scale, columns=mapped.columns)
    assert len(empty) == 0 and list(empty.batches(2)) == []


def test_map_batches_errors(data):
    with pytest.raises(DataError, match="must return a mapping .*, got NoneType None"):
        map_batches(data, lambda batch: None)
    with pytest.raises(DataError, match=r"'y' came back with shape \[\], expected 1 rows"):
        map_batches(data, lambda batch: {"y": batch["x"].sum()})
    with pytest.raises(DataError, match="empty data set has no row"):
        map_batches(data.take([]), dict)
    changing = map_batches(data, lambda batch: {"x": np.zeros((len(batch["x"]), len(batch["x"])))})
    with pytest.raises(DataError, match=r"'x' is float64 \[3\], expected float64 \[1\]"):
        next(changing.batches(3))
    told = map_batches(data, lambda b: {"x": b["x"]}, {"y": Column((), np.dtype("f4"))})
    with pytest.raises(DataError, match=r"'y' is missing, expected float32 \[\]"):
        told.read([0])


def test_concatenate(data):
    joined = concatenate(data, data[1:3], data.take([]), data.take([4]))
    assert len(joined) == 8
    assert joined["label"].tolist() == [0, 1, 0, 2, 1, 1, 0, 1]
    assert joined.read([-1, 0, 5, 7])["x"].tolist() == [[8, 9], [0, 1], [2, 3], [8, 9]]
    assert sorted(sum((b["label"].tolist() for b in joined.batches(3, seed=1)), [])) == sorted(
        [0, 1, 0, 2, 1, 1, 0, 1]
    )


def test_concatenate_errors(data):
    other = Arrays(x=np.zeros((2, 3)), label=np.zeros(2, np.uint8), z=[1, 2])
    with pytest.raises(DataError) as caught:
        concatenate(data, other)
    assert r"'x' is float64 [2] in data set 1 and float64 [3] in data set 2" in str(caught.value)
    assert r"'z' is missing in data set 1 and int64 [] in data set 2" in str(caught.value)
    with pytest.raises(DataError, match="at least one data set"):
        concatenate()


def test_names_that_do_not_exist(data):
    with pytest.raises(DataError, match="unknown column 'lable'.*Did you mean 'label'"):
        select(data, "x", "lable")
    with pytest.raises(DataError, match="at least one column name"):
        select(data)
    with pytest.raises(DataError, match="(?s)unknown column 'y'.*two columns would be called 'x'"):
        rename(data, y="z", label="x")


def test_shuffle(data):
    order = shuffle(data, 3)["x"][:, 0]
    assert sorted(order) == [0, 2, 4, 6, 8]
    np.testing.assert_array_equal(order, shuffle(data, 3)["x"][:, 0])
    assert len({tuple(shuffle(data, seed)["x"][:, 0]) for seed in range(8)}) > 4


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=40),
    st.integers(1, 30),
    st.one_of(st.none(), st.integers(0, 99)),
)
def test_balanced_is_one_endless_sequence(labels, length, seed):
    source = Arrays(label=labels, row=np.arange(len(labels)))
    long = balanced(source, "label", 4 * length).draw(seed, 0)
    short = balanced(source, "label", length)
    np.testing.assert_array_equal(long, np.concatenate([short.draw(seed, e) for e in range(4)]))
    classes, counts = np.unique(labels, return_counts=True)
    seen = np.asarray(labels)[long]
    for start in range(0, len(seen) - len(classes) + 1, len(classes)):
        assert sorted(seen[start : start + len(classes)]) == classes.tolist()
    for kind, count in zip(classes, counts, strict=True):
        visits = long[seen == kind]
        for start in range(0, len(visits), count):
            piece = visits[start : start + count]
            assert len(set(piece)) == len(piece)


def test_balanced_batches():
    labels = np.repeat([0, 1, 2], [90, 9, 1])
    data = balanced(Arrays(label=labels, row=np.arange(100)), epoch_length=31)
    batches = list(data.batches(10, seed=5, epoch=3))
    assert [len(batch["row"]) for batch in batches] == [10, 10, 10, 1]
    counts = np.bincount(np.concatenate([batch["label"] for batch in batches]))
    assert counts.max() - counts.min() <= 2 and len(data) == 31
    again = np.concatenate([batch["row"] for batch in data.batches(31, seed=5, epoch=3)])
    np.testing.assert_array_equal(again, np.concatenate([batch["row"] for batch in batches]))
    other = np.concatenate([batch["row"] for batch in data.batches(31, seed=5, epoch=4)])
    assert (again != other).any()
    renamed = np.concatenate([b["r"] for b in rename(data, row="r").batches(10, 5, 3)])
    np.testing.assert_array_equal(renamed, again)
    assert data[:3]["label"].tolist() == [0, 1, 2]


def test_balanced_draws_each_class_anew_in_every_cycle():
    data = balanced(Arrays(label=np.repeat([0, 1], 20)), epoch_length=40)
    drawn = [data.draw(seed, epoch) for seed in (1, 2) for epoch in (0, 1)]
    for kind in (0, 1):
        cycles = {tuple(rows[(rows >= 20) == kind]) for rows in drawn}
        assert len(cycles) == 4 and all(len(set(cycle)) == 20 for cycle in cycles)
    assert len({tuple(rows >= 20) for rows in drawn}) == 4


def test_balanced_errors():
    with pytest.raises(DataError, match="the data set is empty"):
        balanced(Arrays(label=np.zeros(0, int)))
    with pytest.raises(DataError, match=r"'x' holds no class labels: .* got float64 \[2\]"):
        balanced(Arrays(x=np.zeros((3, 2))), by="x")
    with pytest.raises(DataError, match="epoch_length must be at least 1"):
        balanced(Arrays(label=[1]), epoch_length=0)
