"""Files that come with the package, and their check against the sums beside them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .errors import DataError, MissingFileError
from .raw import read_bytes

DATA = Path(__file__).resolve().parent / "data"
SUMS = "SHA256SUMS"


def verified_bytes(folder: str, file: str, data_dir: Path | None = None) -> bytes:
    """The bytes of a shipped file, or of the same file in `data_dir`, if their SHA-256 is right.

    Raises MissingFileError or DataError, naming the file, what its sum should be and what it is.
    """
    path = (data_dir or DATA / folder) / file
    expected = _sums(DATA / folder / SUMS).get(file)
    if expected is None:
        raise DataError(f"{DATA / folder / SUMS}: no sum for {file}; install cortex again")
    cure = f"give another data_dir than {data_dir}" if data_dir else "install cortex again"
    try:
        data = read_bytes(path)
    except MissingFileError:
        raise MissingFileError(
            f"{path}: no such file; expected one with SHA-256 {expected}; {cure}"
        ) from None
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise DataError(
            f"{path}: damaged or not the right file: expected SHA-256 {expected}, "
            f"found {found}; {cure}"
        )
    return data


def _sums(path: Path) -> dict[str, str]:
    """Sum by file name, from lines as `sha256sum` writes them."""
    lines = [line.split() for line in read_bytes(path).decode("ascii", "replace").splitlines()]
    return {words[1].lstrip("*"): words[0] for words in lines if len(words) == 2}
