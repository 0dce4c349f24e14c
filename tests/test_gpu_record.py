"""The record of a verification on a GPU: written from results only, never without a GPU."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from cortex.compute import availability

ROOT = Path(__file__).resolve().parent.parent
needs_none = pytest.mark.skipif(availability("cuda").works, reason="there is a GPU")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_gpu", ROOT / "scripts" / "verify_gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_none
@pytest.mark.parametrize(
    "command", [["scripts/verify_gpu.py", "--no-build"], ["benchmarks/gpu.py"]]
)
def test_without_a_gpu_nothing_is_written(command: list[str]) -> None:
    pages = [ROOT / "docs" / f"gpu-verification.{kind}" for kind in ("md", "json")]
    before = [p.read_bytes() if p.exists() else None for p in pages]
    # as a user starts it: its own folder is on the path, which PYTHONSAFEPATH would forbid
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1
    assert availability("cuda").reason in done.stderr
    assert before == [p.read_bytes() if p.exists() else None for p in pages]


def test_the_page_says_what_was_verified() -> None:
    """Either nothing was, and the page says so, or there is a record with a GPU and a commit in it."""
    text = (ROOT / "docs" / "gpu-verification.md").read_text("utf-8")
    record = ROOT / "docs" / "gpu-verification.json"
    if not record.exists():
        assert "**Not verified on a GPU.**" in text
        return
    found = json.loads(record.read_text("utf-8"))
    assert found["machine"]["gpu"] in text and found["machine"]["commit"][:12] in text
    assert found["tests"]


def test_outcomes_of_a_junit_file(script: ModuleType) -> None:
    xml = """<testsuites><testsuite>
      <testcase name="a[1]" time="0.5"/><testcase name="b" time="1"><failure>no</failure></testcase>
      <testcase name="c"><skipped/></testcase><testcase name="d"><error/></testcase>
    </testsuite></testsuites>"""
    found = script.outcomes(xml)
    assert [(t["name"], t["status"]) for t in found] == [
        ("a[1]", "passed"), ("b", "failed"), ("c", "skipped"), ("d", "failed"),
    ]  # fmt: skip
    assert found[0]["seconds"] == 0.5


def test_a_record_becomes_a_page(script: ModuleType, tmp_path: Path) -> None:
    record = {
        "machine": {
            "date": "2026-01-02", "commit": "0123456789abcdef", "clean": False, "gpu": "GPU X",
            "compute capability": "9.0", "python": "3.12.1", "versions": {"cuDNN": "9.28"},
        },
        "tests": [{"name": "a", "status": "passed"}, {"name": "b[2]", "status": "failed"}],
        "timings": [
            {"workload": "MLP", "contender": "cortex", "median": 5e-5, "least": 4e-5, "most": 6e-5, "bytes": 1 << 20}
        ],
    }  # fmt: skip
    script.write(record, tmp_path / "page.md", tmp_path / "record.json")
    text = (tmp_path / "page.md").read_text()
    assert "GPU X" in text and "`0123456789ab`, with changes that are not committed" in text
    assert "**1 tests passed, 1 failed, 0 skipped.**" in text and "- `b[2]`" in text
    assert "| MLP | cortex | 0.050 | 0.040 .. 0.060 | 1 |" in text
    assert json.loads((tmp_path / "record.json").read_text()) == record
