"""Data sets in NumPy's files: .npz (one member per column) and .npy (one file per column).

Nothing is unpickled, and nothing is allocated that the file's real size does not bear out.
"""

from __future__ import annotations

import io
import math
import mmap as memory_map
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

import numpy as np

from .arrays import Arrays
from .errors import DataError, report
from .protocol import Array
from .raw import EXPANSION, PathLike, open_file, read_past

LIMIT = 16 << 30  # bytes of array data that one file may make us allocate, unless told otherwise
HEADER = 1 << 16  # bytes that the header of a .npy may take


class _Header(NamedTuple):
    """What the header of a .npy says, and how many bytes it takes itself."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    length: int

    @property
    def size(self) -> int:
        """Bytes of values."""
        return math.prod(self.shape) * self.dtype.itemsize


def from_npz(path: PathLike, mmap: bool = False, limit: int = LIMIT) -> Arrays:
    """The data set of an .npz file, one column per member, every checksum verified.

    With `mmap`, members that are stored uncompressed (np.savez) are mapped instead of read: their
    rows come from disk when a batch needs them, unverified. Raises MissingFileError, and DataError
    with all problems: no zip archive, objects, a header that disagrees with the member's size,
    more than `limit` bytes, damaged members, unequal lengths.
    """
    arrays: dict[str, Array] = {}
    problems: list[str] = []
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise DataError(f"{path}: not an .npz file: {error}") from error
        budget = limit
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            try:
                if name == info.filename:
                    raise DataError("is no .npy")
                if name in arrays:
                    raise DataError("occurs twice")
                header = _member_header(archive, info, size)
                mapped = mmap and info.compress_type == zipfile.ZIP_STORED and header.size > 0
                if not mapped and header.size > budget:
                    raise DataError(
                        f"needs {header.size:,} bytes, more than is left of the limit of "
                        f"{limit:,}; raise limit= if the file is trusted"
                    )
                if mapped:
                    arrays[name] = _map(file, _member_start(file, info) + header.length, header)
                else:
                    budget -= header.size
                    with archive.open(info) as member:
                        arrays[name] = _read(member, header)
            except (ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                problems.append(f"member {info.filename!r} {error}")
    if problems:
        raise report(str(path), problems)
    return _as_arrays(str(path), arrays)


def from_npy(
    columns: Mapping[str, PathLike] | None = None,
    /,
    *,
    mmap: bool = False,
    limit: int = LIMIT,
    **named: PathLike,
) -> Arrays:
    """The data set of .npy files, one per column: `from_npy(image="x.npy", label="y.npy")`.

    With `mmap` the files are mapped: rows come from disk when a batch needs them. Raises
    MissingFileError and DataError as `from_npz`.
    """
    arrays: dict[str, Array] = {}
    problems: list[str] = []
    for name, path in (dict(columns or {}) | named).items():
        with open_file(path) as file:
            try:
                header = _header(file)
                size = os.fstat(file.fileno()).st_size
                _check_size(header, size)
                if mmap and header.size:
                    arrays[name] = _map(file, header.length, header)
                elif header.size > limit:
                    raise DataError(f"needs {header.size:,} bytes, the limit is {limit:,}")
                else:
                    file.seek(0)
                    arrays[name] = _read(file, header)
            except (ValueError, EOFError) as error:
                problems.append(f"{path} {error}")
    if problems:
        raise report("from_npy", problems)
    return _as_arrays("from_npy", arrays)


def _header(file: IO[bytes]) -> _Header:
    """The header of a .npy at the file's position; DataError unless it is sound."""
    formats = np.lib.format
    start = io.BytesIO(file.read(HEADER))  # NumPy would read a header of any length it promises
    try:
        version = formats.read_magic(start)
        if version not in ((1, 0), (2, 0)):
            raise DataError(f"has .npy version {version}, known are 1.0 and 2.0")
        reader = formats.read_array_header_1_0 if version[0] == 1 else formats.read_array_header_2_0
        shape, fortran, dtype = reader(start)
    except DataError:
        raise
    except Exception as error:  # the parser of a hostile header fails in many ways
        raise DataError(f"is no .npy: {str(error)[:200]}") from error
    if dtype.hasobject:
        raise DataError("holds Python objects, which are never unpickled")
    if dtype.itemsize == 0 or any(length < 0 for length in shape):
        raise DataError(f"has an impossible header: {dtype} {list(shape)}")
    return _Header(shape, fortran, dtype, start.tell())


def _check_size(header: _Header, size: int) -> None:
    """DataError unless a .npy of `size` bytes holds exactly what its header says."""
    if header.length + header.size != size:
        raise DataError(
            f"has a header that promises {header.dtype} {list(header.shape)}, {header.size:,} "
            f"bytes, but holds {size - header.length:,}"
        )


def _member_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> _Header:
    """The header of a member whose sizes agree with each other and with those of the archive."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"is compressed by method {info.compress_type}; known: stored, deflated")
    most = info.compress_size * (EXPANSION if info.compress_type == zipfile.ZIP_DEFLATED else 1)
    if info.compress_size > size or info.file_size > most:
        raise DataError(
            f"claims {info.file_size:,} bytes, more than an archive of {size:,} bytes can hold"
        )
    with archive.open(info) as member:
        header = _header(member)
    _check_size(header, info.file_size)
    return header


def _member_start(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Where in the archive the bytes of a stored member begin: behind its local header."""
    file.seek(info.header_offset)
    local = file.read(30)
    name_length, extra_length = struct.unpack("<HH", local[26:30])
    return int(info.header_offset + 30 + name_length + extra_length)


def _read(file: IO[bytes], header: _Header) -> Array:
    """The values behind the header of a .npy at the file's position, to the end of the file."""
    file.read(header.length)
    body = read_past(file, header.size)
    _check_size(header, header.length + len(body))
    return _shaped(np.frombuffer(body, header.dtype), header)


def _map(file: IO[bytes], start: int, header: _Header) -> Array:
    """The values at `start`, mapped read-only; the mapping outlives the open file."""
    if start + header.size > os.fstat(file.fileno()).st_size:
        raise DataError("reaches beyond the end of the file")
    mapping = memory_map.mmap(file.fileno(), 0, access=memory_map.ACCESS_READ)
    count = math.prod(header.shape)
    return _shaped(np.frombuffer(mapping, header.dtype, count, start), header)


def _shaped(values: Array, header: _Header) -> Array:
    return values.reshape(header.shape, order="F" if header.fortran else "C")


def _as_arrays(where: str, arrays: dict[str, Array]) -> Arrays:
    try:
        return Arrays(arrays)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
