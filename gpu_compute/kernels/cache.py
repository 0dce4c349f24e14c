"""Compiled code on disk, named by a digest of everything it depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from cortex.compute.disk import cache_folder, write_at_once


def folder() -> Path:
    """Return where compiled kernels are kept."""
    return cache_folder("device")


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
        write_at_once(path, content)
    except OSError:
        return content, None
    return content, path
