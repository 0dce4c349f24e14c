"""Results as Markdown and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def table() -> Any:
    from results import Table, Timing

    rows = [Timing("cortex", 0.002, 0.001, 0.003), Timing("other", 0.005, 0.004, 0.006)]
    return Table("LeNet", "step", "wall", rows, ["A note."], goal=2.0, bound=0.001)


def test_a_table_in_markdown(table: Any) -> None:
    assert str(table) == (
        "### LeNet\n\n"
        "| | ms per step, wall | least .. most | times ours | of the bound |\n"
        "|---|---|---|---|---|\n"
        "| cortex | 2 | 1 .. 3 | 1.00 | 50% |\n"
        "| other | 5 | 4 .. 6 | 2.50 | 20% |\n\n"
        "A note.\n\n"
        "Best peer: other, 2.50 times ours (goal 2)."
    )


def test_latencies_show_their_tail() -> None:
    from results import Table, Timing

    text = str(Table("One", "example", "wall", [Timing("a", 2e-5, 1e-5, 9e-4, 5e-4)]))
    assert "| | us per example, wall | 99th percentile | times ours |" in text
    assert "| a | 20 | 500 | 1.00 |" in text


def test_a_grid_in_markdown() -> None:
    from results import Grid

    grid = Grid("Growth", "ms", [1, 256], {"a": [0.125, 1234.5], "b": [1.0, None]}, x="batch")
    assert str(grid) == (
        "### Growth\n\n| batch, ms | 1 | 256 |\n|---|---|---|\n| a | 0.125 | 1,234 |\n| b | 1 | - |"
    )


def test_the_summary_marks_what_reached_its_goal(table: Any) -> None:
    from results import summary

    assert "| LeNet | 2 ms | other, 5 ms | **2.50** | 2 | 50% |" in summary([table])
    table.goal = 2.6
    assert "| 2.50 | 2.6 |" in summary([table])
    table.goal = None
    assert "LeNet" not in summary([table])


def test_our_other_instruction_sets_are_no_peers(table: Any) -> None:
    from results import Timing, summary

    table.rows.insert(1, Timing("cortex avx2", 0.0025, 0.002, 0.004))
    assert [r.name for r in table.peers] == ["other"] and table.best.name == "other"
    text = summary([table])
    assert "| goal | of the bound | times ours, avx2 |" in text
    assert "| LeNet | 2 ms | other, 5 ms | **2.50** | 2 | 50% | 2.00 |" in text
    assert "| cortex avx2 | 2.5 | 2 .. 4 | 1.25 | 40% |" in str(table)
    table.rows.pop(2)
    assert table.best is None and "LeNet" not in summary([table])


def test_a_section_of_a_page_is_replaced(tmp_path: Path) -> None:
    from results import fill

    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- end of a -->\nafter\n")
    fill(page, "a", "new")
    fill(page, "a", "newer")
    assert page.read_text() == "before\n<!-- a -->\n\nnewer\n\n<!-- end of a -->\nafter\n"
    with pytest.raises(SystemExit, match="expected the markers <!-- b --> and <!-- end of b -->"):
        fill(page, "b", "new")


def test_results_survive_json_and_sections_stay(table: Any, tmp_path: Path) -> None:
    from results import Grid, load, store

    path, grid = tmp_path / "new" / "r.json", Grid("g", "ms", [1, 2], {"a": [1.0, None]}, x="n")
    store(path, "one", [table], {"cores": 2})
    store(path, "two", [grid], {"cores": 2})
    store(path, "two", [grid, table], {"cores": 2})
    assert load(path) == {"one": [table], "two": [grid, table]}
    assert [str(r) for r in load(path)["two"]] == [str(grid), str(table)]


def test_figures_are_drawn(table: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from plots import draw
    from results import Grid

    grid = Grid("g", "ms", [1, 2, 4], {"a": [1.0, 2.0, 3.0], "b": [1.0, None, 3.0]}, x="batch")
    sections = {"lenet, one core": [table], "batch, all cores": [grid], "memory, all cores": []}
    found = draw(sections, tmp_path)
    names = {"summary, one core": "ratios-one-core.svg", "batch, all cores": "batch-all-cores.svg"}
    assert {section: path.name for section, path in found.items()} == names
    paths = list(found.values())
    assert all(p.read_text().startswith("<?xml") for p in paths)
    before = [p.read_bytes() for p in paths]
    assert [p.read_bytes() for p in draw(sections, tmp_path).values()] == before, (
        "same results, same bytes"
    )
