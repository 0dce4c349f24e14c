"""Generated source on disk, so that what Numba compiled once need not be compiled by the next process."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..disk import cache_folder, write_at_once


def folder() -> Path:
    """Return where generated sources are kept."""
    return cache_folder("maps")


def stored(text: str, *versions: str) -> Path | None:
    """Return a file that holds the text, named by it and the versions; None where it cannot be written."""
    digest = hashlib.sha256("\n".join((*versions, text)).encode()).hexdigest()[:24]
    try:
        path = folder() / f"map_{digest}.py"
        if not path.exists():
            write_at_once(path, text.encode())
        return path
    except (OSError, RuntimeError):  # read-only, full, or there is no home
        return None
