"""The command: what it prints, keeps and refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "benchmarks" / "run.py"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUN), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="one core needs Linux")
def test_a_workload_is_measured_printed_and_kept(tmp_path: Path) -> None:
    page, kept = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text("<!-- adam, one core -->\n<!-- end of adam, one core -->\n")
    done = run("--quick", "--one-core", "--json", kept, "--page", page, "adam")
    assert done.returncode == 0, done.stderr
    section = json.loads(kept.read_text())["sections"]["adam, one core"]
    assert section["machine"]["cores"] == 1
    (table,) = section["results"]
    assert [r["name"] for r in table["rows"]][:2] == ["cortex", "Numba, a loop by hand"]
    assert all(0 < r["least"] <= r["median"] <= r["most"] for r in table["rows"])
    assert table["notes"][0].startswith("Outputs agree to")
    text = page.read_text()
    written = text.removeprefix("<!-- adam, one core -->").removesuffix(
        "<!-- end of adam, one core -->\n"
    )
    assert "### Adam, 10 million parameters" in written and written.strip() in done.stdout


def test_nothing_asked_is_an_error() -> None:
    done = run()
    assert done.returncode == 2
    assert "name workloads, or --all: mlp, lenet" in done.stderr


def test_the_page_has_room_for_every_workload() -> None:
    import run as script

    text = script.PAGE.read_text("utf-8")
    for cores, names in (("one core", script.ONE_CORE), ("all cores", script.ALL_CORES)):
        for name in ("summary", *names):
            for marker in (f"<!-- {name}, {cores} -->", f"<!-- end of {name}, {cores} -->"):
                assert text.count(marker) == 1, marker


def test_every_workload_has_its_function() -> None:
    import run as script

    for name in script.NAMES:
        assert script.workload(name).__doc__, name
        assert f"`{name}`" in (script.__doc__ or ""), name


@pytest.mark.slow
def test_everything_runs(tmp_path: Path) -> None:
    kept = tmp_path / "results.json"
    done = run("--all", "--quick", "--json", kept)
    assert done.returncode == 0, done.stderr
    import run as script

    expected = {f"{n}, one core" for n in script.ONE_CORE} | {
        f"{n}, all cores" for n in script.ALL_CORES
    }
    assert set(json.loads(kept.read_text())["sections"]) == expected
