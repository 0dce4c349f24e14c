"""Imports run downwards only, `import cortex` is light, and files stay short."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cortex

ROOT = Path(__file__).resolve().parent.parent

# folder -> (rooms of ours that it may import, packages of others that it may import), as in
# section 1 of docs/design.md. A third-party package missing here is a new dependency: discuss it.
HOUSE: dict[str, tuple[set[str], set[str]]] = {
    "compute": ({"compute"}, {"numpy", "numba", "llvmlite", "mpi4py", "pytest"}),
    "gpu_compute": ({"gpu_compute", "compute"}, {"numpy", "cupy", "cupyx", "cudnn"}),
    "datasets": ({"datasets"}, {"numpy", "h5py", "safetensors", "pyarrow", "anndata"}),
    "cortex": (
        {"cortex", "compute", "datasets"},
        {"numpy", "h5py", "safetensors", "rich", "typer", "click", "pyarrow"},
    ),
    "visualization": (
        {"visualization", "cortex", "compute", "datasets"},
        {"numpy", "matplotlib", "sklearn", "openTSNE"},
    ),
}
HEAVY = {
    "numba",
    "llvmlite",
    "h5py",
    "matplotlib",
    "mpi4py",
    "sklearn",
    "scipy",
    "rich",
    "typer",
    "pandas",
}
FOLDERS = [*HOUSE, "csrc", "scripts", "tests", "benchmarks", "examples"]
CODE = {".py", ".pyi", ".c", ".h", ".cpp", ".hpp", ".cu", ".cuh"}
LONGEST = 500


def files(folder: str, suffixes: set[str]) -> list[Path]:
    return sorted(p for p in (ROOT / folder).rglob("*") if p.suffix in suffixes and p.is_file())


def imports(source: str, package: list[str]) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything that the source of a module of `package` imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = [*start, *(node.module.split(".") if node.module else [])]
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)


def room_of(name: str) -> str:
    """The room that a dotted name under `cortex` belongs to."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in HOUSE else "cortex"


def faults(source: str, package: list[str], folder: str) -> list[tuple[int, str]]:
    """Imports that the table does not allow to a module in `folder`."""
    rooms, others = HOUSE[folder]
    found = []
    for line, name in imports(source, package):
        top = name.split(".")[0]
        if top == "cortex":
            private = folder == "visualization" and any(p[0] == "_" for p in name.split("."))
            wrong = room_of(name) not in rooms or (private and room_of(name) != folder)
        else:
            wrong = top not in others and top not in sys.stdlib_module_names
        if wrong and name != "__future__":
            found.append((line, name))
    return found


def package_of(path: Path) -> list[str]:
    parts = list(path.relative_to(ROOT).parent.parts)
    return parts if parts[0] == "cortex" else ["cortex", *parts]


@pytest.mark.parametrize("folder", HOUSE)
def test_imports_run_downwards(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in files(folder, {".py", ".pyi"})
        for line, name in faults(path.read_text(encoding="utf-8"), package_of(path), folder)
    ]
    assert not found, f"{folder}/ may not import these:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("folder", "source", "wrong"),
    [
        ("compute", "from ..layers import Linear", "cortex.layers.Linear"),
        ("compute", "def f():\n    import cortex.training", "cortex.training"),
        ("compute", "from cortex import network", "cortex.network"),
        ("compute", "import torch", "torch"),
        ("compute", "from ..gpu_compute import device", "cortex.gpu_compute.device"),
        ("cortex", "from .gpu_compute import device", "cortex.gpu_compute.device"),
        ("cortex", "import compute", "compute"),
        ("datasets", "from datasets import mnist", "datasets.mnist"),
        ("datasets", "from ..compute import math", "cortex.compute.math"),
        ("visualization", "from cortex.network import _walk", "cortex.network._walk"),
        ("compute", "from . import spec\nimport numpy as np\nfrom .ops.basic import Map", None),
        ("cortex", "from .compute.program import Program\nfrom cortex import datasets", None),
    ],
)
def test_the_import_rule_sees_each_kind_of_fault(
    folder: str, source: str, wrong: str | None
) -> None:
    package = ["cortex"] if folder == "cortex" else ["cortex", folder]
    assert [name for _, name in faults(source, package, folder)] == ([wrong] if wrong else [])


def test_nobody_imports_a_room_as_a_top_level_package() -> None:
    """With the root on the path `import compute` would load a second copy of `cortex.compute`."""
    rooms = set(HOUSE) - {"cortex"}
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for folder in FOLDERS
        for path in files(folder, {".py", ".pyi"})
        for line, name in imports(path.read_text(encoding="utf-8"), package_of(path))
        if name.split(".")[0] in rooms
    ]
    assert not found, "write cortex.compute, never compute:\n" + "\n".join(found)


def test_no_assert_outside_tests() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in (*HOUSE, "scripts")
        for path in files(folder, {".py"})
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert not found, "python -O removes asserts; raise an error that says what to do:\n" + (
        "\n".join(found)
    )


def test_files_are_short() -> None:
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for folder in FOLDERS
        for path in files(folder, CODE)
    }
    median = statistics.median(lengths.values())
    print(f"{len(lengths)} files, {sum(lengths.values())} lines, median {median:.0f}")
    long = [f"{path}: {length}" for path, length in lengths.items() if length > LONGEST]
    assert not long, f"no file has more than {LONGEST} lines:\n" + "\n".join(long)


def python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_cortex_is_fast() -> None:
    """The least of several runs: other work on the machine only ever adds time."""
    code = "import time; t = time.perf_counter(); import cortex; print(time.perf_counter() - t)"
    fastest = min(float(python(code)) for _ in range(5))
    assert fastest < 0.150, f"import cortex took {fastest * 1e3:.0f} ms"


def test_import_cortex_loads_nothing_heavy() -> None:
    code = "import cortex, sys; print(*{name.split('.')[0] for name in sys.modules})"
    assert not HEAVY & set(python(code).split())


@pytest.mark.parametrize("name", cortex.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(cortex, name) is not None
    assert name in dir(cortex)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'cortex' has no attribute 'Netwrk'"):
        _ = cortex.Netwrk
