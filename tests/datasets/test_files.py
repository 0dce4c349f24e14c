"""Data sets in .npz and .npy files, mapped or read; hostile headers."""

import io
import zipfile

import numpy as np
import pytest

from cortex.datasets import DataError, MissingFileError, from_npy, from_npz

IMAGE = np.arange(60, dtype=np.uint8).reshape(5, 1, 3, 4)
COLUMNS = {
    "image": IMAGE,
    "fortran": np.asfortranarray(np.arange(10.0).reshape(5, 2)),
    "big": np.arange(5, dtype=">i4"),
    "empty": np.zeros((5, 0), np.float32),
}


def npy(header: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode() + b"\n"
    width = 2 if version[0] == 1 else 4
    return b"\x93NUMPY" + version + len(text).to_bytes(width, "little") + text + body


def described(dtype="|u1", shape="(3,)", order="False") -> str:
    return f"{{'descr': {dtype!r}, 'fortran_order': {order}, 'shape': {shape}, }}"


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save, mmap):
    save(tmp_path / "a.npz", **COLUMNS)
    data = from_npz(tmp_path / "a.npz", mmap=mmap)
    assert list(data.columns) == list(COLUMNS)
    for name, expected in COLUMNS.items():
        np.testing.assert_array_equal(data[name], expected)
        assert data[name].dtype == expected.dtype.newbyteorder("=")
    for batch in data.take([4, 0]).batches(2):
        np.testing.assert_array_equal(batch["image"], IMAGE[[4, 0]])
        assert batch["fortran"].flags.writeable and batch["fortran"].flags.aligned
    assert data["fortran"].flags.aligned and not data["fortran"].flags.writeable


@pytest.mark.parametrize("mmap", [False, True])
def test_npy(tmp_path, mmap):
    for name, values in COLUMNS.items():
        np.save(tmp_path / f"{name}.npy", values)
    data = from_npy({name: tmp_path / f"{name}.npy" for name in COLUMNS}, mmap=mmap)
    for name, expected in COLUMNS.items():
        np.testing.assert_array_equal(data.read([3, 1])[name], expected[[3, 1]])


def test_a_mapped_file_is_not_read(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((100, 4)))
    np.savez(tmp_path / "x.npz", x=np.zeros((100, 4)))
    mapped, archived = from_npy(x=tmp_path / "x.npy", mmap=True), from_npz(tmp_path / "x.npz", True)
    assert not mapped["x"].flags.owndata
    for path, data in ((tmp_path / "x.npy", mapped), (tmp_path / "x.npz", archived)):
        raw = bytearray(path.read_bytes())
        start = raw.index(b"\n") + 1
        raw[start : start + 8] = np.float64(7).tobytes()
        with path.open("r+b") as file:
            file.write(raw)
        assert data.read([0])["x"][0, 0] == 7


def test_all_problems_of_an_npz(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
        archive.writestr("objects.npy", npy(described("|O")))
        archive.writestr("short.npy", npy(described(shape="(1000000000,)"), b"abc"))
        archive.writestr("negative.npy", npy(described(shape="(-3,)"), b"abc"))
        archive.writestr("code.npy", npy("__import__('os').getcwd()"))
        archive.writestr("new.npy", npy(described(), b"abc", b"\x03\x00"))
        archive.writestr("good.npy", npy(described(), b"abc"))
        archive.writestr("bz2.npy", npy(described(), b"abc"), zipfile.ZIP_BZIP2)
    with pytest.raises(DataError) as caught:
        from_npz(path)
    for part in (
        "a.npz: 7 problems",
        "member 'notes.txt' is no .npy",
        "member 'objects.npy' holds Python objects, which are never unpickled",
        "'short.npy' has a header that promises uint8 [1000000000], 1,000,000,000 bytes, but holds",
        "member 'negative.npy' has an impossible header: uint8 [-3]",
        "member 'code.npy' is no .npy: ",
        "member 'new.npy' has .npy version (3, 0)",
        "member 'bz2.npy' is compressed by method 12; known: stored, deflated",
    ):
        assert part in str(caught.value), part


def test_a_member_that_occurs_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", npy(described(), b"abc"))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("x.npy", npy(described(), b"abc"))
    with pytest.raises(DataError, match="member 'x.npy' occurs twice"):
        from_npz(tmp_path / "a.npz")


def test_damage_in_an_archive_is_seen(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(1000))
    raw = bytearray(path.read_bytes())
    raw[600] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match="member 'x.npy' Bad CRC-32"):
        from_npz(path)
    path.write_bytes(raw[:2000])
    with pytest.raises(DataError, match="a.npz: not an .npz file"):
        from_npz(path)


def test_what_a_file_claims_to_hold_is_bounded_by_its_size(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy(described(shape="(3,)"), b"abc"))
    raw = bytearray(path.read_bytes())
    directory = raw.index(b"PK\x01\x02")
    raw[directory + 24 : directory + 28] = (2**31).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(DataError, match="claims 2,147,483,648 bytes, more than an archive of"):
        from_npz(path)


def test_the_limit_holds_for_all_members_together(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(100), y=np.zeros(100))
    assert len(from_npz(tmp_path / "a.npz", limit=1600)) == 100
    with pytest.raises(DataError, match="'y.npy' needs 800 bytes, more than .* limit of 1,599"):
        from_npz(tmp_path / "a.npz", limit=1599)
    assert len(from_npz(tmp_path / "a.npz", mmap=True, limit=0)) == 100
    np.save(tmp_path / "x.npy", np.zeros(100))
    with pytest.raises(DataError, match="needs 800 bytes, the limit is 799"):
        from_npy(x=tmp_path / "x.npy", limit=799)


def test_wrong_npy_files(tmp_path):
    (tmp_path / "a.npy").write_bytes(npy(described(), b"abcd"))
    (tmp_path / "b.npy").write_bytes(b"hello")
    buffer = io.BytesIO()
    np.save(buffer, np.array([None]), allow_pickle=True)
    (tmp_path / "c.npy").write_bytes(buffer.getvalue())
    (tmp_path / "d.npy").write_bytes(npy(" " * 100_000, version=b"\x02\x00"))
    with pytest.raises(DataError) as caught:
        from_npy({name: tmp_path / f"{name}.npy" for name in "abcd"})
    for part in (
        "a.npy has a header that promises uint8 [3], 3 bytes, but holds 4",
        "b.npy is no .npy",
        "c.npy holds Python objects",
        "d.npy is no .npy: EOF",
    ):
        assert part in str(caught.value), part


def test_missing_and_unequal(tmp_path):
    for read in (from_npz, lambda path: from_npy(x=path)):
        with pytest.raises(MissingFileError, match="nothing: no such file"):
            read(tmp_path / "nothing")
        with pytest.raises(DataError, match="cannot be read: Is a directory"):
            read(tmp_path)
    np.savez(tmp_path / "a.npz", x=np.zeros(3), y=np.zeros(4), z=np.float64(1))
    with pytest.raises(DataError, match=r"(?s)a.npz: .*'z' is a scalar.*'x' 3, 'y' 4"):
        from_npz(tmp_path / "a.npz")
