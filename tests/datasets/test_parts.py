"""Parts of each batch, for processes that share them out: together they are the whole, and no more is read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.datasets import (
    Arrays,
    DataError,
    balanced,
    concatenate,
    holdout,
    in_parts,
    map_batches,
    rename,
    select,
)


def numbered(count: int) -> Arrays:
    return Arrays(number=np.arange(count), label=np.arange(count) % 3)


def doubled(batch: dict) -> dict:
    batch["number"] = 2 * batch["number"]
    assert len(batch["number"])  # a function need not know what to do with no rows
    return batch


class Foreign:
    """A data set of another make: its `batches` knows no parts."""

    def __init__(self, inner: Arrays) -> None:
        self.inner = inner
        self.columns, self.read, self.take = inner.columns, inner.read, inner.take

    def __len__(self) -> int:
        return len(self.inner)

    def batches(self, batch_size, seed=None, epoch=0, drop_last=False):
        return self.inner.batches(batch_size, seed, epoch, drop_last)


MAKES = {
    "arrays": lambda d: d,
    "subset": lambda d: holdout(d, 0.2, seed=1)[0] if len(d) > 5 else d,
    "renamed": lambda d: rename(d, label="y"),
    "selected": lambda d: select(d, "number"),
    "mapped": lambda d: map_batches(d, doubled, columns=d.columns),
    "concatenated": lambda d: concatenate(d, d),
    "balanced": lambda d: balanced(d, epoch_length=23),
    "foreign": Foreign,
    "mapped foreign": lambda d: rename(
        map_batches(Foreign(d), doubled, columns=d.columns), label="y"
    ),
}


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
@given(
    count=st.integers(1, 30), size=st.integers(1, 12), parts=st.integers(2, 5),
    seed=st.one_of(st.none(), st.integers(0, 3)), drop=st.booleans(),
)  # fmt: skip
def test_parts_together_are_the_whole(make, count, size, parts, seed, drop) -> None:
    data = make(numbered(count))
    whole = list(data.batches(size, seed, 2, drop))
    pieces = [list(in_parts(data, (k, parts), size, seed, 2, drop)) for k in range(parts)]
    assert {len(p) for p in pieces} == {len(whole)}
    for number, batch in enumerate(whole):
        for name, values in batch.items():
            joined = np.concatenate([p[number][name] for p in pieces])
            np.testing.assert_array_equal(joined, values)
            assert all(p[number][name].dtype == values.dtype for p in pieces)


def test_only_the_part_is_read() -> None:
    seen: list[int] = []

    class Watched(Arrays):
        def read(self, rows, columns=None):
            seen.extend(np.asarray(rows).tolist())
            return super().read(rows, columns)

    data = Watched(number=np.arange(10))
    list(in_parts(rename(data, number="n"), (1, 3), 5))
    assert seen == [1, 2, 6, 7]


def test_a_part_that_is_none() -> None:
    for part in ((3, 3), (-1, 2)):
        with pytest.raises(DataError, match="a pair .number, count. with number < count, got"):
            list(numbered(3).batches(2, part=part))
