"""Our time over NumPy's for the same matrix products, on one core: what a lost fast path would raise.

    python benchmarks/regression.py            # prints the ratios as JSON

NumPy multiplies what the step multiplies and nothing else, so a ratio hardly depends on the processor's clock or on
neighbours. `tests/benchmarks/test_regression.py` holds the ratios against stored ones.
"""

from __future__ import annotations

import json
import statistics
import sys

from harness import ROOT, Contender, Settings, in_turns, one_core

sys.path.append(str(ROOT))


def ratios(settings: Settings) -> dict[str, float]:
    """Return, for each piece of work, the median of our seconds over those of NumPy beside it."""
    import numpy as np
    from networks import CONVNET, LENET, MLP, Batch
    from peers import arrays, ours

    made = {}
    for m, k, n in ((512, 512, 512), (64, 784, 512)):
        a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
        made[f"matrix product {m} x {k} x {n}"] = ours.product(a, b, False, False)
    for workload, size in ((MLP, 64), (LENET, 64), (CONVNET, 8)):
        batch = Batch.of(size, workload.shape)
        made[f"{workload.name}, batch {size}"] = ours.training(workload, batch)
    return {name: _ratio(c, arrays.products(c.program), settings) for name, c in made.items()}


def _ratio(own: Contender, other: Contender, settings: Settings) -> float:
    pair, counts = (own, other), []
    for c in pair:
        c.run(3)
        begin = settings.clock()
        c.run(1)
        counts.append(max(1, round(settings.block / (settings.clock() - begin))))

    def block(i: int) -> list[float]:
        begin = settings.clock()
        pair[i].run(counts[i])
        return [(settings.clock() - begin) / counts[i]]

    first, second = in_turns(2, settings.rounds, block)
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


if __name__ == "__main__":
    one_core()
    print(json.dumps(ratios(Settings(wall=False, rounds=7, block=0.1)), indent=1))
