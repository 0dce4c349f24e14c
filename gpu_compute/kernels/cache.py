"""Compiled code on disk, named by a digest of everything it depends on, written in one step.

The folder is `device` in that of the variable CORTEX_CACHE_DIR, else in cortex in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def folder() -> Path:
    """Return where compiled kernels are kept."""
    chosen = os.environ.get("CORTEX_CACHE_DIR")
    if chosen:
        return Path(chosen) / "device"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "cortex" / "device"


def kept(suffix: str, key: tuple[str, ...], make: Callable[[], bytes]) -> tuple[bytes, Path | None]:
    """Return what `make` gives, from the disk where it was made for the same `key` before, and its file.

    Where the folder cannot be read or written the bytes are made anew and the file is None.
    """
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:32]
    try:
        path = folder() / f"{digest}{suffix}"
        if path.exists():
            return path.read_bytes(), path
    except (OSError, RuntimeError):  # no home, or not ours to read
        return make(), None
    content = make()
    try:
        _write(path, content)
    except OSError:
        return content, None
    return content, path


def _write(path: Path, content: bytes) -> None:
    """Write in one step: nobody sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
