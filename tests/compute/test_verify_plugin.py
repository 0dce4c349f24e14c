"""The pytest plugin, used as a third party would."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from cortex.compute import verify

THIRD_PARTY = """
import pytest
from cortex.compute import verify

CHECKS = verify.checks(quick=True, filter="update/")

@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_my_backend(cortex_backend, check):
    check(cortex_backend)

def test_the_fixture(cortex_backend):
    print("runs on", cortex_backend.name)
"""

MODULE = """
from cortex.compute.numpy_backend import NumpyBackend
class Mine(NumpyBackend):
    name = "mine"
"""


def _pytest(folder: Any, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_mine.py").write_text(THIRD_PARTY)
    (folder / "my_backend.py").write_text(MODULE)
    plugin = ["-p", "cortex.compute.verify.plugin"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rP",
        *plugin,
        "-p",
        "no:cacheprovider",
        *options,
    ]
    path = os.pathsep.join(
        [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    )  # also under -P
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_third_party_suite(tmp_path: Any) -> None:
    done = _pytest(tmp_path, "--backend=numpy,cpu:exact,my_backend:Mine")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("numpy", "cpu:exact", "mine"):
        assert f"runs on {name}" in done.stdout
    count = 3 * (1 + len(verify.checks(quick=True, filter="update/")))
    assert f"{count} passed" in done.stdout


def test_wrong_names_are_usage_errors(tmp_path: Any) -> None:
    done = _pytest(tmp_path, "--backend=nunpy,no_module:Mine")
    assert done.returncode == 4
    assert "did you mean 'numpy'" in done.stderr and "no_module" in done.stderr


def test_default_is_every_backend_that_works_but_for_stand_ins() -> None:
    from cortex.compute.registry import STAND_INS, availability, names
    from cortex.compute.verify.plugin import backend_names

    works = [n for n in names() if availability(n).works]
    assert backend_names("") == [n for n in works if n not in STAND_INS]
    assert set(backend_names(",".join(works))) == set(works)
    assert backend_names("numpy, numpy") == ["numpy"]


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, cortex.compute.verify.plugin; "
        "print(*{n.split('.')[0] for n in sys.modules}, 'cortex.compute.verify.cases' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"numba", "llvmlite", "h5py", "matplotlib", "sklearn", "scipy"}
    assert "False" in loaded  # nor the tables
