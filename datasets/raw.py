"""Bytes from files that may be missing, damaged or hostile."""

from __future__ import annotations

import os
from gzip import GzipFile
from typing import IO

from .errors import DataError, MissingFileError

GZIP = b"\x1f\x8b"
EXPANSION = 1032  # deflate never makes more of one byte (zlib, "Technical details")
CHUNK = 1 << 20

PathLike = str | os.PathLike[str]


def open_file(path: PathLike) -> IO[bytes]:
    """The file, open for reading; MissingFileError without it, DataError where it will not open."""
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise MissingFileError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def read_bytes(path: PathLike) -> bytes:
    """All bytes of a file; errors as `open_file`."""
    with open_file(path) as file:
        return file.read()


def read_past(source: IO[bytes] | GzipFile, expected: int) -> bytearray:
    """`expected` bytes and one more, which tells of trailing ones; less where the source ends.

    Memory grows as the bytes come, so that a false expectation costs nothing.
    """
    body = bytearray()
    while len(body) <= expected:
        chunk = source.read(min(CHUNK, expected + 1 - len(body)))
        if not chunk:
            break
        body += chunk
    return body
