"""Each example runs to its end and reaches its aim; each says in its README what it shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cortex

FOLDER = Path(__file__).resolve().parent.parent / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
CONFIGS = sorted(FOLDER.glob("*.json"))
PICTURES = "seeing_mistakes.py"


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-P", "-W", "error", *arguments]
    environment = {**os.environ, "MPLBACKEND": "agg"}
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.name != PICTURES], ids=lambda p: p.stem)
def test_an_example_reaches_its_aim(path: Path, tmp_path: Path) -> None:
    done = run([str(path)], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout, "it says what it found"
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"


def test_pictures_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = run([str(FOLDER / PICTURES), str(tmp_path)], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(p.stem for p in tmp_path.glob("*.png")) == [
        "confusion",
        "curves",
        "kernels",
        "mistakes",
    ]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_a_config_trains(path: Path, tmp_path: Path) -> None:
    done = run(["-m", "cortex", "train", str(path), "--out", "run", "--json", "--quiet"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accuracy"] > 0.85
    assert cortex.load_checkpoint(tmp_path / "run" / "checkpoint").network.parameter_count > 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_has_a_floor_and_fits_a_screen_or_two(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.search(r"^sys\.exit\(.+\)$", text, re.MULTILINE), (
        "its exit code says whether it worked"
    )
    assert len(text.splitlines()) <= 70
    assert text.startswith('"""')


def test_the_readme_lists_every_example() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"\]\(([\w.]+)\)", text))
    assert listed == {p.name for p in [*EXAMPLES, *CONFIGS]}
