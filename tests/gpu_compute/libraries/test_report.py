"""Versions of the parts of the CUDA backend, or why each is missing, without importing what is heavy."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

from cortex.compute.errors import BackendError
from cortex.gpu_compute.libraries import frontend, report


def test_every_part_has_a_version_or_a_reason() -> None:
    rows = report.collect()
    assert [row["name"] for row in rows] == list(report.PARTS)
    for row in rows:
        assert row["detail"] and "\n" not in row["detail"]
        assert row["version"] is None or row["version"][0].isdigit()
        if row["version"] is None:
            assert any(w in row["detail"] for w in ("install", "build", "opened", "answers"))


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys\nfrom cortex.gpu_compute.libraries.report import collect\ncollect()\n"
        "print([m for m in ('cupy', 'cudnn', 'torch', 'cuda') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_versions_of_packages_come_from_their_metadata(monkeypatch) -> None:
    known = {"cupy-cuda12x": "14.2.0", "nvidia-cudnn-frontend": "1.32.0"}

    def version(name: str) -> str:
        if name in known:
            return known[name]
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(report.metadata, "version", version)
    rows = {row["name"]: row for row in report.collect()}
    assert (rows["CuPy"]["version"], rows["CuPy"]["detail"]) == ("14.2.0", "cupy-cuda12x")
    assert rows["cuDNN's frontend"]["version"] == "1.32.0"
    known.clear()
    rows = {row["name"]: row for row in report.collect()}
    assert rows["CuPy"]["detail"] == "CuPy is not installed; pip install cupy-cuda13x"
    assert "pip install nvidia-cudnn-frontend" in rows["cuDNN's frontend"]["detail"]


def test_versions_of_cuda_are_read_as_cuda_counts() -> None:
    def answer(status: int, number: int):
        def ask(pointer) -> int:
            pointer._obj.value = number
            return status

        return ask

    assert report._cuda_version(answer(0, 13020), "libcuda.so.1") == "13.2"
    with pytest.raises(
        BackendError, match="libcuda.so.1 does not say its version: it answers error 35"
    ):
        report._cuda_version(answer(35, 0), "libcuda.so.1")


def test_no_driver_and_no_runtime_are_reasons(monkeypatch) -> None:
    def missing(name: str):
        raise OSError(f"{name}: no such file")

    monkeypatch.setattr(report.ctypes, "CDLL", missing)
    rows = {row["name"]: row for row in report.collect()}
    assert rows["driver"]["detail"].startswith(
        "there is no NVIDIA driver (libcuda.so.1: no such file)"
    )
    assert "cannot be opened: libcudart.so.13: no such file" in rows["runtime"]["detail"]


def test_a_missing_frontend_is_said(monkeypatch) -> None:
    frontend.cudnn.cache_clear()
    monkeypatch.setitem(sys.modules, "cudnn", None)
    try:
        works, reason = frontend.available()
        assert not works and "pip install nvidia-cudnn-frontend" in reason
        with pytest.raises(BackendError, match="frontend cannot be imported"):
            frontend.FrontendDnn()
    finally:
        frontend.cudnn.cache_clear()


def test_cortex_info_shows_it() -> None:
    from cortex import info

    text = info.text(info.collect())
    assert all(name in text.partition("\ncuda\n")[2] for name in report.PARTS)
