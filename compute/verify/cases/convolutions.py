"""`Convolution`, its two gradients and `BiasedConvolution`: every option, odd channels, batch 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import math as m
from ...expression import symbol
from ...ops import (
    BiasedConvolution,
    Convolution,
    ConvolutionInputGradient,
    ConvolutionKernelGradient,
    Window,
)
from .. import oracles
from ..case import Case, normal


def _cases(
    name: str,
    window: Window,
    x: tuple[int, ...],
    kernels: int,
    groups: int = 1,
    *,
    quick: bool = True,
    gradient: bool = True,
) -> list[Case]:
    """Return the convolution and its two gradient ops for an input [N, C, *S]."""
    w = (kernels, x[1] // groups, *window.size)
    y = (x[0], kernels, *oracles.extents(window, x[2:]))
    convolve = Convolution(window, groups)
    to_input = ConvolutionInputGradient(window, x[2:], groups)
    to_kernel = ConvolutionKernelGradient(window, groups)
    options: dict[str, Any] = {"quick": quick, "gradient": gradient}
    return [
        Case(
            f"convolution/{name}", convolve, (normal(*x), normal(*w)),
            lambda x, w: oracles.convolution(window, groups, x, w), **options,
        ),
        Case(
            f"convolution input gradient/{name}", to_input, (normal(*y), normal(*w)),
            lambda dy, w: oracles.convolution_input_gradient(window, groups, x[2:], dy, w),
            quick=quick, gradient=False,
        ),
        Case(
            f"convolution kernel gradient/{name}", to_kernel, (normal(*x), normal(*y)),
            lambda x, dy: oracles.convolution_kernel_gradient(window, groups, x, dy),
            quick=quick, gradient=False,
        ),
    ]  # fmt: skip


def _second_order(window: Window, groups: int) -> list[Case]:
    """The gradient ops have gradients too: convolution is closed under differentiation."""
    dy, w, x = (
        (2, 6, *oracles.extents(window, (5, 6))),
        (6, 4 // groups, *window.size),
        (2, 4, 5, 6),
    )
    return [
        Case(
            f"convolution input gradient/second order, {groups} groups",
            ConvolutionInputGradient(window, (5, 6), groups), (normal(*dy), normal(*w)),
            lambda dy, w: oracles.convolution_input_gradient(window, groups, (5, 6), dy, w),
        ),
        Case(
            f"convolution kernel gradient/second order, {groups} groups",
            ConvolutionKernelGradient(window, groups), (normal(*x), normal(*dy)),
            lambda x, dy: oracles.convolution_kernel_gradient(window, groups, x, dy),
        ),
    ]  # fmt: skip


def _biased(window: Window, groups: int, x: Any, w: Any, b: Any) -> Any:
    y = oracles.convolution(window, groups, x, w)
    return y + b.reshape(-1, *[1] * window.rank)


_3 = Window.of(3, 1, 1)
_1D = Window.of(4, 2, 1, rank=1)

CASES: tuple[Case, ...] = (
    *_cases("3x3 same", _3, (2, 3, 7, 6), 5),
    *_cases("2x2", Window.of(2), (1, 1, 3, 3), 1),
    *_cases("1x1", Window.of(1), (3, 5, 4, 7), 17),
    *_cases("1x1 stride 2", Window.of(1, 2), (2, 3, 5, 6), 4),
    *_cases("stride 2 with a remainder", Window.of(3, 2, 1), (2, 4, 8, 7), 3),
    *_cases("stride above size", Window.of(2, 3), (2, 3, 9, 8), 2),
    *_cases("uneven padding", Window.of((2, 3), (1, 2), ((0, 1), (2, 0))), (2, 3, 5, 7), 4),
    *_cases("dilation", Window.of(3, 1, 2, 2), (2, 3, 7, 6), 4),
    *_cases("dilation and stride", Window.of((3, 2), 2, 1, (2, 3)), (1, 3, 9, 8), 2),
    *_cases("groups", _3, (2, 6, 5, 4), 9, 3),
    *_cases("depthwise", _3, (2, 5, 6, 5), 5, 5),
    *_cases("depthwise, two kernels each", Window.of(3, 2, 1), (1, 3, 7, 7), 6, 3),
    *_cases("window as large as the input", Window.of((4, 5)), (3, 2, 4, 5), 7),
    *_cases("padding alone at the border", Window.of(2, 2, 2), (1, 2, 3, 3), 2),
    *_cases("1-d", _1D, (3, 5, 11), 4),
    *_cases("1-d groups and dilation", Window.of(3, 1, 2, 2, rank=1), (2, 4, 9), 6, 2),
    *_cases("LeNet first layer", Window.of(5), (3, 1, 28, 28), 20, gradient=False, quick=False),
    *_cases("LeNet second layer", Window.of(5), (2, 20, 12, 12), 50, gradient=False),
    *_cases("33 channels", _3, (2, 33, 6, 9), 35, gradient=False),
    *_cases("batch 17", _3, (17, 3, 5, 5), 16, quick=False, gradient=False),
    *_second_order(Window.of(2, 2, 1), 1),
    *_second_order(Window.of((3, 2), 1, (1, 0)), 2),
    Case(
        "convolution/empty batch", Convolution(_3), (normal(0, 2, 5, 5), normal(3, 2, 3, 3)),
        lambda x, w: np.zeros((0, 3, 5, 5)), gradient=False,
    ),
    Case(
        "biased convolution/plain", BiasedConvolution(_3), (normal(2, 3, 5, 6), normal(4, 3, 3, 3), normal(4)),
        lambda x, w, b: _biased(_3, 1, x, w, b),
    ),
    Case(
        "biased convolution/relu", BiasedConvolution(_3, 1, m.maximum(symbol(0), 0)),
        (normal(2, 3, 5, 6), normal(17, 3, 3, 3), normal(17)),
        lambda x, w, b: np.maximum(_biased(_3, 1, x, w, b), 0),
    ),
    Case(
        "biased convolution/1-d tanh, groups", BiasedConvolution(_1D, 2, m.tanh(symbol(0))),
        (normal(3, 4, 9), normal(6, 2, 4), normal(6)), lambda x, w, b: np.tanh(_biased(_1D, 2, x, w, b)),
    ),
)  # fmt: skip
