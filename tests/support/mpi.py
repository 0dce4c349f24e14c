"""Real processes: scripts under `mpiexec`, of the environment that runs the tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
LIMIT = (
    180  # seconds; a hang is a failure, and a machine that is busy with much else needs a minute
)


def why_not() -> str:
    if importlib.util.find_spec("mpi4py") is None:
        return "mpi4py is not installed"
    return "" if MPIEXEC else "there is no mpiexec"


needs_mpi = pytest.mark.skipif(bool(why_not()), reason=why_not())


def command(processes: int, *arguments: str | Path) -> list[str]:
    """The command line that runs Python in so many processes."""
    return [str(MPIEXEC), "-n", str(processes), sys.executable, "-P", *map(str, arguments)]


def run(
    processes: int, *arguments: str | Path, folder: Path, limit: float = LIMIT
) -> subprocess.CompletedProcess[str]:
    """Run Python in so many processes to the end."""
    return subprocess.run(
        command(processes, *arguments), cwd=folder, env=environment(), capture_output=True, stdin=subprocess.DEVNULL,
        text=True, timeout=limit,
    )  # fmt: skip


def environment(
    without: Sequence[str] = ("CORTEX_NUM_THREADS", "OMP_NUM_THREADS"),
) -> dict[str, str]:
    """This process's environment, without what says how many threads to use."""
    return {k: v for k, v in os.environ.items() if k not in without}
