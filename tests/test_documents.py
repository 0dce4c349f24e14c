"""The documents are true: marked examples run, links lead to files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```python run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?![a-z]+:)([^)#\s]*)(#[^)\s]*)?\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def title(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(text: str) -> list[tuple[int, str]]:
    """Line number and source of each block that is marked `python run`."""
    return [(text.count("\n", 0, m.start(1)) + 1, m[1]) for m in BLOCK.finditer(text)]


def anchors(text: str) -> set[str]:
    """The fragments by which the headings of a document are reached."""
    headings = HEADING.findall(FENCED.sub("", text))
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def broken_links(path: Path, text: str) -> list[str]:
    broken = []
    for target, fragment in LINK.findall(FENCED.sub("", text)):
        there = path.parent / target if target else path
        if not there.exists():
            broken.append(target)
        elif fragment and fragment[1:] not in anchors(there.read_text(encoding="utf-8")):
            broken.append(target + fragment)
    return broken


@pytest.mark.parametrize("path", DOCUMENTS, ids=title)
def test_links_lead_to_files(path: Path) -> None:
    broken = broken_links(path, path.read_text(encoding="utf-8"))
    assert not broken, f"{title(path)} links to what is not there: {broken}"


RUNNABLE = [path for path in DOCUMENTS if blocks(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", RUNNABLE, ids=title)
def test_examples_run(path: Path, tmp_path: Path) -> None:
    """The blocks of one document run in order, in one process, as a reader would type them."""
    source = ""
    for line, block in blocks(path.read_text(encoding="utf-8")):
        source += "\n" * (line - 1 - source.count("\n")) + block  # tracebacks name the true line
    (tmp_path / "example.py").write_text(source, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, f"{title(path)}:\n{result.stderr}"


def test_the_readme_has_an_example() -> None:
    assert ROOT / "README.md" in RUNNABLE


def test_the_readme_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in ("python3 scripts/go.py train", "python3 scripts/go.py test"):
        assert command in text
    assert (ROOT / "scripts" / "go.py").is_file()


def test_a_broken_link_and_a_broken_fragment_are_found(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("# One thing\n[a](missing.md) [b](#one-thing) [c](page.md#two) [d](page.md)\n")
    assert broken_links(path, path.read_text()) == ["missing.md", "page.md#two"]


def test_only_marked_blocks_run() -> None:
    text = "text\n```python\nno()\n```\n```python run\nyes()\n```\n"
    assert blocks(text) == [(6, "yes()\n")]
