"""MNIST: 70,000 handwritten digits, shipped with the package (see data/mnist/LICENSE.md)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from .arrays import Arrays
from .errors import DataError, unknown
from .idx import decode_idx
from .order import whole
from .protocol import Dataset
from .raw import PathLike
from .shipped import verified_bytes
from .views import concatenate

PREFIX = {"train": "train", "test": "t10k"}
SPLITS = (*PREFIX, "all")


def mnist(
    split: str = "train",
    data_dir: PathLike | None = None,
    subset: int | None = None,
) -> Dataset:
    """MNIST: columns `image`, uint8 [1, 28, 28], 0 paper to 255 ink, and `label`, uint8 [], 0-9.

    `split` is "train" (60,000), "test" (10,000) or "all" (both, in this order); `subset` keeps
    the first so many. The four gzip files are read from the package or from `data_dir`, checked
    by SHA-256, decoded once per process and kept (55 MB for both). Raises DataError for an unknown
    split, a subset beyond the split, and a damaged, missing or wrong file, naming file and sums.
    Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
    recognition", 1998.
    """
    if split not in SPLITS:
        raise DataError(f"mnist: {unknown('split', split, SPLITS)}")
    folder = None if data_dir is None else Path(data_dir).resolve()
    parts = [_part(part, folder) for part in PREFIX if split in (part, "all")]
    data = parts[0] if len(parts) == 1 else concatenate(*parts)
    if subset is None:
        return data
    if whole("subset", subset, 1) > len(data):
        raise DataError(f"mnist: subset {subset:,} is more than the {len(data):,} of {split!r}")
    return data[:subset]


@lru_cache(maxsize=4)
def _part(split: str, folder: Path | None) -> Dataset:
    """The training or the test set, checked, decoded, and kept for the next call."""
    values = []
    for kind in ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"):
        file = f"{PREFIX[split]}-{kind}"
        values.append(decode_idx(verified_bytes("mnist", file, folder), file))
    images, labels = values
    for array in values:
        array.flags.writeable = False
    return Arrays(image=images[:, np.newaxis], label=labels)
