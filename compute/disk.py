"""Files that cost time to make and are kept: where they lie, and how they are written.

Files are named by what they hold and never change, so several processes may write the same one at the same time.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Return the folder `kind` in that of the variable CORTEX_CACHE_DIR, else in cortex in the user's cache folder.

    Raises:
        RuntimeError: there is neither the variable nor a home.
    """
    chosen = os.environ.get("CORTEX_CACHE_DIR")
    if chosen:
        return Path(chosen) / kind
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "cortex" / kind


def write_at_once(path: Path, content: bytes) -> None:
    """Write a file in one step: nobody sees half of it; folders that are missing are made, for the user alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
