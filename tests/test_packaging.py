"""What must hold of the installed package."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

import cortex

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = PROJECT["tool"]["scikit-build"]["wheel"]["packages"]
DATA = {"cortex/gpu_compute/kernels/device"}  # no modules: kernel sources, compiled at run time
PACKAGES = {name: folder for name, folder in FOLDERS.items() if name not in DATA}
MNIST = [f"{part}-ubyte.gz" for part in ("train-images-idx3", "train-labels-idx1")]
MNIST += [f"{part}-ubyte.gz" for part in ("t10k-images-idx3", "t10k-labels-idx1")]


def distribution() -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution("cortex")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("this checkout runs without being installed")


def test_there_is_one_version() -> None:
    assert cortex.__version__ == PROJECT["project"]["version"]


def test_the_installed_version_is_that_of_the_code() -> None:
    assert distribution().version == cortex.__version__


@pytest.mark.parametrize("folder", PACKAGES.values())
def test_every_folder_is_installed_under_cortex(folder: str) -> None:
    name = "cortex" if folder == "cortex" else f"cortex.{folder}"
    module = importlib.import_module(name)
    assert PACKAGES[name.replace(".", "/")] == folder
    assert module.__doc__
    assert module.__file__ is not None
    assert Path(module.__file__).name == "__init__.py"


def test_all_subpackages_come_from_one_place() -> None:
    """A checkout must never run with the older Python files of an installed copy."""
    top = Path(cortex.__file__).resolve().parent
    beside = top.parent if (top.parent / "CMakeLists.txt").exists() else top
    for folder in set(PACKAGES.values()) - {"cortex"}:
        spec = importlib.util.find_spec(f"cortex.{folder}")
        assert spec is not None and spec.origin is not None
        assert Path(spec.origin).resolve().parent == beside / folder


def test_types_are_announced() -> None:
    assert (files("cortex") / "py.typed").is_file()


@pytest.mark.parametrize("name", MNIST)
def test_mnist_ships_with_the_package(name: str) -> None:
    data = files("cortex.datasets") / "data" / "mnist" / name
    assert data.read_bytes()[:2] == b"\x1f\x8b", "a gzip file, no pointer to one"


@pytest.mark.parametrize(
    ("table", "name", "target"),
    [
        ("scripts", name, target)
        for table in [PROJECT["project"]["scripts"]]
        for name, target in table.items()
    ]
    + [
        (group, name, target)
        for group, table in PROJECT["project"]["entry-points"].items()
        for name, target in table.items()
    ],
)
def test_entry_points_lead_somewhere(table: str, name: str, target: str) -> None:
    module, _, attribute = target.partition(":")
    found = importlib.import_module(module)
    assert hasattr(found, attribute) if attribute else found


def test_the_native_engine_is_there_when_expected() -> None:
    """CI sets EXPECTED_ENGINE, because the fall-back to a pure wheel only warns."""
    if os.environ.get("EXPECTED_ENGINE") != "native":
        pytest.skip("EXPECTED_ENGINE is not `native`")
    assert importlib.util.find_spec("cortex.compute._native") is not None


def test_an_installed_wheel_is_what_is_tested() -> None:
    """The checkout, in which the tests run, must not hide the installed package."""
    if os.environ.get("CORTEX_INSTALL") != "wheel":
        pytest.skip("CORTEX_INSTALL is not `wheel`")
    assert ROOT not in Path(cortex.__file__).resolve().parents


def test_a_checkout_runs_without_being_installed(tmp_path: Path) -> None:
    """Without site-packages and its import hooks, the folders beside cortex/ are subpackages."""
    code = "import cortex, importlib.util as u; print(u.find_spec('cortex.compute').origin)"
    result = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()) == ROOT / "compute" / "__init__.py"
