"""The one-command script: what it installs again, and what it says when something is missing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "go.py"


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, on a small checkout of its own."""
    spec = importlib.util.spec_from_file_location("go", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "csrc").mkdir()
    (tmp_path / "compute").mkdir()
    for name in ("pyproject.toml", "CMakeLists.txt", "csrc/kernel.cpp", "compute/ops.py"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "PYTHON", tmp_path / ".venv" / "python")
    return module


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["tets"], 2), (["--help"], 0)])
def test_anything_but_its_commands_gets_the_usage(arguments: list[str], code: int) -> None:
    result = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)
    assert result.returncode == code
    assert "python3 scripts/go.py train" in result.stdout


def test_an_old_python_is_told_so(go: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    with pytest.raises(SystemExit, match="needs Python 3.11 or later"):
        go.make_environment()


def test_a_python_without_ensurepip_is_told_what_to_install(
    go: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name != "ensurepip")
    with pytest.raises(SystemExit, match=r"apt install python3\.\d+-venv"):
        go.make_environment()
    assert not (go.ROOT / ".venv").exists()


def test_a_missing_compiler_is_said_and_only_then_an_error_if_native_was_expected(
    go: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", os.devnull + "/nonexistent")
    monkeypatch.delenv("EXPECTED_ENGINE", raising=False)
    monkeypatch.setattr(go, "run", lambda command: 1)
    assert go.compiler() is None
    go.report_engine()
    assert "native engine is missing: no C++ compiler was found" in capsys.readouterr().out
    monkeypatch.setenv("EXPECTED_ENGINE", "native")
    with pytest.raises(SystemExit, match="native engine was not built"):
        go.report_engine()


def installs(go: ModuleType, monkeypatch: pytest.MonkeyPatch, extras: str) -> list[list[str]]:
    """The commands that one call of `install` runs."""
    commands: list[list[str]] = []
    (go.ROOT / ".venv").mkdir(exist_ok=True)
    monkeypatch.setattr(go, "run", lambda command: commands.append(list(map(str, command))))
    go.install(extras)
    return commands


def test_only_what_changed_is_installed_again(
    go: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CORTEX_INSTALL", raising=False)
    assert len(installs(go, monkeypatch, "")) == 1
    assert installs(go, monkeypatch, "") == []
    (go.ROOT / "compute" / "ops.py").write_text("edited")  # an editable installation follows
    assert installs(go, monkeypatch, "") == []
    (go.ROOT / "csrc" / "kernel.cpp").write_text("edited")
    assert len(installs(go, monkeypatch, "")) == 1
    (with_extras,) = installs(go, monkeypatch, "[dev]")
    assert with_extras[-2:] == ["--editable", f"{go.ROOT}[dev]"]
    assert installs(go, monkeypatch, "") == [], "what was installed for tests serves training too"


def test_a_wheel_is_installed_again_when_any_file_of_it_changes(
    go: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORTEX_INSTALL", "wheel")
    (command,) = installs(go, monkeypatch, "")
    assert "--editable" not in command
    (go.ROOT / "compute" / "ops.py").write_text("edited")
    assert len(installs(go, monkeypatch, "")) == 1


def test_without_a_compiler_the_pure_wheel_is_asked_for(
    go: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", os.devnull + "/nonexistent")
    (command,) = installs(go, monkeypatch, "")
    assert "--config-settings=wheel.cmake=false" in command
