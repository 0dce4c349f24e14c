"""The scripts of `benchmarks/` import each other by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True, scope="package")
def scripts():
    """Their folder comes last on the path while these tests run."""
    sys.path.append(str(FOLDER))
    yield FOLDER
    sys.path.remove(str(FOLDER))
