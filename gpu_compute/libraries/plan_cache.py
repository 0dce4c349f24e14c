"""Compiled cuDNN plans on disk, so that the next process need not compile them.

A file is one line of JSON (the key in full, the digest of the plan, what is worth reporting) and then the plan as cuDNN
serialises it. A key names everything a plan depends on: versions of cuDNN and its frontend, the device, the mode, the
graph. Files are written in one step and never change; one that is damaged or of another key is not used. Plans hold
code for the GPU: the folder must be the user's own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cortex.compute.disk import cache_folder, write_at_once


def folder() -> Path:
    """Return where plans are kept."""
    return cache_folder("cudnn")


@dataclass(frozen=True)
class Stored:
    """A serialised plan and what was noted beside it."""

    plan: bytes
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass
class PlanCache:
    """Plans in a folder; `hits` and `misses` count what `load` found."""

    place: Path | None = None  # None: `folder()`
    hits: int = 0
    misses: int = 0

    def load(self, key: str) -> Stored | None:
        """Return the plan stored under a key, or None where there is none that is whole."""
        found = self._read(key)
        if found is None:
            self.misses += 1
        else:
            self.hits += 1
        return found

    def store(self, key: str, stored: Stored) -> bool:
        """Write a plan in one step; return False where it cannot be written (read-only, full, no home)."""
        head = {
            "key": key,
            "sha256": hashlib.sha256(stored.plan).hexdigest(),
            "notes": dict(stored.notes),
        }
        try:
            write_at_once(self._path(key), json.dumps(head).encode() + b"\n" + stored.plan)
        except (OSError, RuntimeError):
            return False
        return True

    def drop(self, key: str) -> None:
        """Remove what is stored under a key: cuDNN refused it."""
        try:
            self._path(key).unlink(missing_ok=True)
        except (OSError, RuntimeError):
            return

    def _path(self, key: str) -> Path:
        place = folder() if self.place is None else self.place
        return place / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.plan"

    def _read(self, key: str) -> Stored | None:
        try:
            line, _, plan = self._path(key).read_bytes().partition(b"\n")
            head = json.loads(line)
            whole = head["key"] == key and head["sha256"] == hashlib.sha256(plan).hexdigest()
            notes = {str(k): str(v) for k, v in head["notes"].items()}
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return Stored(plan, notes) if whole else None
