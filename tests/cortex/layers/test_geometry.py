"""Windows of any geometry, and precision under any shape: properties over random sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from formulas import convolve, pooled, spread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex import layers as L
from cortex.compute import ShapeError

PER_AXIS = st.tuples(*[st.integers(1, 3)] * 2)
PADS = st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2)
EXTENTS = st.tuples(st.integers(1, 7), st.integers(1, 7))
quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape)


@quick
@given(
    EXTENTS,
    PER_AXIS,
    PER_AXIS,
    PADS,
    PER_AXIS,
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(1, 2),
)
def test_convolution(
    run: Any,
    extents: Any,
    kernel: Any,
    stride: Any,
    pads: Any,
    dilation: Any,
    groups: int,
    batch: int,
    per: int,
) -> None:
    layer = L.Convolution(2 * groups, kernel, stride, pads, dilation, groups)
    x, w, b = (
        normal(batch, groups * per, *extents),
        normal(2 * groups, per, *kernel),
        normal(2 * groups),
    )
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(n + sum(p) < r for n, p, r in zip(extents, pads, reach, strict=True)):
        with pytest.raises(ShapeError, match="the window covers"):
            run(layer, x)
        return
    y = run(layer, x, parameters={"weights": w, "bias": b}).y
    np.testing.assert_allclose(y, convolve(x, w, b, stride, pads, dilation, groups), atol=1e-12)


@quick
@given(EXTENTS, PER_AXIS, PER_AXIS, st.integers(1, 2))
def test_same_padding(run: Any, extents: Any, kernel: Any, stride: Any, batch: int) -> None:
    """ceil(extent / stride) cells, for convolution and both poolings; a transpose multiplies by the stride."""
    x = normal(batch, 2, *extents)
    wanted = tuple(-(-n // s) for n, s in zip(extents, stride, strict=True))
    for layer in (
        L.Convolution(3, kernel, stride, "same"),
        L.MaxPooling(kernel, stride, "same"),
        L.AveragePooling(kernel, stride, "same"),
    ):
        assert run(layer, x).y.shape[2:] == wanted
    larger = tuple(n * s for n, s in zip(extents, stride, strict=True))
    assert run(L.TransposedConvolution(3, kernel, stride, "same"), x).y.shape == (batch, 3, *larger)


@quick
@given(EXTENTS, PER_AXIS, PER_AXIS, PADS, st.integers(1, 3), st.integers(1, 2))
def test_transposed_convolution(
    run: Any, extents: Any, kernel: Any, stride: Any, pads: Any, groups: int, batch: int
) -> None:
    layer = L.TransposedConvolution(2 * groups, kernel, stride, pads, groups=groups)
    x, w, b = normal(batch, groups, *extents), normal(groups, 2, *kernel), normal(2 * groups)
    full = [(n - 1) * s + k for n, s, k in zip(extents, stride, kernel, strict=True)]
    if any(f - sum(p) < 1 for f, p in zip(full, pads, strict=True)):
        with pytest.raises(ShapeError, match="takes everything away"):
            run(layer, x)
        return
    y = run(layer, x, parameters={"weights": w, "bias": b}).y
    np.testing.assert_allclose(y, spread(x, w, b, stride, pads, 0, groups), atol=1e-12)


@quick
@given(EXTENTS, PER_AXIS, PER_AXIS, st.booleans(), st.booleans(), st.data())
def test_pooling(
    run: Any, extents: Any, size: Any, stride: Any, ceil: bool, counted: bool, data: Any
) -> None:
    pads = tuple(data.draw(st.tuples(*[st.integers(0, k - 1)] * 2)) for k in size)
    room = [n + sum(p) - k for n, p, k in zip(extents, pads, size, strict=True)]
    rounding = "ceil" if ceil else "floor"
    most = L.MaxPooling(size, stride, pads, rounding)
    x = normal(2, 3, *extents)
    if min(room) < 0:
        with pytest.raises(ShapeError, match="the window covers"):
            run(most, x)
        return
    out = [(-(-r // s) if ceil else r // s) + 1 for r, s in zip(room, stride, strict=True)]
    # A window that would begin behind the input is left out.
    out = [
        t - ((t - 1) * s >= n + low) * ceil
        for t, s, n, (low, _) in zip(out, stride, extents, pads, strict=True)
    ]
    np.testing.assert_array_equal(run(most, x).y, pooled(x, size, stride, pads, out, "max", False))
    mean = L.AveragePooling(size, stride, pads, rounding, counted)
    expected = pooled(x, size, stride, pads, out, "average", counted)
    np.testing.assert_allclose(run(mean, x).y, expected, atol=1e-13)
