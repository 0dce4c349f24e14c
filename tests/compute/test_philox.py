"""Philox4x32-10 against the published known answers (Random123 1.09, kat_vectors)."""

from __future__ import annotations

import numpy as np
import pytest

from cortex.compute import philox

ONES = 0xFFFFFFFF
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], answer: tuple[int, ...]
) -> None:
    got = philox.philox4x32(np.array([counter], np.uint32), key)
    np.testing.assert_array_equal(got, [answer])


def test_counter_layout() -> None:
    """Element e of op n at step s is word e % 4 of the block (e // 4, 0, s, n) under both words of the seed."""
    seed, step, number = 0x0123456789ABCDEF, 0x1F00000007, 5
    got = philox.words(11, seed, step, number)
    for e in range(11):
        counter = np.array([[e // 4, 0, step & ONES, number]], np.uint32)
        block = philox.philox4x32(counter, (0x89ABCDEF, 0x01234567))
        assert got[e] == block[0, e % 4]


def test_numbers_from_words() -> None:
    words = philox.words(9, 3, 1, 2)
    np.testing.assert_array_equal(
        philox.uniform(9, 3, 1, 2), (words >> 8).astype(np.float32) / 2**24
    )
    np.testing.assert_array_equal(philox.uniform(9, 3, 1, 2, "float64"), words / 2**32)
    w = philox.words(12, 3, 1, 2).reshape(-1, 2).astype(np.float64)
    radius = np.sqrt(-2 * np.log((w[:, 0] + 1) / 2**32))
    angle = 2 * np.pi * w[:, 1] / 2**32
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()
    np.testing.assert_allclose(philox.normal(9, 3, 1, 2, "float64"), pairs[:9], rtol=1e-14)


def test_uniform_stays_below_one_and_normal_is_finite() -> None:
    for dtype in ("float32", "float64"):
        u = philox.uniform(400_001, 11, 0, 0, dtype)
        assert u.min() >= 0 and u.max() < 1
        assert np.isfinite(philox.normal(400_001, 11, 0, 0, dtype)).all()
    assert np.float32(0xFFFFFFFF >> 8) * np.float32(2**-24) < 1


def test_streams_differ() -> None:
    base = philox.uniform(64, 1, 1, 1)
    for other in ((2, 1, 1), (1, 2, 1), (1, 1, 2), (1 + 2**32, 1, 1)):
        assert not np.array_equal(base, philox.uniform(64, *other))
    assert philox.uniform(0, 1, 1, 1).shape == (0,)
