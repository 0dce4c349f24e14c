"""Matrix products in GFLOP/s: square ones, those of the MLP's training step, those of few rows."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import roofline
from harness import Contender, Settings, compare, has
from peers import ours
from results import Grid, Result


@dataclass(frozen=True)
class Shape:
    """C [rows, columns] = op(A) op(B) over `depth`."""

    rows: int
    depth: int
    columns: int
    transpose_a: bool = False
    transpose_b: bool = False

    def __str__(self) -> str:
        left, right = (" transposed" * t for t in (self.transpose_a, self.transpose_b))
        return f"{self.rows} x {self.depth}{left} x {self.columns}{right}"

    @property
    def work(self) -> float:
        """Floating-point operations."""
        return 2.0 * self.rows * self.depth * self.columns

    def operands(self, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        """Return A and B; a transposed operand holds its axes swapped."""
        rng = np.random.default_rng(0)
        a = (self.depth, self.rows) if self.transpose_a else (self.rows, self.depth)
        b = (self.columns, self.depth) if self.transpose_b else (self.depth, self.columns)
        return rng.random(a).astype(dtype), rng.random(b).astype(dtype)


def _of_the_mlp(n: int) -> list[Shape]:
    return [
        Shape(n, 784, 512, transpose_b=True), Shape(512, n, 784, transpose_a=True),
        Shape(n, 512, 256, transpose_b=True), Shape(256, n, 512, transpose_a=True),
        Shape(n, 256, 512), Shape(n, 256, 10, transpose_b=True),
    ]  # fmt: skip


SQUARES = [Shape(n, n, n) for n in (64, 256, 1024, 2048)]
FEW = [Shape(n, 784, 512, transpose_b=True) for n in (1, 4, 8)]
SHAPES = [*SQUARES, *_of_the_mlp(64), *_of_the_mlp(256), *FEW]


def products(settings: Settings) -> Iterator[Result]:
    """Matrix products of cortex and its peers; square ones in float64 too."""
    rounds = min(5 if settings.wall else 9, settings.rounds)
    settings = replace(settings, rounds=rounds, block=settings.block / 5)
    for dtype, shapes in (("float32", SHAPES), ("float64", SQUARES)):
        yield _rates(dtype, shapes[:1] if settings.quick else shapes, settings)


def _rates(dtype: str, shapes: list[Shape], settings: Settings) -> Grid:
    rows: dict[str, list[float | None]] = {}
    names: list[str] = []
    for s in shapes:
        contenders = list(_contenders(s, dtype, settings))
        found = compare("", contenders, settings).rows
        names = [r.name for r in found]
        share = _of_the_peak(contenders[0], s.work, found[0].median, dtype, settings)
        rows[str(s)] = [*(1e-9 * s.work / r.median for r in found), 100 * share]
    peak = 1e-9 * roofline.peak(settings.threads, dtype)
    note = (
        f"The peak: multiply-adds in registers right before and after; {peak:.0f} GFLOP/s at best."
    )
    columns = [*names, f"{names[0]}, % of the peak"]
    return Grid(f"Matrix products, {dtype}", "GFLOP/s", columns, rows, [note])


def _of_the_peak(
    contender: Contender, work: float, seconds: float, dtype: str, settings: Settings
) -> float:
    """Return the median share of what multiply-adds reach right before and after each block.

    The clock wanders by some percent, and two cores may be one for a while: turns with multiply-adds, a second
    apart, gave 77 to 150 % on two cores.
    """
    count, shares = max(1, round(settings.block / seconds)), []
    for _ in range(settings.rounds):
        before = roofline.rate(settings.threads, dtype)
        begin = settings.clock()
        contender.run(count)
        rate = count * work / (settings.clock() - begin)
        shares.append(2 * rate / (before + roofline.rate(settings.threads, dtype)))
    return statistics.median(shares)


def _contenders(s: Shape, dtype: str, settings: Settings) -> Iterator[Contender]:
    a, b = s.operands(dtype)
    yield from ours.each(settings, ours.product, a, b, s.transpose_a, s.transpose_b)
    x, y = a.T if s.transpose_a else a, b.T if s.transpose_b else b
    out = np.empty((s.rows, s.columns), dtype)
    yield _repeated("NumPy", lambda: np.matmul(x, y, out=out))
    if has("torch"):
        import torch

        t, u = torch.from_numpy(x), torch.from_numpy(y)
        result = torch.from_numpy(np.empty_like(out))
        yield _repeated("PyTorch", lambda: torch.mm(t, u, out=result).numpy())
    if has("jax") and dtype == "float32":  # doubles are a setting of the whole process there
        import jax

        product = jax.jit(
            lambda a, b: (a.T if s.transpose_a else a) @ (b.T if s.transpose_b else b)
        )
        v, w = jax.numpy.asarray(a), jax.numpy.asarray(b)
        yield _repeated("JAX jit", lambda: product(v, w).block_until_ready())


def _repeated(name: str, work: Any) -> Contender:
    def run(count: int) -> None:
        for _ in range(count):
            work()

    return Contender(name, run, lambda: np.array(work()))
