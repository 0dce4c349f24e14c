"""Matrix products in GFLOP/s: a large one, and those of the MLP's training step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import roofline
from harness import Contender, Settings, compare, has
from peers import ours
from results import Grid, Result

# m, k, n; the left, the right operand held transposed
SHAPES = [(2048, 2048, 2048, False, False)]
for _n in (64, 256):
    SHAPES += [
        (_n, 784, 512, False, True), (512, _n, 784, True, False), (_n, 512, 256, False, True),
        (256, _n, 512, True, False), (_n, 256, 512, False, False),
    ]  # fmt: skip


def products(settings: Settings) -> Iterator[Result]:
    """Matrix products of cortex and its peers, float32."""
    settings = replace(settings, rounds=min(5, settings.rounds), block=settings.block / 5)
    rows: dict[str, list[float | None]] = {}
    names: list[str] = []
    for m, k, n, left, right in SHAPES[1:3] if settings.quick else SHAPES:
        rng = np.random.default_rng(0)
        a = rng.random((k, m) if left else (m, k), np.float32)
        b = rng.random((n, k) if right else (k, n), np.float32)
        found = compare("", list(_contenders(a, b, left, right)), settings).rows
        names = [r.name for r in found]
        shape = f"{m} x {k}{' xT' * left} x {n}{' wT' * right}"
        rows[shape] = [2e-9 * m * k * n / r.median for r in found]
    peak = roofline.peak(settings.threads) / 1e9
    note = f"Measured peak of multiply-adds: {peak:.0f} GFLOP/s."
    yield Grid("Matrix products", "GFLOP/s", names, rows, [note])


def _contenders(a: np.ndarray, b: np.ndarray, left: bool, right: bool) -> Iterator[Contender]:
    yield ours.product(a, b, left, right)
    x, y = a.T if left else a, b.T if right else b
    out = np.empty((len(x), y.shape[1]), np.float32)
    yield _repeated("NumPy", lambda: np.matmul(x, y, out=out))
    if has("torch"):
        import torch

        s, t = torch.from_numpy(x), torch.from_numpy(y)
        yield _repeated("PyTorch", lambda: torch.mm(s, t).numpy())
    if has("jax"):
        import jax

        product = jax.jit(lambda a, b: (a.T if left else a) @ (b.T if right else b))
        u, v = jax.numpy.asarray(a), jax.numpy.asarray(b)
        yield _repeated("JAX jit", lambda: product(u, v).block_until_ready())


def _repeated(name: str, work: Any) -> Contender:
    def run(count: int) -> None:
        for _ in range(count):
            work()

    return Contender(name, run, lambda: np.array(work()))
