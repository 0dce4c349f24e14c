"""IDX, the file format of MNIST: a magic number, the axes, then the values, all big-endian.

Byte 0 and 1 are zero, byte 2 is the type, byte 3 the number of axes; one unsigned 32-bit length
per axis follows. Files may be compressed with gzip, which is seen from their first bytes.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from .errors import DataError
from .protocol import Array
from .raw import EXPANSION, GZIP, PathLike, read_bytes, read_past

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
CODES = {np.dtype(name): code for code, name in TYPES.items()}


def read_idx(path: PathLike) -> Array:
    """The array in an IDX file, compressed or not, in native byte order.

    uint8, int8, int16, int32, float32 or float64. Raises MissingFileError without the file, and
    DataError naming it for a wrong magic number, a file that is shorter or longer than its header
    says, or a damaged archive.
    """
    return decode_idx(read_bytes(path), str(path))


def decode_idx(data: bytes, name: str = "IDX data") -> Array:
    """The array in the bytes of an IDX file; `name` is what error messages call them."""
    packed = data[:2] == GZIP
    source = gzip.GzipFile(fileobj=io.BytesIO(data)) if packed else io.BytesIO(data)
    try:
        magic = source.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES:
            raise DataError(
                f"{name}: not an IDX file: expected 00 00, a type "
                f"({' '.join(f'{code:02x}' for code in TYPES)}) and the number of axes, "
                f"got {magic.hex(' ') or 'nothing'}"
            )
        axes = magic[3]
        lengths = source.read(4 * axes)
        if len(lengths) < 4 * axes:
            raise DataError(f"{name}: truncated: the file ends within its header of {axes} axes")
        shape = struct.unpack(f">{axes}I", lengths)
        dtype = np.dtype(TYPES[magic[2]]).newbyteorder(">")
        expected = math.prod(shape) * dtype.itemsize
        if expected > len(data) * (EXPANSION if packed else 1):
            raise DataError(
                f"{name}: truncated: the header promises {dtype.name} {list(shape)}, "
                f"{expected:,} bytes, more than a file of {len(data):,} bytes can hold"
            )
        body = read_past(source, expected)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{name}: damaged gzip archive: {error}") from error
    if len(body) != expected:
        problem = "truncated" if len(body) < expected else "trailing bytes"
        raise DataError(
            f"{name}: {problem}: the header promises {dtype.name} {list(shape)}, "
            f"{expected:,} bytes of values, the file holds "
            f"{f'{len(body):,}' if len(body) < expected else 'more'}"
        )
    values = np.frombuffer(body, dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def write_idx(path: PathLike, values: ArrayLike) -> None:
    """Write an array as an IDX file, compressed if the name ends in .gz.

    The file appears whole or not at all, and equal arrays give equal files. Raises DataError for
    a dtype that IDX has not, more than 255 axes or an axis of more than 4,294,967,295.
    """
    array = np.asarray(values)
    code = CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        known = ", ".join(dtype.name for dtype in CODES)
        raise DataError(f"{path}: IDX has no type for {array.dtype}; convert it to one of {known}")
    if array.ndim > 255 or any(length >= 1 << 32 for length in array.shape):
        raise DataError(f"{path}: shape {list(array.shape)} does not fit into an IDX header")
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    data = header + array.astype(array.dtype.newbyteorder(">"), copy=False).tobytes()
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(gzip.compress(data, mtime=0) if target.suffix == ".gz" else data)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
