"""Published and historical values, as data: how the JSON files beside this one are read.

`operations.json` is used by `golden_operations`; `layers.json`, `losses.json` and `optimisers.json`
are for the packages above. Every entry names its `source`; `note` says where the value departs from it.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import numpy as np


def load(name: str) -> list[dict[str, Any]]:
    """Return the entries of a golden file, such as `load("operations")`.

    Raises:
        FileNotFoundError: there is no such file.
    """
    text = files(__package__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    return list(json.loads(text)["entries"])


def array(spec: dict[str, Any]) -> np.ndarray:
    """Return the float64 array that an entry describes; null becomes NaN.

    `values` are repeated to fill `shape`; `ramp` is the first of numbers that rise by 1; `first` holds
    the first values of the flattened array, and the result is as short.
    """
    if "first" in spec:
        return np.array(spec["first"], np.float64)
    shape = tuple(spec["shape"])
    size = int(np.prod(shape, dtype=np.int64))
    if "ramp" in spec:
        return np.arange(size, dtype=np.float64).reshape(shape) + float(spec["ramp"])
    return np.resize(np.array(spec["values"], np.float64), size).reshape(shape)


def same_part(spec: dict[str, Any], got: np.ndarray) -> np.ndarray:
    """Return what of `got` is to be compared with `array(spec)`: all of it, or its first values."""
    if "first" in spec:
        return got.reshape(-1)[: len(spec["first"])]
    return got
