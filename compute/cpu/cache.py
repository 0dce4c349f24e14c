"""A folder for generated source, so that what Numba compiled once need not be compiled by the next process.

The folder is that of the variable CORTEX_CACHE_DIR, else cortex/maps in the user's cache folder. Files are named by
what they hold and never change, so processes may write the same one at the same time.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


def folder() -> Path:
    """Return where generated sources are kept."""
    chosen = os.environ.get("CORTEX_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "cortex" / "maps"


def stored(text: str, *versions: str) -> Path | None:
    """Return a file that holds the text, named by it and the versions; None where it cannot be written."""
    digest = hashlib.sha256("\n".join((*versions, text)).encode()).hexdigest()[:24]
    try:
        path = folder() / f"map_{digest}.py"
        if not path.exists():
            _write(path, text)
        return path
    except (OSError, RuntimeError):  # read-only, full, or there is no home
        return None


def _write(path: Path, text: str) -> None:
    """Write in one step: nobody sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
