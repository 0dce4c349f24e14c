"""Window geometry against brute force."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cortex.compute import ShapeError
from cortex.compute.ops import Window
from cortex.compute.verify import oracles

SMALL = st.integers(1, 5)
PADS = st.tuples(st.integers(0, 4), st.integers(0, 4))


@given(st.integers(1, 30), SMALL, SMALL, PADS, st.integers(1, 3), st.booleans())
def test_number_of_windows(
    n: int, k: int, s: int, pad: tuple[int, int], d: int, ceil: bool
) -> None:
    """Count the windows that fit or, rounding up, begin before the end of the input."""
    reach = (k - 1) * d + 1
    assume(reach <= n + sum(pad))
    window = Window.of(k, s, [pad], d, ceil, rank=1)
    starts = range(-pad[0], n + sum(pad), s)
    fits = [a for a in starts if a + reach <= n + pad[1]]
    if not ceil:
        assert window.output("test", (n,)) == (len(fits),)
        return
    # a window more where the last one that fits leaves cells of the padded input unseen, unless the
    # further one would begin beyond the input
    more = fits[-1] + reach < n + pad[1] and fits[-1] + s < n
    beyond = sum(a >= n for a in fits)
    if not beyond:
        assert window.output("test", (n,)) == (len(fits) + more,)


@given(st.integers(1, 40), SMALL, SMALL, st.integers(1, 3))
def test_same_padding(n: int, k: int, s: int, d: int) -> None:
    """ceil(n / stride) windows, as little padding as gives that, the odd cell at the end."""
    window = Window.same((n,), k, s, d, rank=1)
    ((low, high),) = window.padding
    assert window.output("test", (n,)) == (-(-n // s),)
    assert high - low in (0, 1)
    if low + high:
        less = Window.of(k, s, [(low, high - 1)], d, rank=1)
        try:
            fewer = less.output("test", (n,))[0]
        except ShapeError:
            fewer = 0
        assert fewer < -(-n // s)


@given(st.integers(1, 12), st.integers(1, 12), SMALL, SMALL, PADS, PADS, st.booleans())
def test_axes_are_independent(
    h: int, w: int, k: int, s: int, a: tuple[int, int], b: tuple[int, int], ceil: bool
) -> None:
    assume(k <= h + sum(a) and k <= w + sum(b))
    both = Window.of(k, s, [a, b], ceil=ceil).output("test", (h, w))
    one = [
        Window.of(k, s, [p], ceil=ceil, rank=1).output("test", (n,))[0] for n, p in ((h, a), (w, b))
    ]
    assert both == tuple(one)


@given(st.integers(1, 20), SMALL, SMALL, st.integers(0, 4), st.booleans())
def test_oracle_agrees(n: int, k: int, s: int, pad: int, ceil: bool) -> None:
    """The loops that the verification suite compares with count the same windows (pad below k)."""
    assume(pad < k <= n + 2 * pad)
    window = Window.of(k, s, pad, ceil=ceil, rank=1)
    assert oracles.extents(window, (n,)) == window.output("test", (n,))


@pytest.mark.parametrize(
    ("n", "k", "s", "pad", "floor", "ceil"),
    [
        (28, 5, 1, 0, 24, 24), (24, 2, 2, 0, 12, 12), (6, 3, 2, 0, 2, 3), (5, 2, 2, 0, 2, 3),
        (112, 3, 2, 0, 55, 56), (7, 3, 2, 1, 4, 4), (4, 2, 3, 1, 2, 2), (55, 3, 2, 0, 27, 27),
    ],
)  # fmt: skip
def test_known_sizes(n: int, k: int, s: int, pad: int, floor: int, ceil: int) -> None:
    """Sizes of published networks, by both rounding rules."""
    assert Window.of(k, s, pad, rank=1).output("test", (n,)) == (floor,)
    assert Window.of(k, s, pad, ceil=True, rank=1).output("test", (n,)) == (ceil,)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ShapeError) as caught:
        Window.of((2, 0), -1, (0, -3), 0)
    text = str(caught.value)
    for part in ("size (2, 0)", "stride (-1, -1)", "dilation (0, 0)", "padding ((0, 0), (-3, -3))"):
        assert part in text
    with pytest.raises(
        ShapeError, match=r"stride \(1, 2, 3\) needs one entry per spatial axis, that is 2"
    ):
        Window.of(3, (1, 2, 3))


def test_a_window_that_does_not_fit() -> None:
    message = r"Pool: the window covers 5 cells along spatial axis 1, the padded input has 4 \(0 \+ 3 \+ 1\)"
    with pytest.raises(ShapeError, match=message):
        Window.of(3, 1, ((0, 0), (0, 1)), (1, 2)).output("Pool", (9, 3))
