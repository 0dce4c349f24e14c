"""Numbers in CSV files."""

import gzip

import numpy as np
import pytest

from cortex.datasets import DataError, MissingFileError, from_csv


def packed(data: bytes) -> bytes:
    """The same bytes at any time: a gzip header holds the clock, and these become names of tests."""
    return gzip.compress(data, mtime=0)


def read(tmp_path, text, *arguments, **options):
    path = tmp_path / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return from_csv(path, *arguments, **options)


def test_each_field_is_a_column(tmp_path):
    data = read(tmp_path, 'a, b ,"c,d"\n1,2,3e-1\n\n-4,5.5,"6"\n')
    assert {name: data[name].tolist() for name in data.columns} == {
        "a": [1, -4], "b": [2, 5.5], "c,d": [0.3, 6],
    }  # fmt: skip
    assert [str(column.dtype) for column in data.columns.values()] == [
        "int64",
        "float64",
        "float64",
    ]


def test_groups(tmp_path):
    data = read(tmp_path, "a,b,c\n1,2,3\n4,5,6\n", {"features": ["c", "a"], "label": "b"})
    assert data["features"].tolist() == [[3, 1], [6, 4]] and data["label"].tolist() == [2, 5]
    mixed = read(tmp_path, "a,b\n1,2.5\n", {"x": ["a", "b"], "y": ["a"]})
    assert mixed["x"].dtype == np.float64 and mixed["y"].tolist() == [[1]]


def test_forms_of_files(tmp_path):
    expected = [[1, 2], [3, 4]]
    groups = {"x": ["0", "1"]}
    for text, options in (
        ("1,2\n3,4", {}),
        ("\ufeff1,2\r\n3,4\r\n", {}),
        ("about\nthis\n1;2\n3;4\n", {"skip": 2, "delimiter": ";"}),
        (packed(b"1,2\n3,4\n"), {}),
    ):
        data = read(tmp_path, text, groups, header=False, **options)
        assert data["x"].tolist() == expected


def test_missing_and_special_numbers(tmp_path):
    data = read(tmp_path, "a,b\n1,\n NA,3\nnan,inf\n", missing=("", "NA"))
    np.testing.assert_array_equal(data["a"], [1, np.nan, np.nan])
    np.testing.assert_array_equal(data["b"], [np.nan, 3, np.inf])
    large = read(tmp_path, "a\n9223372036854775807\n9223372036854775808\n")["a"]
    assert large.dtype == np.float64
    assert read(tmp_path, "a\n-9223372036854775808\n")["a"].tolist() == [-(2**63)]


def test_every_entry_that_is_no_number_is_named(tmp_path):
    with pytest.raises(DataError) as caught:
        read(tmp_path, "a,b\n1,x\n\n1_000,2\n3,\n")
    for part in (
        "a.csv: 3 problems",
        "line 2, field 'b': not a number: 'x'",
        "line 4, field 'a': not a number: '1_000'",
        "line 5, field 'b': not a number: empty (see missing=)",
    ):
        assert part in str(caught.value)
    with pytest.raises(DataError, match="(?s)30 problems.*10. line 11.*and 20 more"):
        read(tmp_path, "a\n" + "x\n" * 30)


def test_every_problem_of_the_form_is_named(tmp_path):
    with pytest.raises(DataError) as caught:
        read(tmp_path, "a,b,a\n1,2,3\n1,2\n", {"x": ["bb"], "y": []})
    for part in (
        "line 3 has 2 fields, expected 3",
        "field 'a' occurs twice",
        "unknown field 'bb'; known: a, b, a. Did you mean 'b'?",
        "column 'y' groups no fields",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no lines of numbers"),
        ("a,b\n", "no lines of numbers"),
        ("1,2\n3,4\n", "the header line holds only numbers; if there is none, give header=False"),
        (b"a\n\xff\n", "not UTF-8 text"),
        (packed(b"a\n1\n")[:-5], "damaged gzip archive"),
        ("a\n" + "1" * 200_000 + "\n", "line 2: field larger than field limit"),
    ],
)
def test_errors(tmp_path, text, message):
    with pytest.raises(DataError, match=f"a.csv: {message}"):
        read(tmp_path, text)


def test_a_missing_file(tmp_path):
    with pytest.raises(MissingFileError, match="no such file"):
        from_csv(tmp_path / "a.csv")
