"""Matrix products: fraction of the processor's peak by shape, beside NumPy, PyTorch and JAX.

    python benchmarks/products.py                     # one pinned core, its CPU seconds
    python benchmarks/products.py --double --isa avx2
    python benchmarks/products.py --rounds 15 --only 2048

The peak is what a loop of multiply-adds in registers reaches in the same process, between the products. The shapes are
those of square matrices, of an MLP 784-512-256-10 (forward, gradients of inputs and weights) and of single examples.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import harness
from harness import ROOT, Contender, compare, has

sys.path.append(str(ROOT))


@dataclass(frozen=True)
class Shape:
    """C [rows, columns] = op(A) op(B) over `depth`."""

    name: str
    rows: int
    columns: int
    depth: int
    transpose_a: bool = False
    transpose_b: bool = False

    @property
    def work(self) -> float:
        """Floating-point operations."""
        return 2.0 * self.rows * self.columns * self.depth


def shapes() -> list[Shape]:
    """Return what is measured."""
    made = [Shape(str(n), n, n, n) for n in (64, 256, 1024, 2048)]
    for n in (64, 256):
        made += [
            Shape(f"forward 1, batch {n}", n, 512, 784, transpose_b=True),
            Shape(f"forward 2, batch {n}", n, 256, 512, transpose_b=True),
            Shape(f"forward 3, batch {n}", n, 10, 256, transpose_b=True),
            Shape(f"input gradient 2, batch {n}", n, 512, 256),
            Shape(f"weight gradient 2, batch {n}", 256, 512, n, transpose_a=True),
            Shape(f"weight gradient 1, batch {n}", 512, 784, n, transpose_a=True),
        ]
    return made + [Shape(f"{n} rows", n, 512, 784, transpose_b=True) for n in (1, 4, 8)]


def contenders(s: Shape, double: bool) -> list[Contender]:
    """Return ours and the peers, on the same random matrices; all results are compared with NumPy's."""
    import numpy as np

    from cortex.compute import Program, get_backend
    from cortex.compute.ops import MatMul

    rng = np.random.default_rng(1)
    dtype = np.float64 if double else np.float32
    a = rng.standard_normal((s.depth, s.rows) if s.transpose_a else (s.rows, s.depth), dtype)
    b = rng.standard_normal((s.columns, s.depth) if s.transpose_b else (s.depth, s.columns), dtype)
    p = Program()
    x, y = (p.input(name, v.shape, str(v.dtype)) for name, v in (("a", a), ("b", b)))
    p.output("c", p.apply(MatMul(s.transpose_a, s.transpose_b), x, y))
    executable = get_backend("cpu").compile(p)
    executable.write("a", a)
    executable.write("b", b)
    left, right = a.T if s.transpose_a else a, b.T if s.transpose_b else b
    c = left @ right
    executable.run()
    np.testing.assert_allclose(executable.read("c"), c, rtol=1e-3, atol=1e-4 * s.depth)

    def repeated(once: Callable[[], Any]) -> Callable[[int], None]:
        def run(count: int) -> None:
            for _ in range(count):
                once()

        return run

    made = [
        Contender("cortex", repeated(executable.run)),
        Contender("NumPy", repeated(lambda: np.matmul(left, right, out=c))),
    ]
    if has("torch"):
        import torch

        t, u, out = (torch.from_numpy(v) for v in (left, right, c.copy()))
        made.append(Contender("PyTorch", repeated(lambda: torch.matmul(t, u, out=out))))
    if has("jax"):
        import jax

        jax.config.update("jax_enable_x64", double)
        j, k = jax.numpy.asarray(a), jax.numpy.asarray(b)
        product = jax.jit(
            lambda a, b: (a.T if s.transpose_a else a) @ (b.T if s.transpose_b else b)
        )
        made.append(Contender("JAX", repeated(lambda: product(j, k).block_until_ready())))
    return made


def peak(double: bool) -> float:
    """Return multiply-adds in registers, in operations a second of CPU time."""
    import numpy as np

    from cortex.compute import _native

    dtype = np.float64 if double else np.float32
    out, given = np.zeros(16, dtype), np.linspace(-1, 1, 32, dtype=dtype)
    given[
        : 64 // out.itemsize
    ] = -1  # sums go to and fro: constant ones draw less power and run faster
    rounds, units, name = 100_000, 10, "fma_f64" if double else "fma_f32"
    begin = time.process_time()
    _native.run_kernel(name, [out.ctypes.data, given.ctypes.data], [rounds], [], units, 1, 0)
    return 2.0 * 12 * (64 // out.itemsize) * rounds * units / (time.process_time() - begin)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--double", action="store_true", help="float64")
    parser.add_argument("--isa", choices=("base", "avx2", "avx512"), help="default: the best")
    parser.add_argument("--rounds", type=int, default=harness.ROUNDS)
    parser.add_argument("--only", help="shapes whose name contains this")
    options = parser.parse_args()
    harness.one_core()
    from cortex.compute import _native

    if options.isa:
        _native.set_isa(options.isa)
    print(f"{'':30}{'GFLOP/s':>9}{'of peak':>9}   times ours")
    for s in shapes():
        if options.only and options.only not in s.name:
            continue
        before = peak(options.double)
        table = compare(s.name, contenders(s, options.double), rounds=options.rounds)
        best = max(before, peak(options.double))
        ours = table.rows[0].median
        peers = ", ".join(f"{r.name} {r.median / ours:.2f}" for r in table.rows[1:])
        rate = s.work / ours
        print(f"{s.name:30}{rate / 1e9:9.1f}{rate / best:9.0%}   {peers}", flush=True)


if __name__ == "__main__":
    main()
