"""The command: what it prints, keeps and refuses."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cortex.compute.cpu.native import native

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "benchmarks" / "run.py"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUN), *map(str, arguments)]
    # as a user starts it: its own folder is on the path, which PYTHONSAFEPATH would forbid
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="one core needs Linux")
def test_a_workload_is_measured_kept_and_published(tmp_path: Path) -> None:
    kept, page = tmp_path / "results.json", tmp_path / "speed.md"
    done = run("--quick", "--one-core", "--json", kept, "adam")
    assert done.returncode == 0, done.stderr
    section = json.loads(kept.read_text())["sections"]["adam, one core"]
    assert section["machine"]["cores"] == 1
    (table,) = section["results"]
    assert [r["name"] for r in table["rows"]][:2] == ["cortex", "Numba, a loop by hand"]
    assert all(0 < r["least"] <= r["median"] <= r["most"] for r in table["rows"])
    assert table["notes"][0].startswith("Outputs agree to")
    summaries = [f"{n}, {c}" for n in ("summary", "machine") for c in ("one core", "all cores")]
    names = (*summaries, "adam, one core")
    page.write_text("\n".join(f"<!-- {n} -->\n<!-- end of {n} -->" for n in names))
    assert run("--publish", kept, "--page", page).returncode == 0
    text = page.read_text()
    written = text.partition("<!-- adam, one core -->")[2].partition("<!-- end")[0].strip()
    assert written.startswith("### Adam, 10 million parameters") and written in done.stdout
    assert "| Adam, 10 million parameters | " in text
    assert "| cores | 1 |" in text and "| peak, GFLOP/s | " in text
    if importlib.util.find_spec("matplotlib"):
        assert "![summary, one core](speed/ratios-one-core.svg)" in text
        assert (tmp_path / "speed" / "ratios-one-core.svg").exists()


@pytest.mark.skipif(native() is None, reason="the native engine is not built")
def test_instruction_sets_are_columns_of_the_same_turns(tmp_path: Path) -> None:
    kept, page = tmp_path / "results.json", tmp_path / "speed.md"
    done = run("--quick", "--isa", "base", "--json", kept, "products", "adam")
    assert done.returncode == 0, done.stderr
    sections = json.loads(kept.read_text())["sections"]
    for grid in sections["products, all cores"]["results"]:
        assert grid["columns"][:3] == ["cortex", "cortex base", "NumPy"]
        assert grid["columns"][-1] == "cortex, % of the peak"
        assert all(0 < rates[-1] for rates in grid["rows"].values())
    (table,) = sections["adam, all cores"]["results"]
    names = [r["name"] for r in table["rows"]]
    assert names[:3] == ["cortex", "cortex base", "Numba, a loop by hand"]
    names = [f"{n}, all cores" for n in ("summary", "machine", "products", "adam")]
    page.write_text("\n".join(f"<!-- {n} -->\n<!-- end of {n} -->" for n in names))
    assert run("--publish", kept, "--page", page).returncode == 0
    assert "| of the bound | times ours, base |" in page.read_text()


def test_nothing_asked_is_an_error() -> None:
    done = run()
    assert done.returncode == 2
    assert "name workloads, or --all: mlp, lenet" in done.stderr


def test_the_page_has_room_for_every_workload() -> None:
    import run as script

    text = script.PAGE.read_text("utf-8")
    for cores, names in (("one core", script.ONE_CORE), ("all cores", script.ALL_CORES)):
        for name in ("machine", "summary", *names):
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
