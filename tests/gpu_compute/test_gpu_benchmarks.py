"""The GPU benchmarks run, on the emulated device: what they time there says nothing."""

from __future__ import annotations

import sys
from pathlib import Path

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


def device(precision: str):
    return backend(precision=precision, deterministic=precision == "float32")


def test_ours_is_measured_at_each_precision(gpu, monkeypatch) -> None:
    monkeypatch.setattr(gpu, "ROUNDS", 2)
    monkeypatch.setattr(gpu, "BLOCK", 0.001)
    monkeypatch.setattr(gpu, "SMALL", ("WIDE_MLP",))
    monkeypatch.setattr(gpu, "torch_sees_it", lambda: False)
    monkeypatch.setattr(gpu, "jax_sees_it", lambda: False)
    rows = list(gpu.small([device("float32"), device("tf32")], sizes=[4]))
    rows.append(gpu.launches(backend(), 5))
    assert [r.workload.split("batch ")[-1] for r in rows] == [
        "4, float32", "4, tf32", "graph of tiny products",
    ]  # fmt: skip
    assert all(r.contender == "cortex" and 0 < r.least <= r.median <= r.most for r in rows)
    assert rows[0].bytes > 4 * 3 * 668_672  # weights and two moments
    assert "5 nodes" in gpu.table(rows)


def test_residual_networks_are_measured_in_tf32_and_bfloat16(gpu, monkeypatch) -> None:
    import networks

    rows = []
    monkeypatch.setattr(gpu, "torch_sees_it", lambda: False)
    monkeypatch.setattr(gpu, "jax_sees_it", lambda: False)
    monkeypatch.setattr(gpu, "apart", lambda groups: rows.extend(groups))
    monkeypatch.setattr(networks, "LARGE", (3, 8, 8))
    gpu.large([device("tf32"), device("bfloat16")], size=2)
    assert [g.title for g in rows] == [
        f"ResNet-{depth}, 224x224, batch 2, {p}" for depth in (18, 50) for p in ("tf32", "bfloat16")
    ]


def runner(gpu, name: str, *losses: float):
    from harness import Contender

    return lambda: gpu.Runner(Contender(name, lambda k: None, lambda: losses), gpu.wall, lambda: 7)


def test_contenders_on_the_device_one_at_a_time(gpu, monkeypatch) -> None:
    monkeypatch.setattr(gpu, "ROUNDS", 1)
    monkeypatch.setattr(gpu, "BLOCK", 1e-5)
    order = []

    def made(name):
        return lambda: order.append(name) or runner(gpu, name, 1.0)()

    groups = [gpu.Group("x", "tf32", [made("a"), made("b")]), gpu.Group("y", "tf32", [made("c")])]
    rows = gpu.apart(groups)
    assert order == ["a", "c", "b"]
    assert [(r.workload, r.contender, r.bytes) for r in rows] == [
        ("x", "a", 7), ("x", "b", 7), ("y", "c", 7),
    ]  # fmt: skip


@pytest.mark.parametrize("way", ["together", "apart"])
def test_contenders_with_other_losses_are_not_timed(gpu, monkeypatch, way) -> None:
    monkeypatch.setattr(gpu, "ROUNDS", 1)
    monkeypatch.setattr(gpu, "BLOCK", 1e-5)
    measure = gpu.together if way == "together" else lambda one: gpu.apart([one])
    far = [runner(gpu, "a", 1.0, 1.0), runner(gpu, "b", 1.0, 1.1)]
    with pytest.raises(SystemExit, match="b does not compute what a does: .*; no times"):
        measure(gpu.Group("MLP", "float32", far))
    assert len(measure(gpu.Group("MLP", "tf32", far))) == 2  # which may drift after the first
    with pytest.raises(SystemExit, match="b does not compute what a does"):
        measure(gpu.Group("MLP", "tf32", [runner(gpu, "a", 1.0), runner(gpu, "b", 1.02)]))
