"""The GPU benchmarks run, on the emulated device: what they time there says nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from .conftest import backend

BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")


@pytest.fixture(scope="module")
def gpu():
    sys.path.append(BENCHMARKS)
    try:
        import gpu

        yield gpu
    finally:
        sys.path.remove(BENCHMARKS)


def test_the_networks_have_the_published_sizes(gpu) -> None:
    for depth, count in ((18, 11_689_512), (50, 25_557_032)):
        specs = gpu.resnet(depth).parameter_specs
        assert sum(s.size for n, s in specs.items() if ".running_" not in n) == count


def test_ours_is_measured(gpu, monkeypatch) -> None:
    monkeypatch.setattr(gpu, "ROUNDS", 2)
    monkeypatch.setattr(gpu, "BLOCK", 0.001)
    one = backend()
    network = gpu.WIDE_MLP.network()
    images = np.random.default_rng(0).standard_normal((4, 1, 28, 28)).astype(np.float32)
    rows = gpu.measured(
        "MLP", [gpu.ours(network, images, np.arange(4), b) for b in (one, backend())]
    )
    rows += gpu.launches(one, 5)
    assert [r.contender for r in rows] == ["cortex float32", "cortex float32", "cortex"]
    assert all(0 < r.least <= r.median <= r.most for r in rows)
    assert rows[0].bytes > 4 * 3 * 668_672  # weights and two moments
    assert "5 nodes" in gpu.table(rows)


def test_contenders_with_other_losses_are_not_timed(gpu) -> None:
    runners = [
        gpu.Runner(n, lambda k: None, lambda w: 1.0, lambda v=v: v)
        for n, v in (("a", 1.0), ("b", 1.1))
    ]
    with pytest.raises(SystemExit, match="MLP: b has losses .*; no times"):
        gpu.measured("MLP", runners)
