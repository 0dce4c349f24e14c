"""Makes build/typing/cortex, a tree of links in the shape that the package has once installed.

Type checkers do not follow the import hook of an editable installation, and they look into the
current folder first, so call them from there:

    python scripts/typing_view.py
    cd build/typing && mypy --config-file ../../pyproject.toml -p cortex
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("compute", "gpu_compute", "datasets", "visualization")


def make_view() -> Path:
    """Build the tree anew and return the folder that holds it."""
    view = ROOT / "build" / "typing"
    shutil.rmtree(view, ignore_errors=True)
    (view / "cortex").mkdir(parents=True)
    files = [path for path in (ROOT / "cortex").iterdir() if path.name != "__pycache__"]
    for path in [*files, *(ROOT / room for room in ROOMS)]:
        (view / "cortex" / path.name).symlink_to(path)
    return view


if __name__ == "__main__":
    print(make_view())
