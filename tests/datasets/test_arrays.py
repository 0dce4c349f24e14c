"""Data sets of arrays, records and maps."""

import numpy as np
import pytest

from cortex.datasets import Arrays, DataError, Maps, as_dataset, from_maps, from_structured


class Reusing:
    """A lazy sequence that gives the same array again and again, each time changed."""

    def __init__(self, count):
        self.count, self.array = count, np.zeros(3, np.float32)

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        if not 0 <= row < self.count:
            raise IndexError(row)
        self.array[:] = row
        return {"x": self.array, "label": row}

    def __iter__(self):
        return (self[row] for row in range(self.count))


def test_integers_bytes_and_strings_stay():
    data = Arrays(
        image=np.arange(12, dtype=np.uint8).reshape(3, 1, 2, 2),
        text=[b"ab", b"c", b"de"],
        name=["x", "yy", "z"],
        flag=[True, False, True],
        small=np.array([1, 2, 3], np.int8),
    )
    for batch in (*data.batches(2), *data.batches(2, seed=1)):
        kinds = {name: str(values.dtype) for name, values in batch.items()}
        assert kinds == {
            "image": "uint8", "text": "|S2", "name": "<U2", "flag": "bool", "small": "int8",
        }  # fmt: skip


def test_batches_are_contiguous_and_of_native_byte_order():
    values = np.arange(24.0).reshape(4, 6)
    data = Arrays({"big": values.astype(">f8"), "fortran": np.asfortranarray(values)})
    for source in (data, data[1:], data.take([3, 0])):
        for batch in source.batches(3):
            for name, array in batch.items():
                assert array.dtype.isnative and array.flags.c_contiguous and array.flags.writeable
                assert source.columns[name].dtype == array.dtype
    np.testing.assert_array_equal(data["big"], values)
    np.testing.assert_array_equal(data.read([2, 1])["fortran"], values[[2, 1]])


def test_all_problems_at_once():
    with pytest.raises(DataError) as caught:
        Arrays(
            {"a": [1, 2], "b": [1, 2, 3], "": [1, 2]}, c=[[1], [1, 2]], d=5, e=[None, 1], a=[3, 4]
        )
    message = str(caught.value)
    for part in (
        "6 problems",
        "column 'a' is given twice",
        "must be a non-empty string, got ''",
        "column 'c' is ragged",
        "column 'd' is a scalar",
        "column 'e' holds Python objects",
        "same number of rows, got 'a' 2, 'b' 3",
    ):
        assert part in message
    with pytest.raises(DataError, match="at least one column is needed"):
        Arrays()


def test_structured():
    records = np.zeros(4, [("x", ">f4", (2, 3)), ("label", "u1")])
    records["x"][:] = np.arange(24).reshape(4, 2, 3)
    data = from_structured(records)
    assert str(data.columns["x"]) == "float32 [2, 3]"
    np.testing.assert_array_equal(data.read([3])["x"], [[[18, 19, 20], [21, 22, 23]]])
    with pytest.raises(DataError, match="needs a vector of records"):
        from_structured(np.zeros(3))


@pytest.mark.parametrize("lazy", [False, True])
def test_a_sequence_that_reuses_its_array(lazy):
    data = from_maps(Reusing(200), lazy=lazy)
    seen = []
    for batch in data.batches(10, seed=4):
        np.testing.assert_array_equal(batch["x"], np.repeat(batch["label"][:, None], 3, axis=1))
        seen += batch["label"].tolist()
    assert sorted(seen) == list(range(200))
    assert data[7]["x"].tolist() == [7, 7, 7]
    assert data.read([-1])["label"].tolist() == [199]
    assert data.read([5, 2], ["label"])["label"].tolist() == [5, 2]


def test_a_generator_of_maps_meets_in_a_common_dtype():
    data = from_maps({"x": value} for value in (1, 2.5, np.float32(3)))
    assert data["x"].tolist() == [1, 2.5, 3] and data["x"].dtype == np.float64


def test_maps_that_differ():
    examples = [{"x": [1, 2], "y": 1}, {"x": [1, 2, 3]}, {"x": "ab", "y": 2}, {"y": 1, "z": 0}]
    with pytest.raises(DataError) as caught:
        from_maps(examples)
    for part in (
        "example 1: 'x' has shape [3], the first [2]",
        "example 1 lacks 'y'",
        "example 2: 'x' has shape [], the first [2]",
        "example 3 has 'z', which the first has not",
        "example 3 lacks 'x'",
    ):
        assert part in str(caught.value)
    with pytest.raises(DataError, match="example 1: 'x' is <U1, the first int64"):
        from_maps([{"x": 1}, {"x": "a"}])
    lazy = from_maps([{"x": 1, "y": 1}, {"x": 2.5}], lazy=True)
    with pytest.raises(DataError, match="(?s)example 1.*'x' is float64, the first int64.*'y' is m"):
        lazy.read([0, 1])
    with pytest.raises(DataError, match="example 1: 'x' has shape"):
        Maps([{"x": 1}, {"x": [2]}]).read([1])


def test_maps_errors():
    for build in (from_maps, Maps):
        with pytest.raises(DataError, match="no examples, so the columns are unknown"):
            build([])
    with pytest.raises(DataError, match="example 1 is a int, not a map"):
        from_maps([{"x": 1}, 2])
    with pytest.raises(DataError, match="example 0: column 'x' holds Python objects"):
        from_maps([{"x": None}])
    with pytest.raises(DataError, match="needs a sequence, got generator"):
        from_maps(({"x": x} for x in range(3)), lazy=True)


def test_as_dataset():
    data = Arrays(x=[1, 2, 3])
    assert as_dataset(data) is data
    records = np.array([(1,), (2,), (3,)], [("x", "i8")])
    for source in ({"x": [1, 2, 3]}, records, [{"x": 1}, {"x": 2}, {"x": 3}]):
        assert as_dataset(source)["x"].tolist() == [1, 2, 3]
    for source in (np.zeros(3), 5, "mnist"):
        with pytest.raises(DataError, match="cannot make a data set of"):
            as_dataset(source)
