"""IDX files: round trips and everything that can be wrong with one."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cortex.datasets import DataError, MissingFileError, decode_idx, read_idx, write_idx

arrays = st.sampled_from(["u1", "i1", "i2", "i4", "f4", "f8"]).flatmap(
    lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


def packed(data: bytes) -> bytes:
    """The same bytes at any time: a gzip header holds the clock, and these become names of tests."""
    return gzip.compress(data, mtime=0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(arrays, st.sampled_from(["a.idx", "a.idx.gz"]))
def test_round_trip(tmp_path, values, name):
    write_idx(tmp_path / name, values)
    back = read_idx(tmp_path / name)
    assert back.dtype == values.dtype and back.dtype.isnative and back.shape == values.shape
    assert back.tobytes() == values.tobytes()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    (tmp_path / name).unlink()


def test_the_bytes_are_those_of_the_format(tmp_path):
    write_idx(tmp_path / "a", np.array([[1, 2], [3, -4]], "<i2"))
    data = (tmp_path / "a").read_bytes()
    assert data.hex(" ") == "00 00 0b 02 00 00 00 02 00 00 00 02 00 01 00 02 00 03 ff fc"
    np.testing.assert_array_equal(decode_idx(data), [[1, 2], [3, -4]])
    write_idx(tmp_path / "b.gz", np.arange(5, dtype=">f8")[::2])
    np.testing.assert_array_equal(read_idx(tmp_path / "b.gz"), [0, 2, 4])
    first = (tmp_path / "b.gz").read_bytes()
    assert first[4:8] == bytes(4)  # no time of writing
    write_idx(tmp_path / "b.gz", np.arange(5, dtype="<f8")[::2])
    assert (tmp_path / "b.gz").read_bytes() == first


GOOD = struct.pack(">BBBB2I", 0, 0, 8, 2, 2, 3) + bytes(range(6))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an IDX file: .* got nothing"),
        (b"\x89PNG....", "not an IDX file: .* got 89 50 4e 47"),
        (b"\0\0\x0a\x01....", "not an IDX file: expected 00 00, a type .08 09 0b 0c 0d 0e."),
        (GOOD[:9], "truncated: the file ends within its header of 2 axes"),
        (GOOD[:-1] + b"", r"uint8 \[2, 3\], 6 bytes of values, the file holds 5"),
        (GOOD + b"x", "trailing bytes: .* 6 bytes of values, the file holds more"),
        (struct.pack(">BBBB2I", 0, 0, 14, 2, 2**31, 2**31), "promises float64 .* can hold"),
        (packed(GOOD)[:-9], "damaged gzip archive"),
        (packed(GOOD)[:20] + b"????" + packed(GOOD)[24:], "damaged gzip archive"),
        (packed(GOOD[:-1]), "truncated"),
        (packed(GOOD + b"x"), "trailing bytes"),
        (packed(struct.pack(">BBBB2I", 0, 0, 8, 2, 2**32 - 1, 2**20)), "can hold"),
    ],
)
def test_wrong_files(tmp_path, data, message):
    path = tmp_path / "wrong.idx"
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"wrong.idx: .*{message}|wrong.idx: {message}"):
        read_idx(path)


def test_nothing_is_allocated_for_an_unchecked_header():
    promised = 800_000_000  # a gzip file of 1 MB could hold it, this one does not
    noise = np.random.default_rng(0).bytes(1_000_000)
    data = packed(struct.pack(">BBBBI", 0, 0, 8, 1, promised) + noise)
    tracemalloc.start()
    with pytest.raises(DataError, match="800,000,000 bytes of values, the file holds 1,000,000"):
        decode_idx(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_missing_and_unwritable(tmp_path):
    with pytest.raises(MissingFileError, match="nothing.idx: no such file"):
        read_idx(tmp_path / "nothing.idx")
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nothing.idx")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_idx(tmp_path)
    with pytest.raises(DataError, match="IDX has no type for int64; convert it to one of uint8"):
        write_idx(tmp_path / "a", np.arange(3))
    with pytest.raises(DataError, match="does not fit into an IDX header"):
        write_idx(tmp_path / "a", np.empty((0, 1 << 33), np.uint8))
    assert list(tmp_path.iterdir()) == []
