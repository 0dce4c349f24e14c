"""The required surface of a backend stays small, and the design page lists it."""

from __future__ import annotations

import re
from pathlib import Path

from cortex.compute import Backend, Executable
from cortex.compute.ops import COMPOSITES, PRIMITIVES
from cortex.compute.program import Op
from cortex.compute.reference import KERNELS

LIMIT = 25
DESIGN = Path(__file__).resolve().parents[2] / "docs" / "design.md"


def members(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


def test_the_surface_is_below_its_limit() -> None:
    names = members(Backend) | members(Executable) | {op.__name__ for op in PRIMITIVES}
    assert len(names) < LIMIT
    assert len(PRIMITIVES) < 20


def test_the_design_page_lists_exactly_this_surface() -> None:
    section = DESIGN.read_text().split("### The required surface of a backend")[1].split("###")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and "`" in line]
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert listed == members(Backend) | members(Executable) | {op.__name__ for op in PRIMITIVES}
    total = int(re.search(r": (\d+) names", DESIGN.read_text()).group(1))
    assert total == len(listed)


def test_every_primitive_has_a_reference_and_no_decomposition() -> None:
    for op in PRIMITIVES:
        assert op in KERNELS and op.decompose is Op.decompose
    for op in COMPOSITES:
        assert op.decompose is not Op.decompose
