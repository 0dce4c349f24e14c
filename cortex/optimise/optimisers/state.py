"""The state that optimisers share: vectors like the parameters, and the number of steps made."""

from __future__ import annotations

import numpy as np

from cortex.protocols import State


def zeros(count: int, *vectors: str) -> State:
    """Return a float64 vector of `count` zeros under each name, and `num_steps`, a 0-d zero."""
    return {**{name: np.zeros(count) for name in vectors}, "num_steps": np.zeros(())}
